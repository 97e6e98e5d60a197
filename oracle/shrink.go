package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// Symptom is how the promise is broken for a row.
type Symptom uint8

// The ways in which the promise is broken.
const (
	Leaked Symptom = iota + 1 // the SQL selects the row, and OPA does not allow it
	Lost                      // OPA allows the row, and the SQL does not select it
	Failed                    // the SQL does not run
)

func (s Symptom) String() string {
	return map[Symptom]string{Leaked: "leaked", Lost: "lost", Failed: "failed"}[s]
}

// Smallest is a difference made small: what is left of a policy, its data, an input and
// a row that shows it.
type Smallest struct {
	Symptom  Symptom
	Err      error             // where it failed
	Modules  map[string]string // what is left of the policy, formatted
	Data     ast.Value
	Input    map[string]any
	Row      Row // without a key if it is not a row of the table any more
	Filter   sqlgen.Filter
	Position compiler.Position // in the policy as it was: of an expression about the row that is left
	Tries    int
}

// Policy is what is left of the policy as one text.
func (s *Smallest) Policy() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Modules)) {
		if len(s.Modules) > 1 {
			fmt.Fprintf(&b, "# %s\n", name)
		}
		b.WriteString(s.Modules[name])
	}
	return b.String()
}

// ErrNoDifference says that there is nothing to shrink.
var ErrNoDifference = errors.New("the row shows no difference")

// Shrink makes a difference smaller that a row shows, as far as it gets with so many
// tries, or until the context ends. It takes things off the policy, the data, the input
// and the row, as long as the same symptom is left.
//
// A row that shows the difference only in its table is not changed.
func Shrink(ctx context.Context, db DB, c Case, row Row, tries int) (*Smallest, error) {
	policy := c.Query.Policy()
	s := &shrinker{db: db, base: c, left: tries, columns: map[string]Column{}, seen: map[string]bool{}}
	data, err := ast.JSON(policy.Data())
	if err != nil {
		return nil, fmt.Errorf("reading the data: %w", err)
	}
	known, err := ast.InterfaceToValue(c.Input)
	if err != nil {
		return nil, fmt.Errorf("reading the input: %w", err)
	}
	now := candidate{modules: policy.Modules(), data: data, row: row}
	if plain, err := ast.JSON(known); err == nil { // numbers as numbers, whatever Go has
		now.input, _ = plain.(map[string]any)
	}
	if known, err := ColumnsOf(ctx, db, c.Resource.Table); err == nil {
		s.columns = known
	}
	made := now
	made.columns = s.columnsOf(row)
	if s.best, err = s.run(ctx, made); err == nil && made.columns != nil && s.best.symptom != 0 {
		now = made
	} else if s.best, err = s.run(ctx, now); err != nil || s.best.symptom == 0 {
		return nil, errors.Join(ErrNoDifference, err)
	}
	for changed := true; changed && s.left > 0 && ctx.Err() == nil; {
		changed = false
		for _, step := range []func(candidate, int) (candidate, bool){s.smallerPolicy, smallerData, smallerInput, s.smallerRow} {
			for n := 0; s.left > 0 && ctx.Err() == nil; {
				next, more := step(now, n)
				if !more {
					break
				}
				found, err := s.run(ctx, next)
				if err == nil && found.symptom == s.best.symptom && found.code == s.best.code {
					now, s.best, changed = next, found, true
					continue // what is next has the same number now
				}
				n++
			}
		}
	}
	return s.smallest(now, tries)
}

// candidate may be a smaller difference.
type candidate struct {
	modules map[string]*ast.Module // with the places of the policy as it was
	data    any
	input   map[string]any
	row     Row
	columns map[string]any // of a row that is made
}

// finding is what a candidate shows.
type finding struct {
	symptom Symptom
	code    string // of a failure
	err     error
	row     Row
	filter  sqlgen.Filter
}

type shrinker struct {
	db      DB
	base    Case
	columns map[string]Column
	left    int // tries
	best    finding
	seen    map[string]bool
}

