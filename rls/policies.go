package rls

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

// Command is a kind of statement that a policy of PostgreSQL is for.
type Command string

// The commands, in the order in which their policies are written.
const (
	Select Command = "SELECT"
	Insert Command = "INSERT"
	Update Command = "UPDATE"
	Delete Command = "DELETE"
)

var commands = []Command{Select, Insert, Update, Delete}

// Policies are the row-level security of a table by the policy of a resource.
type Policies struct {
	resource *compiler.Resource
	options  Options
	by       map[Command]*Condition
}

// Options are for whom the policies are, and what they are called.
type Options struct {
	Role string // for whom they are; all when it is empty
	// CreateRole also makes the role, which can't log in, and drops it.
	CreateRole bool
	Force      bool   // the table's owner obeys them, too
	Name       string // what their names begin with; "rowfence" when it is empty
}

// NewPolicies are those of a resource's table for some commands.
func NewPolicies(resource *compiler.Resource, by map[Command]*Condition, o Options) (*Policies, error) {
	if len(by) == 0 {
		return nil, errors.New("policies are for a command, and there is none")
	}
	for command := range by {
		if !slices.Contains(commands, command) {
			return nil, fmt.Errorf("there are no policies for %s: want SELECT, INSERT, UPDATE or DELETE", command)
		}
	}
	if o.Role == "" && o.CreateRole {
		return nil, errors.New("a role to create needs a name")
	}
	if o.Role != "" {
		if err := sqlgen.CheckName(o.Role); err != nil {
			return nil, fmt.Errorf("the role: %w", err)
		}
		if strings.Contains(o.Role, ".") {
			return nil, fmt.Errorf("the role: bad name %q: a role is not qualified", o.Role)
		}
	}
	if o.Name == "" {
		o.Name = prefix
	}
	return &Policies{resource, o, by}, nil
}

// Create are the statements that put the policies there, with a comment in front that
// says what they read. Whatever of them fails, and wherever they stop, no role sees more
// than before.
func (p *Policies) Create() string {
	var b strings.Builder
	p.comment(&b)
	table := p.table()
	if p.options.CreateRole {
		fmt.Fprintf(&b, "CREATE ROLE %s NOLOGIN;\n", p.role())
	}
	fmt.Fprintf(&b, "ALTER TABLE %s ENABLE ROW LEVEL SECURITY;\n", table)
	if p.options.Force {
		fmt.Fprintf(&b, "ALTER TABLE %s FORCE ROW LEVEL SECURITY;\n", table)
	}
	for _, command := range commands {
		c, ok := p.by[command]
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "CREATE POLICY %s ON %s FOR %s TO %s", p.name(command), table, command, p.role())
		if command != Insert {
			fmt.Fprintf(&b, "\n    USING (%s)", c.SQL())
		}
		if command == Insert || command == Update {
			fmt.Fprintf(&b, "\n    WITH CHECK (%s)", c.SQL())
		}
		b.WriteString(";\n")
	}
	for _, g := range p.grants() {
		fmt.Fprintf(&b, "GRANT %s TO %s;\n", g, p.role())
	}
	return b.String()
}

// Drop are the statements that undo [Policies.Create]. What other policies the table has
// stay, and its row-level security with them.
func (p *Policies) Drop() string { return p.drop("", "") }

// Goose is a migration of goose that creates the policies, and drops them.
func (p *Policies) Goose() string {
	const begin, end = "-- +goose StatementBegin\n", "-- +goose StatementEnd\n"
	return "-- +goose Up\n" + p.Create() + "\n-- +goose Down\n" + p.drop(begin, end)
}

func (p *Policies) drop(beforeBlock, afterBlock string) string {
	var b strings.Builder
	table := p.table()
	for _, g := range p.grants() {
		fmt.Fprintf(&b, "REVOKE %s FROM %s;\n", g, p.role())
	}
	for _, command := range commands {
		if _, ok := p.by[command]; ok {
			fmt.Fprintf(&b, "DROP POLICY IF EXISTS %s ON %s;\n", p.name(command), table)
		}
	}
	quote := "$rowfence$"
	for i := 2; strings.Contains(table, quote); i++ {
		quote = "$rowfence" + strconv.Itoa(i) + "$"
	}
	b.WriteString(beforeBlock)
	fmt.Fprintf(&b, "DO %s\nBEGIN\n    IF NOT EXISTS (SELECT FROM pg_catalog.pg_policy WHERE polrelid = '%s'::regclass) THEN\n", quote, table)
	fmt.Fprintf(&b, "        ALTER TABLE %[1]s NO FORCE ROW LEVEL SECURITY;\n        ALTER TABLE %[1]s DISABLE ROW LEVEL SECURITY;\n    END IF;\nEND\n%[2]s;\n", table, quote)
	b.WriteString(afterBlock)
	if p.options.CreateRole {
		fmt.Fprintf(&b, "DROP ROLE %s;\n", p.role())
	}
	return b.String()
}

func (p *Policies) table() string { return sqlgen.QuoteName(p.resource.Table) }

func (p *Policies) role() string {
	if p.options.Role == "" {
		return "PUBLIC"
	}
	return sqlgen.QuoteName(p.options.Role)
}

// name is that of a command's policy, among those of the table.
func (p *Policies) name(command Command) string {
	return sqlgen.QuoteName(word(p.options.Name + "_" + p.resource.Name + "_" + strings.ToLower(string(command))))
}

// grants are what a role needs for the commands, and to read what the conditions read.
func (p *Policies) grants() []string {
	if p.options.Role == "" {
		return nil
	}
	var privileges, read []string
	for _, command := range commands {
		if c, ok := p.by[command]; ok {
			privileges = append(privileges, string(command))
			read = append(read, sqlgen.Tables(c.pred)...)
		}
	}
	slices.Sort(read)
	grants := []string{strings.Join(privileges, ", ") + " ON " + p.table()}
	for _, table := range slices.Compact(read) {
		grants = append(grants, "SELECT ON "+sqlgen.QuoteName(table))
	}
	return grants
}

// comment says which settings the conditions read.
func (p *Policies) comment(b *strings.Builder) {
	seen := map[Target]bool{}
	for _, command := range commands {
		c, ok := p.by[command]
		if !ok || seen[c.target] {
			continue
		}
		seen[c.target] = true
		fmt.Fprintf(b, "-- To %s %s, a transaction sets\n", plainly(c.target.Action), plainly(c.target.Resource))
		fmt.Fprintf(b, "--   %s to %s\n", c.target.scope(), c.mark)
		for _, s := range c.settings {
			what := plainly(s.param.Name)
			if s.uuids {
				what = "the canonical uuids in " + plainly(s.of)
			}
			fmt.Fprintf(b, "--   %s to %s: %s\n", s.name, s.form(), what)
		}
	}
}

// plainly is a text on one line of a comment.
func plainly(s string) string {
	if quoted := strconv.QuoteToASCII(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
