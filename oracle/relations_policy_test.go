package oracle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/conformance"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

var relationPolicies = flag.Int("oracle.relations", 200, "random policies over relations to check")

// TestRandomRelations holds random policies over relations against OPA. Each exact one
// is run on the table by its own name and by others, which are those of tables and
// elements in the condition.
func TestRandomRelations(t *testing.T) {
	f := newFixture(t)
	g := relationGenerator{rng: rand.New(rand.NewPCG(*seed, 3))}
	refused := map[string]int{}
	some := 0
	for i := range *relationPolicies {
		text := g.policy()
		conv := conventions[i%len(conventions)]
		report, err := f.check(variant{convention: conv, modules: map[string]string{"policy.rego": text}}, conformance.File{Data: sharedData, Input: sharedInput})
		var refusal *compiler.Error
		if errors.As(err, &refusal) {
			require.NotEqual(t, compiler.CodePolicy, refusal.Code, "%s\n%v", text, err)
			refused[string(refusal.Code)+" "+refusal.Reason]++
			continue
		}
		require.NoError(t, err, text)
		require.NoError(t, report.Err(), text)
		if report.Filter.Result() == sqlgen.ResultWhen {
			some++
			f.callsItsTable(t, report.Filter)
		}
	}
	for reason, n := range refused {
		t.Logf("%4d refused: %s", n, reason)
	}
	t.Logf("seed %d: %d of %d depend on the row", *seed, some, *relationPolicies)
	require.Greater(t, some, *relationPolicies/3, "too few depend on the row for the test to say much")
}

// callsItsTable compares what a filter selects under other names of the table.
func (f *fixture) callsItsTable(t *testing.T, filter sqlgen.Filter) {
	selects := func(from string, filter sqlgen.Filter) []int64 {
		rows, err := f.db.Query(context.Background(), "SELECT row_id FROM "+from+" WHERE "+filter.Inline()+" ORDER BY row_id")
		require.NoError(t, err)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		require.NoError(t, err, "%s: %v", from, filter)
		return ids
	}
	want := selects("things", filter)
	for _, alias := range []string{"x", "parts", "things2", "notes", "elem1", `Org Table`} {
		require.Equal(t, want, selects("things AS "+sqlgen.QuoteName(alias), filter.As(alias)), "%s: %v", alias, filter)
	}
}

// relationGenerator writes random policies about relations.
type relationGenerator struct {
	rng   *rand.Rand
	names int
	rules []string
}

func (g *relationGenerator) policy() string {
	g.names, g.rules = 0, nil
	n := 1 + g.rng.IntN(2)
	body := make([]string, n)
	for i := range body {
		body[i] = g.condition("input.object", "thing", 3)
	}
	return "package authz\n\nallow if {\n\t" + strings.Join(body, "\n\t") + "\n}\n\n" + strings.Join(g.rules, "\n")
}