// columnsOf are the columns of the row that are fields, or join rows of other tables.
func (s *shrinker) columnsOf(row Row) map[string]any {
	all, err := compiler.DecodeInput([]byte(row.Columns))
	if err != nil {
		return nil
	}
	out := map[string]any{}
	for _, f := range s.base.Resource.Fields {
		if v, ok := all[f.Column.Name]; ok && f.Const == nil {
			out[f.Column.Name] = v
		}
		if f.Relation == nil {
			continue
		}
		for _, j := range f.Relation.Join {
			if v, ok := all[j.Parent]; ok {
				out[j.Parent] = v
			}
		}
	}
	return out
}

// run tries a candidate. The error says why it can't be tried: one that is not valid,
// is refused, or has been tried.
func (s *shrinker) run(ctx context.Context, c candidate) (found finding, err error) {
	texts := map[string]string{}
	for name, m := range c.modules {
		if texts[name], err = printed(m); err != nil {
			return found, err
		}
	}
	id := marshal([]any{texts, c.data, c.input, c.columns})
	if s.seen[id] {
		return found, errors.New("it has been tried")
	}
	s.seen[id] = true
	s.left--
	defer func() {
		if r := recover(); r != nil {
			found, err = finding{symptom: Failed, code: "panic", err: fmt.Errorf("panic: %v", r)}, nil
		}
	}()
	at := s.base
	at.Input = c.input
	if at.Query, err = s.prepare(ctx, texts, c.data); err != nil {
		return found, err
	}
	report, err := s.check(ctx, at, c)
	var refusal *compiler.Error
	switch {
	case err != nil && (ctx.Err() != nil || errors.As(err, &refusal)):
		return found, err
	case err != nil:
		found = finding{symptom: Failed, err: err, row: c.row}
		var failed *pgconn.PgError
		if errors.As(err, &failed) {
			found.code = failed.Code
		}
		return found, nil
	case len(report.Leaked) > 0:
		return finding{symptom: Leaked, row: report.Leaked[0], filter: report.Filter}, nil
	case len(report.Lost) > 0:
		return finding{symptom: Lost, row: report.Lost[0], filter: report.Filter}, nil
	default:
		return found, nil
	}
}

func (s *shrinker) prepare(ctx context.Context, texts map[string]string, data any) (*rego.Query, error) {
	var sources []rego.Source
	for name, text := range texts {
		sources = append(sources, rego.Module(name, text))
	}
	if data, ok := data.(map[string]any); ok {
		sources = append(sources, rego.Data(data))
	}
	policy, err := rego.Load(ctx, sources...)
	if err != nil {
		return nil, err
	}
	return policy.Prepare(ctx, s.base.Query.String())
}

// check compares one row. A statement that fails ends a transaction, so each has its
// own, where that is possible.
func (s *shrinker) check(ctx context.Context, at Case, c candidate) (*Report, error) {
	db := s.db
	if begins, ok := db.(interface {
		Begin(context.Context) (pgx.Tx, error)
	}); ok {
		tx, err := begins.Begin(ctx)
		if err != nil {
			return nil, err
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		db = tx
	}
	if c.columns == nil {
		return Check(ctx, db, at, []Row{c.row})
	}
	return CheckMade(ctx, db, at, []string{marshal(c.columns)})
}

// printed is the text of a module. OPA's formatter does not print every module so that
// it can be parsed again.
func printed(m *ast.Module) (text string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("printing: %v", r)
		}
	}()
	for _, ignore := range []bool{true, false} { // its layout need not depend on where its parts were
		formatted, err := format.AstWithOpts(m, format.Opts{IgnoreLocations: ignore, RegoVersion: ast.RegoV1})
		if err != nil {
			return "", err
		}
		text = string(formatted)
		if _, err = ast.ParseModuleWithOpts("", text, ast.ParserOptions{RegoVersion: ast.RegoV1}); err == nil {
			break
		}
	}
	return text, nil
}

func (s *shrinker) smallerPolicy(c candidate, n int) (candidate, bool) {
	modules := make(map[string]*ast.Module, len(c.modules))
	for name, m := range c.modules {
		modules[name] = m.Copy()
	}
	c.modules = modules
	r := reduction{number: n}
	return c, r.modules(modules)
}

