package rls

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

// Target is a resource, and an action on it.
type Target struct{ Resource, Action string }

// scope is the setting that holds the condition's mark. The other settings are below.
func (t Target) scope() string { return prefix + "." + word(t.Resource) + "." + word(t.Action) }

// Condition is a template's condition as SQL that reads the parameters from settings.
type Condition struct {
	target   Target
	template *compiler.Template
	pred     sqlgen.Predicate
	text     string // without the guard
	mark     string
	settings []setting
}

// NewCondition is the condition of the target's template. It is refused, as an
// [compiler.Error], where it depends on the time, or reads its own table in a subquery:
// there PostgreSQL would apply the policy again, and again inside of it.
func NewCondition(t *compiler.Template, target Target) (*Condition, error) {
	plan := t.Plan()
	if plan.AsksTime() {
		return nil, &compiler.Error{
			Code: compiler.CodeBuiltin, Reason: "the policy asks for the time, and a condition in the database would keep the time at which it was made",
			Hint: "ask for it in a rule of the subject alone, and make that rule a parameter",
		}
	}
	uuids := map[string]string{}
	pred := sqlgen.UUIDParams(t.Condition(), func(p sqlgen.Param) sqlgen.Param {
		as := sqlgen.Param{Name: p.Name + " as uuid", Type: sqlgen.Type{Kind: sqlgen.KindUUID, Array: true}}
		uuids[as.Name] = p.Name
		return as
	})
	table := plan.Resource().Table
	for _, read := range sqlgen.Tables(pred) {
		if maySame(read, table) {
			return nil, &compiler.Error{
				Code: compiler.CodeReference, Reason: fmt.Sprintf("the condition reads other rows of %s, to which PostgreSQL would apply it again", table),
				Hint: "keep what it asks of them in a column, or in another table",
			}
		}
	}
	c := &Condition{target: target, template: t, pred: pred, settings: settingsOf(target.scope(), pred, uuids)}
	byName := map[string]setting{}
	for _, s := range c.settings {
		byName[s.param.Name] = s
	}
	c.text = sqlgen.Written(pred, func(p sqlgen.Param) string { return byName[p.Name].read() })
	sum := sha256.Sum256([]byte(c.text))
	c.mark = hex.EncodeToString(sum[:12])
	return c, nil
}

// maySame reports whether two names may be of one table. One without a schema may be in
// any.
func maySame(a, b string) bool {
	return a == b || !(strings.Contains(a, ".") && strings.Contains(b, ".")) && a[strings.LastIndexByte(a, '.')+1:] == b[strings.LastIndexByte(b, '.')+1:]
}

// SQL is the condition: true of exactly the rows that the policy allows those whose
// [Condition.Settings] are set, and of none where they are not all set.
func (c *Condition) SQL() string {
	if c.pred == sqlgen.Predicate(sqlgen.False) {
		return c.text
	}
	guard := c.guard()
	if c.pred == sqlgen.Predicate(sqlgen.True) {
		return guard
	}
	return guard + " AND (" + c.text + ")"
}

// guard is true where all settings have a value, for this condition. NULL, of one that
// has not, makes no condition true.
func (c *Condition) guard() string {
	terms := []string{currentSetting(c.target.scope()) + " = '" + c.mark + "'"}
	for _, s := range c.settings {
		terms = append(terms, s.current()+" <> ''")
	}
	return "(SELECT " + strings.Join(terms, " AND ") + ")"
}

// Settings are the condition's for an input, evaluated now. The input is one of the
// template's key.
func (c *Condition) Settings(ctx context.Context, input any) (*Settings, error) {
	values, err := c.template.Values(ctx, input)
	if err != nil {
		return nil, err
	}
	out := &Settings{}
	out.add(c.target.scope(), c.mark)
	for _, s := range c.settings {
		value, err := values(sqlgen.Param{Name: s.of})
		if err != nil {
			return nil, err
		}
		text := s.text(value)
		if strings.ContainsRune(text, 0) {
			return nil, &compiler.Error{Code: compiler.CodeParam, Reason: fmt.Sprintf("parameter %s holds the character NUL, which PostgreSQL can't", s.of)}
		}
		out.add(s.name, text)
	}
	return out, nil
}
