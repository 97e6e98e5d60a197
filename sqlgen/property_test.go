package sqlgen

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
)

// TestMain gives rapid a fixed seed, so that a run says something of the change it
// tests; -rapid.seed=N looks for what is new.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.seed"); f.Value.String() == "0" {
		if err := f.Value.Set("1"); err != nil {
			panic(err)
		}
	}
	pgtest.Run(m)
}

// predicatesPerCheck share the statements of a check.
const predicatesPerCheck = 40

type batch struct {
	preds  []Predicate
	params map[string]Literal
}

// GoString is what rapid prints: the failure says which predicate it is.
func (b batch) GoString() string { return fmt.Sprintf("%d predicates", len(b.preds)) }

var batches = rapid.Custom(func(rt *rapid.T) batch {
	g := &generator{T: rt, params: map[string]Literal{}}
	preds := make([]Predicate, predicatesPerCheck)
	for i := 0; i < len(preds); i += 2 { // each and its negation
		preds[i] = g.predicate(3)
		preds[i+1] = Not{preds[i]}
	}
	return batch{preds, g.params}
})

// TestRenderings asks PostgreSQL whether all that can be made of a predicate
// selects the same rows. For more than the default: -rapid.checks=2000.
func TestRenderings(t *testing.T) {
	judge := newJudge(t)
	predicates := 0
	rapid.Check(t, func(rt *rapid.T) {
		drawn := batches.Draw(rt, "predicates")
		predicates += len(drawn.preds)
		if err := judge.agree(drawn.preds, drawn.params); err != nil {
			for _, p := range drawn.preds { // which one?
				if err := judge.agree([]Predicate{p}, drawn.params); err != nil {
					rt.Fatal(err)
				}
			}
			rt.Fatal(err)
		}
	})
	t.Logf("%d predicates", predicates)
}

// TestSimplifyStable checks what Simplify promises of its result.
func TestSimplifyStable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		drawn := batches.Draw(rt, "predicates")
		for _, p := range drawn.preds {
			once := Simplify(p)
			if again := Simplify(once); printed(again) != printed(once) {
				rt.Fatalf("not idempotent\nof    %v\nonce  %v\nagain %v", p, once, again)
			}
			other := shuffled(rt, p)
			text, args := When(p).SQL(1)
			otherText, otherArgs := When(other).SQL(1)
			if text != otherText || fmt.Sprint(args) != fmt.Sprint(otherArgs) {
				rt.Fatalf("the order of disjuncts shows\nof %v\n   %s %v\nof %v\n   %s %v", p, text, args, other, otherText, otherArgs)
			}
		}
	})
}

// shuffled is p with its disjuncts in another order.
func shuffled(rt *rapid.T, p Predicate) Predicate {
	switch p := p.(type) {
	case And:
		out := make(And, len(p))
		for i, t := range p {
			out[i] = shuffled(rt, t)
		}
		return out
	case Or:
		out := make(Or, len(p))
		for i, t := range p {
			out[i] = shuffled(rt, t)
		}
		return Or(rapid.Permutation([]Predicate(out)).Draw(rt, "order"))
	case Not:
		return Not{shuffled(rt, p.Of)}
	case Exists:
		p.Where = shuffled(rt, p.Where)
		return p
	default:
		return p
	}
}