func smallerData(c candidate, n int) (candidate, bool) {
	r := reduction{number: n}
	c.data = r.json(c.data)
	return c, r.done
}

func smallerInput(c candidate, n int) (candidate, bool) {
	r := reduction{number: n}
	c.input, _ = r.json(c.input).(map[string]any)
	return c, r.done
}

// smallerRow sets columns to NULL or to the simplest value of their type, many at a
// time at first, and takes parts off a value.
func (s *shrinker) smallerRow(c candidate, n int) (candidate, bool) {
	if c.columns == nil {
		return c, false
	}
	columns := maps.Clone(c.columns)
	c.columns = columns
	r := reduction{number: n}
	var fields []sqlgen.Column // that are not as simple as they can be
	for _, f := range s.base.Resource.Fields {
		if v, ok := columns[f.Column.Name]; ok && f.Const == nil && marshal(v) != marshal(s.simplest(f.Column)) {
			fields = append(fields, f.Column)
		}
	}
	r.spans(len(fields), func(from, to int) {
		for _, f := range fields[from:to] {
			columns[f.Name] = s.simplest(f)
		}
	})
	for _, f := range fields {
		if r.done {
			break
		}
		now := columns[f.Name]
		known := s.columns[f.Name]
		if plain := simplest(f.Type, known); marshal(now) != marshal(plain) && !f.NotNull && r.turn() {
			columns[f.Name] = plain
			break
		}
		if known.Domain {
			continue
		}
		columns[f.Name] = r.value(now, f.Type, known)
	}
	return c, r.done
}

func (s *shrinker) simplest(c sqlgen.Column) any {
	if !c.NotNull {
		return nil
	}
	return simplest(c.Type, s.columns[c.Name])
}

// value is a column's value, or a smaller one if it has its turn.
func (r *reduction) value(v any, t sqlgen.Type, known Column) any {
	if r.done || v == nil {
		return v
	}
	small := r.json(v)
	switch {
	case !r.done:
		return v
	case t.Kind == sqlgen.KindJSONB:
		return small
	case t.Array:
		list, ok := small.([]any)
		if !ok {
			return v
		}
		for i, e := range list {
			if fitting := fit(e, t.Elem(), known); e != nil && fitting == nil {
				return v
			} else if e != nil {
				list[i] = fitting
			}
		}
		return list
	}
	if fitting := fit(small, t, known); fitting != nil {
		return fitting
	}
	return v
}

// smallest is what was found.
func (s *shrinker) smallest(c candidate, tries int) (*Smallest, error) {
	out := &Smallest{
		Symptom: s.best.symptom, Err: s.best.err, Modules: map[string]string{}, Input: c.input,
		Row: s.best.row, Filter: s.best.filter, Tries: tries - s.left,
	}
	for name, m := range c.modules {
		text, err := printed(m)
		if err != nil {
			return nil, fmt.Errorf("printing what is left of %s: %w", name, err)
		}
		out.Modules[name] = text
	}
	var err error
	if out.Data, err = ast.InterfaceToValue(c.data); err != nil {
		return nil, fmt.Errorf("reading what is left of the data: %w", err)
	}
	if c.columns != nil {
		out.Row.Columns = marshal(c.columns)
		if same, err := json.Marshal(s.columnsOf(c.row)); err == nil && string(same) == marshal(c.columns) {
			out.Row.Key = c.row.Key
		}
	}
	out.Position = position(c.modules, s.base.Resource.Root)
	return out, nil
}

// position is the place of the first expression about the row, or of the first rule.
func position(modules map[string]*ast.Module, root ast.Ref) (at compiler.Position) {
	found := false
	place := func(loc *ast.Location) {
		if loc != nil {
			at = compiler.Position{File: loc.File, Row: loc.Row, Col: loc.Col}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		for _, rule := range modules[name].Rules {
			if at.Row == 0 {
				place(rule.Location)
			}
			ast.WalkExprs(rule, func(e *ast.Expr) bool {
				ast.WalkRefs(e, func(ref ast.Ref) bool {
					if !found && ref.HasPrefix(root) {
						found = true
						place(e.Location)
					}
					return found
				})
				return found
			})
		}
	}
	return at
}