func (g *relationGenerator) name(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

// What stands in the documents of each kind: its relations, and the kind of their rows.
var (
	manyOf = map[string]map[string]string{
		"thing": {"parts": "part", "same": "same"}, "part": {"notes": "note"}, "org": {"members": "note"}, "same": {"same": "leaf"},
	}
	oneOf = map[string]map[string]string{
		"thing": {"org": "org", "home": "note"}, "part": {"maker": "leaf"}, "note": {"maker": "leaf"}, "org": {"above": "leaf"},
	}
	scalarsOf = map[string][]string{
		"thing": {"t", "t0", "i", "u", "b", "w"}, "part": {"t", "t0", "i", "b", "u"}, "note": {"t", "i", "b0"},
		"org": {"t", "i0", "b"}, "leaf": {"t", "i0", "b", "i"}, "same": {"t"},
	}
)

// condition is about a document of a kind. Several lines of it are one.
func (g *relationGenerator) condition(doc, kind string, depth int) string {
	many, one := anyOf(g.rng, manyOf[kind]), anyOf(g.rng, oneOf[kind])
	if depth == 0 || many == "" && one == "" {
		return g.atom(doc, kind)
	}
	if many == "" || one != "" && g.rng.IntN(3) == 0 {
		return g.joined(doc+"."+one, oneOf[kind][one], depth)
	}
	rows, of := doc+"."+many, manyOf[kind][many]
	v := g.name("v")
	switch g.rng.IntN(9) {
	case 0:
		return fmt.Sprintf("some %s in %s\n\t%s", v, rows, g.condition(v, of, depth-1))
	case 1:
		return fmt.Sprintf("some %s in %s\n\t%s\n\t%s", v, rows, g.condition(v, of, depth-1), g.mixed(doc, kind, v, of))
	case 2:
		return fmt.Sprintf("every %s in %s {\n\t\t%s\n\t}", v, rows, g.condition(v, of, depth-1))
	case 3:
		return fmt.Sprintf("count(%s) %s 0", rows, pick(g.rng, []string{">", "==", "!="}))
	case 4:
		return fmt.Sprintf("count([%s | some %s in %s; %s]) %s 0", v, v, rows, g.atom(v, of), pick(g.rng, []string{">", "=="}))
	case 5:
		f := pick(g.rng, scalarsOf[of])
		return fmt.Sprintf("%s%s in {%s.%s | some %s in %s; %s}", g.not(), g.term(doc, kind), v, f, v, rows, g.atom(v, of))
	case 6:
		f := g.term(rows+"[_]", of)
		return fmt.Sprintf("%s %s %s", f, g.op(), g.constant(f))
	case 7: // a helper of the row
		h := g.name("h")
		at := len(g.rules)
		g.rules = append(g.rules, "")
		g.rules[at] = fmt.Sprintf("%s(%s) if {\n\t%s\n}\n", h, v, g.condition(v, of, depth-1))
		if g.rng.IntN(2) == 0 {
			g.rules[at] += fmt.Sprintf("\n%s(%s) if %s\n", h, v, g.atom(v, of))
		}
		w := g.name("v")
		return fmt.Sprintf("some %s in %s\n\t%s%s(%s)", w, rows, g.not(), h, w)
	default: // a helper of the document
		h := g.name("h")
		at := len(g.rules)
		g.rules = append(g.rules, "")
		d := g.name("d")
		g.rules[at] = fmt.Sprintf("%s(%s) if {\n\t%s\n}\n", h, d, g.condition(d, kind, depth-1))
		return fmt.Sprintf("%s%s(%s)", g.not(), h, doc)
	}
}

// joined is about a row that a relation joins.
func (g *relationGenerator) joined(row, kind string, depth int) string {
	switch g.rng.IntN(6) {
	case 0:
		return fmt.Sprintf("%s%s", g.not(), pick(g.rng, []string{row, "is_null(" + row + ")", "is_object(" + row + ")", row + " == null", row + ` == "none"`}))
	case 1:
		v := g.name("o")
		return fmt.Sprintf("%s := %s\n\t%s", v, row, g.condition(v, kind, depth-1))
	case 2:
		h := g.name("n")
		d := g.name("d")
		f := g.term(d, kind)
		g.rules = append(g.rules, fmt.Sprintf("%s(%s) := %s\n", h, d, f))
		return fmt.Sprintf("%s%s(%s) %s %s", g.not(), h, row, pick(g.rng, []string{"==", "!="}), g.constant(f))
	default:
		return g.condition(row, kind, depth-1)
	}
}

func (g *relationGenerator) not() string { return pick(g.rng, []string{"", "", "not "}) }

func (g *relationGenerator) op() string {
	return pick(g.rng, []string{"==", "==", "!=", "<", ">="})
}

// constant is mostly of the type of a term, which its name says.
func (g *relationGenerator) constant(term string) string {
	if g.rng.IntN(8) == 0 {
		return pick(g.rng, []string{`"a"`, "1", "true", "null"})
	}
	switch name := term[strings.LastIndexByte(term, '.')+1:]; name[0] {
	case 'i':
		return pick(g.rng, []string{"0", "1", "2", "1.5"})
	case 'b':
		return pick(g.rng, []string{"true", "false"})
	case 'u':
		return pick(g.rng, []string{`"` + uuidA + `"`, `"` + uuidB + `"`, "input.subject.id"})
	default:
		return pick(g.rng, []string{`"a"`, `"b"`, `""`})
	}
}

func (g *relationGenerator) term(doc, kind string) string {
	return doc + "." + pick(g.rng, scalarsOf[kind])
}

func (g *relationGenerator) atom(doc, kind string) string {
	f := g.term(doc, kind)
	switch g.rng.IntN(6) {
	case 0:
		return fmt.Sprintf("%s%s in {%s, %s}", g.not(), f, g.constant(f), g.constant(f))
	case 1:
		return fmt.Sprintf("%sstartswith(%s.t, %s)", g.not(), doc, pick(g.rng, []string{`"a"`, `""`}))
	case 2:
		return fmt.Sprintf("%s%s %s %s", g.not(), f, g.op(), g.term("input.object", "thing"))
	case 3:
		return fmt.Sprintf("%s%s.t %s input.object.t", g.not(), doc, g.op())
	default:
		return fmt.Sprintf("%s%s %s %s", g.not(), f, g.op(), g.constant(f))
	}
}

// mixed is about two documents.
func (g *relationGenerator) mixed(a, kindA, b, kindB string) string {
	return fmt.Sprintf("%s%s %s %s", g.not(), g.term(a, kindA), g.op(), g.term(b, kindB))
}

func anyOf(rng *rand.Rand, m map[string]string) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return ""
	}
	// a map has no order of its own, and the seed has to
	least := keys[0]
	for _, k := range keys {
		least = min(least, k)
	}
	if len(keys) > 1 && rng.IntN(3) == 0 {
		for _, k := range keys {
			least = max(least, k)
		}
	}
	return least
}

// TestShrinkRelations makes hostile rows of a resource with relations, and shrinks a
// difference that a related row shows.
func TestShrinkRelations(t *testing.T) {
	ctx := t.Context()
	f := newFixture(t)
	columns, err := ColumnsOf(ctx, f.db, "things")
	require.NoError(t, err)
	policy, err := rego.Load(ctx, rego.Module("p.rego", `package authz

allow if {
	input.object.b
	not noted
	input.object.org != null
}

noted if {
	some p in input.object.parts
	some n in p.notes
	n.i >= 1
}
`))
	require.NoError(t, err)
	query, err := policy.Prepare(ctx, "data.authz.allow")
	require.NoError(t, err)
	c := Case{Query: query, Resource: f.resources["null"], Key: "row_id", Input: sharedInput}
	made, err := CheckMade(ctx, f.db, c, Hostile(rand.New(rand.NewPCG(1, 1)), c.Resource, columns, anyConstants(), 200))
	require.NoError(t, err)
	require.NoError(t, made.Err())
	require.NotEmpty(t, made.Allowed)

	c.Compile = mistakes["no negation"]
	report, err := Check(ctx, f.db, c, f.rows["null"])
	require.NoError(t, err)
	require.NotEmpty(t, report.Leaked)
	s, err := Shrink(ctx, f.db, c, report.Leaked[0], 3000)
	require.NoError(t, err)
	t.Logf("%s\n%s", s.Policy(), s.Row.Columns)
	require.Contains(t, s.Policy(), "input.object.parts")
	require.Less(t, len(s.Policy()), 160)
}