// judge is PostgreSQL with random rows.
type judge struct {
	ctx       context.Context
	simple    *pgx.Conn
	prepared  *pgx.Conn
	described *pgx.Conn
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	db := pgtest.New(t)
	fill(t, db)
	connect := func(mode pgx.QueryExecMode) *pgx.Conn {
		config := db.Config().ConnConfig.Copy()
		config.DefaultQueryExecMode = mode
		config.StatementCacheCapacity, config.DescriptionCacheCapacity = 16, 16 // no statement comes again
		config.RuntimeParams["timezone"] = "America/New_York"                   // must not matter
		config.RuntimeParams["jit"] = "off"
		conn, err := pgx.ConnectConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	return &judge{
		ctx:       t.Context(),
		simple:    connect(pgx.QueryExecModeSimpleProtocol),
		prepared:  connect(pgx.QueryExecModeCacheStatement),
		described: connect(pgx.QueryExecModeCacheDescribe),
	}
}

// fill makes rows of the pools' values, the same ones in each run.
func fill(t *testing.T, db *pgxpool.Pool) {
	t.Helper()
	_, err := db.Exec(t.Context(), schema)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	value := func(k Type) any {
		n := random.IntN(1 << 30)
		switch k.Kind {
		case KindUUID:
			return uuidPool[n%len(uuidPool)].String()
		case KindText:
			return textPool[n%len(textPool)]
		case KindBool:
			return n%2 == 0
		case KindInt:
			return intPool[n%len(intPool)]
		case KindFloat:
			all := append(append([]float64{}, floatPool...), oddFloats...)
			return all[n%len(all)]
		case KindNumeric:
			return numberPool[n%len(numberPool)]
		case KindTimestamptz:
			return timePool[n%len(timePool)]
		case KindDate:
			return datePool[n%len(datePool)]
		case KindInet:
			return inetPool[n%len(inetPool)]
		case KindEnum:
			return enumPool[n%len(enumPool)]
		default:
			return jsonPool[n%len(jsonPool)]
		}
	}
	for id := range 48 {
		names, holders, args := []string{"id"}, []string{"$1"}, []any{id}
		for typ, cs := range columns {
			for _, c := range cs {
				var v any
				switch {
				case !c.NotNull && random.IntN(4) == 0:
				case typ == Type{Kind: KindText, Array: true}:
					v = arrayPool[random.IntN(len(arrayPool))]
				case typ.Kind == KindUUID && typ.Array:
					v = fmt.Sprintf("{%v,NULL,%v}", value(typ), value(typ))
				case typ.Kind == KindInt && typ.Array:
					v = "{1,404,NULL}"
				case typ.Array:
					v = "{read,NULL,\"it's\"}"
				case c.Name == "user": // a smallint
					v = intPool[random.IntN(6)]
				default:
					v = value(typ)
				}
				args = append(args, v)
				names, holders = append(names, quoteName(c.Name)), append(holders, "$"+strconv.Itoa(len(args)))
			}
		}
		_, err := db.Exec(t.Context(), "INSERT INTO t ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(holders, ", ")+")", args...)
		require.NoError(t, err)
		for range random.IntN(3) {
			_, err := db.Exec(t.Context(), "INSERT INTO child VALUES ($1, $2, $3, NULL, 1)",
				id, []any{"a", "b", nil, "it's"}[random.IntN(4)], random.IntN(2) == 0)
			require.NoError(t, err)
		}
		if id%3 > 0 {
			_, err := db.Exec(t.Context(), "INSERT INTO sole SELECT $1, s, bn, u, 1 FROM t WHERE id = $1", id)
			require.NoError(t, err)
		}
	}
}

// agree renders the predicates in every way and compares the rows selected.
func (j *judge) agree(preds []Predicate, params map[string]Literal) error {
	var plain, simplified, late []Filter
	for _, p := range preds {
		bound, err := bind(p, params)
		if err != nil {
			return err
		}
		plain = append(plain, Filter{result: ResultWhen, pred: bound})
		simplified = append(simplified, When(bound))
		boundLate, err := bind(Simplify(p), params)
		if err != nil {
			return err
		}
		late = append(late, Filter{result: ResultWhen, pred: boundLate})
	}

	type way struct {
		name  string
		rows  [][]int32
		texts []string
	}
	var ways []way
	run := func(name string, conn *pgx.Conn, args []any, texts []string) error {
		rows, err := selected(j.ctx, conn, texts, args)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s\n%v", name, err, Indent(preds[0]), texts[0])
		}
		ways = append(ways, way{name, rows, texts})
		return nil
	}

	var texts []string
	for _, f := range plain {
		texts = append(texts, truth(f.pred))
	}
	if err := run("by definition", j.simple, nil, texts); err != nil {
		return err
	}
	texts = nil
	for _, f := range plain {
		texts = append(texts, f.Inline())
	}
	if err := run("inlined as it is", j.simple, nil, texts); err != nil {
		return err
	}
	texts = nil
	for _, f := range simplified {
		texts = append(texts, f.Inline())
	}
	if err := run("inlined", j.simple, nil, texts); err != nil {
		return err
	}
	for _, w := range []struct {
		name    string
		filters []Filter
		conn    *pgx.Conn
	}{
		{"as it is, prepared", plain, j.prepared},
		{"simplified, prepared", simplified, j.prepared},
		{"simplified before binding, prepared", late, j.prepared},
		{"simplified, described", simplified, j.described},
	} {
		var args []any
		texts = nil
		for _, f := range w.filters {
			text, more := f.SQL(len(args) + 1)
			texts, args = append(texts, text), append(args, more...)
		}
		if err := run(w.name, w.conn, args, texts); err != nil {
			return err
		}
	}
	var args []any
	texts = nil
	for _, f := range simplified {
		text, more, err := f.ToSql()
		if err != nil {
			return err
		}
		text = dollars(text, len(args)+1)
		texts, args = append(texts, "CASE WHEN t.id % 2 = 0 AND "+text+" AND t.id < 1000 THEN TRUE ELSE t.id % 2 = 1 AND "+text+" END"), append(args, more...)
	}
	if err := run("question marks", j.described, args, texts); err != nil {
		return err
	}
	named := pgx.NamedArgs{}
	texts = nil
	for i, f := range simplified {
		text, more := f.Named(fmt.Sprintf("f%d_", i))
		texts = append(texts, text)
		for k, v := range more {
			named[k] = v
		}
	}
	if err := run("named", j.described, []any{named}, texts); err != nil {
		return err
	}

	for _, w := range ways[1:] {
		for i := range preds {
			if fmt.Sprint(w.rows[i]) != fmt.Sprint(ways[0].rows[i]) {
				return fmt.Errorf("%s: rows %v, but %s: %v\n%s\nparameters %v\nsimplified %v\n%s\n%s",
					ways[0].name, ways[0].rows[i], w.name, w.rows[i],
					Indent(preds[i]), params, simplified[i].Predicate(), ways[0].texts[i], w.texts[i])
			}
		}
	}
	return nil
}

