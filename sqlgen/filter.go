package sqlgen

import (
	"context"
	"slices"
	"strings"
)

// Result says which of the three a filter is.
type Result uint8

// The results.
const (
	ResultNever  Result = iota // no row
	ResultAlways               // every row
	ResultWhen                 // the rows for which the predicate is true
)

// String is "never", "always" or "when".
func (r Result) String() string { return [...]string{"never", "always", "when"}[r] }

// Filter says which rows of a resource are selected: all, none, or those for
// which a predicate is true. The zero Filter selects none.
//
// A Filter has the ToSql method that query builders take for a condition.
type Filter struct {
	result   Result
	pred     Predicate
	rendered *rendering // nil until it is asked for by Rendered
}

// Always is the filter that selects every row.
func Always() Filter { return Filter{result: ResultAlways} }

// Never is the filter that selects no row.
func Never() Filter { return Filter{} }

// When is the filter that selects the rows for which p is true, simplified. A
// constant p makes it Always or Never. A p that lacks a part (a nil term or operand,
// a comparison without its operator) makes it Never.
func When(p Predicate) Filter { return WhenContext(context.Background(), p, nil) }

// WhenContext is [When], and reports each simplification that fired to trace, unless
// that is nil. When the context ends, the rest of p is left as it is: the filter
// selects the same rows.
func WhenContext(ctx context.Context, p Predicate, trace func(Step)) Filter {
	if !wellFormed(p) {
		return Never()
	}
	p = simplify(ctx, p, trace)
	if c, ok := p.(Const); ok {
		if c {
			return Always()
		}
		return Never()
	}
	return Filter{result: ResultWhen, pred: p}
}

// Result says which of the three f is.
func (f Filter) Result() Result { return f.result }

// Predicate is the condition: True, False, or the simplified predicate.
func (f Filter) Predicate() Predicate {
	if f.result == ResultWhen {
		return f.pred
	}
	return Const(f.result == ResultAlways)
}

// As is the filter on a table that the query calls by another name: its columns
// are qualified with alias.
func (f Filter) As(alias string) Filter {
	if f.result == ResultWhen {
		f.pred, f.rendered = Qualify(f.pred, alias), nil
	}
	return f
}

// SQL is a boolean expression that can stand after WHERE or in an AND, and its
// arguments. Placeholders are numbered from start, which is 1 where the
// condition's arguments come first. The arguments' elements are not to be changed:
// the filters of a cache share them.
func (f Filter) SQL(start int) (text string, args []any) {
	r := f.rendered
	if r == nil {
		r = rendered(f.Predicate(), f.closed)
	}
	return r.write(start), slices.Clip(r.args)
}

// ToSql is the expression with ? placeholders, for query builders. A ? that is
// no placeholder is doubled, as they expect. The error is always nil.
func (f Filter) ToSql() (string, []any, error) { //nolint:revive // the name is the interface's
	var q question
	text := strings.ReplaceAll(render(f.Predicate(), &q), "?", "??")
	return strings.ReplaceAll(f.closed(text), placeholder, "?"), q.args, nil
}

// Named is the expression with @prefix1, @prefix2, … and their values, which can
// be used as pgx.NamedArgs.
func (f Filter) Named(prefix string) (text string, args map[string]any) {
	n := named{prefix: prefix, args: map[string]any{}, seen: map[string]string{}}
	text = render(f.Predicate(), &n)
	return f.closed(text), n.args
}

// Inline is the expression with the values written out and quoted: for EXPLAIN,
// psql and golden files. A server sends [Filter.SQL].
func (f Filter) Inline() string { return f.closed(render(f.Predicate(), inline{})) }

// String is [Filter.Inline].
func (f Filter) String() string { return f.Inline() }

// closed puts an OR in parentheses, so that the text can stand in an AND.
func (f Filter) closed(text string) string {
	if or, ok := f.pred.(Or); ok && f.result == ResultWhen && len(or) > 1 {
		return "(" + text + ")"
	}
	return text
}