// truth writes what the package says of truth, without a thought for how it reads:
// each leaf is true or not, and the rest is two-valued logic.
func truth(p Predicate) string {
	join := func(terms []Predicate, op, empty string) string {
		text := empty
		for _, t := range terms {
			text += op + truth(t)
		}
		return "(" + text + ")"
	}
	switch p := p.(type) {
	case And:
		return join(p, " AND ", "TRUE")
	case Or:
		return join(p, " OR ", "FALSE")
	case Not:
		return "(NOT " + truth(p.Of) + ")"
	case Exists:
		on := p.On
		if on == nil {
			on = True
		}
		if p.Outer != "" {
			on, p.Where = Qualify(on, p.Outer), Qualify(p.Where, p.Outer)
		}
		return "EXISTS (SELECT FROM " + quoteName(p.From) + " AS " + quoteName(p.Alias) + " WHERE " + truth(on) + " AND " + truth(p.Where) + ")"
	case ExistsElement:
		where := truth(p.Where)
		p.Where = NotNull(Column{p.Element.Table, p.Element.Position, Type{Kind: KindInt}, true})
		if p.Values {
			p.Where = NotNull(p.ElementKey())
		}
		return strings.Replace(render(p, inline{}), " WHERE "+render(p.Where, inline{}), " WHERE "+where, 1)
	default:
		return "((" + render(p, inline{}) + ") IS TRUE)"
	}
}

func bind(p Predicate, params map[string]Literal) (Predicate, error) {
	return Bind(p, func(param Param) (Literal, error) {
		l, ok := params[param.Name]
		if !ok {
			return l, fmt.Errorf("no parameter %s", param.Name)
		}
		return l, nil
	})
}

// selected are, for each condition, the rows for which it is true.
func selected(ctx context.Context, conn *pgx.Conn, conditions []string, args []any) ([][]int32, error) {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range conditions {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "array_agg(t.id) FILTER (WHERE %s)", c)
	}
	b.WriteString("\nFROM (SELECT * FROM t ORDER BY id) AS t")
	out := make([][]int32, len(conditions))
	into := make([]any, len(out))
	for i := range out {
		into[i] = &out[i]
	}
	return out, conn.QueryRow(ctx, b.String(), args...).Scan(into...)
}

// dollars replaces question marks as query builders do.
func dollars(text string, next int) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '?':
			b.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == '?':
			b.WriteByte('?')
			i++
		default:
			fmt.Fprintf(&b, "$%d", next)
			next++
		}
	}
	return b.String()
}
