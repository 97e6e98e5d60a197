package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/rego/compile"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/policies"
	rowrego "github.com/rowfence/rowfence/rego"
)

// The ways to a filter that are held against each other, all in one run:
//
//	warm      ours, asked for again, with its SQL
//	subject   ours, of another subject each time, by a template that is there, with its SQL
//	cold      ours, of another subject each time, with nothing that was kept
//	template  our template, which is made once for all subjects
//	partial   OPA's partial evaluation, prepared: no SQL comes of it
//	shallow   the same with shallow inlining, which is how ours asks for it
//	opa       OPA's own SQL target, prepared
//
// An input is parsed before the clock runs, for all of them.

// processor reports the processor's time for an operation, of which the ratios are
// made: it depends less than the clock's on what else runs on the machine.
func processor(b *testing.B) func() {
	start := used(b)
	return func() { b.ReportMetric(float64(used(b)-start)/float64(b.N), "cpu-ns/op") }
}

func used(tb testing.TB) int64 {
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}

// setting is a policy and a resource, as each of the ways needs them.
type setting struct {
	resource         string
	engine           *rowfence.Engine
	plan             *compiler.Plan
	root             ast.Ref
	constants        ast.Value
	partial, shallow rego.PreparedPartialQuery
	opa              *compile.Prepared
}

func newSetting(tb testing.TB, policy string, schema []byte, resource string) *setting {
	ctx := context.Background()
	s := &setting{resource: resource}
	source := rowrego.Module("policy.rego", policy)
	var err error
	s.engine, err = rowfence.New(ctx, rowfence.Config{Sources: []rowrego.Source{source}, Schema: schema})
	require.NoError(tb, err)
	parsed, err := compiler.ParseSchema(schema)
	require.NoError(tb, err)
	r, err := parsed.Resource(resource)
	require.NoError(tb, err)
	loaded, err := rowrego.Load(ctx, source)
	require.NoError(tb, err)
	query, err := loaded.Prepare(ctx, rowfence.DefaultQuery)
	require.NoError(tb, err)
	s.plan, err = compiler.NewPlan(query, r)
	require.NoError(tb, err)

	t, err := newTable(r)
	require.NoError(tb, err)
	s.root, s.constants = t.root, t.constants
	body, module := ast.MustParseBody(rowfence.DefaultQuery), rego.Module("policy.rego", policy)
	prepared := func(shallow bool) rego.PreparedPartialQuery {
		p, err := rego.New(module, rego.ParsedQuery(body), rego.ParsedUnknowns(t.unknowns), rego.ShallowInlining(shallow)).PrepareForPartial(ctx)
		require.NoError(tb, err)
		return p
	}
	s.partial, s.shallow = prepared(false), prepared(true)
	s.opa, err = compile.New(
		compile.Target("sql", "postgresql"),
		compile.ParsedUnknowns(t.unknowns...),
		compile.ParsedQuery(body),
		compile.Mappings(t.mappings),
		compile.Rego(module),
	).Prepare(ctx)
	require.NoError(tb, err)
	return s
}

// who is a subject, as each of the ways needs it.
type who struct {
	subject *rowfence.Subject
	ours    ast.Value
	opas    ast.Value // with the document's constants
}

func (s *setting) who(tb testing.TB, subject map[string]any) who {
	var w who
	var err error
	w.subject, err = rowfence.NewSubject(subject)
	require.NoError(tb, err)
	input := map[string]any{"subject": subject, "action": "read"}
	w.ours, err = ast.InterfaceToValue(input)
	require.NoError(tb, err)
	rowrego.Share(w.ours) // as NewSubject does
	w.opas, err = ast.InterfaceToValue(input)
	require.NoError(tb, err)
	w.opas.(ast.Object).Insert(s.root[1], ast.NewTerm(s.constants))
	return w
}

// compare runs each way as a benchmark, for subjects that are taken in turn.
func (s *setting) compare(b *testing.B, subjects []who) {
	run := func(way string, call func(w who) error) {
		b.Run("way="+way, func(b *testing.B) {
			defer processor(b)()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := call(subjects[i%len(subjects)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	first := subjects[0]
	run("warm", func(who) error {
		f, err := s.engine.Filter(b.Context(), first.subject, "read", s.resource)
		f.SQL(1)
		return err
	})
	t, err := s.plan.Template(b.Context(), first.ours)
	require.NoError(b, err)
	run("subject", func(w who) error {
		f, err := t.Bind(b.Context(), w.ours)
		f.Rendered()
		return err
	})
	run("cold", func(w who) error {
		f, err := s.engine.Compile(b.Context(), s.resource, w.ours)
		f.SQL(1)
		return err
	})
	run("template", func(w who) error {
		_, err := s.plan.Template(b.Context(), w.ours)
		return err
	})
	run("partial", func(w who) error {
		_, err := s.partial.Partial(b.Context(), rego.EvalParsedInput(w.opas))
		return err
	})
	run("shallow", func(w who) error {
		_, err := s.shallow.Partial(b.Context(), rego.EvalParsedInput(w.opas))
		return err
	})
	if _, err := s.opa.Compile(b.Context(), rego.EvalParsedInput(first.opas)); err != nil {
		b.Logf("OPA's SQL target refuses it: %s", message(err))
		return
	}
	run("opa", func(w who) error {
		_, err := s.opa.Compile(b.Context(), rego.EvalParsedInput(w.opas))
		return err
	})
}

const threeRules = `package authz

import rego.v1

allow if input.subject.role == "admin"

allow if input.object.owner == input.subject.id

allow if {
	input.action == "read"
	input.object.org_owner in input.subject.orgs
}
`

const threeRulesSchema = `
resources:
  document:
    table: documents
    root: input.object
    fields:
      org_owner: {column: organization_id, type: uuid, not_null: true}
      owner: {column: owner_id, type: uuid, not_null: true}
params:
  input.subject.id: text
  input.subject.orgs: text[]
`

// id is the i-th uuid of the n-th kind.
func id(n, i int) string {
	u := uuid.UUID{6: 0x40, 8: 0x80}
	for at := range 4 {
		u[at], u[15-at] = byte(n>>(8*at)), byte(i>>(8*at))
	}
	return u.String()
}

// member is the i-th subject of the three rules.
func member(i int) map[string]any {
	return map[string]any{"id": id(i, -1), "role": "member", "orgs": []any{id(i, 1), id(i, 2)}}
}

// auditor is the i-th subject of the bundled policy that audits n organizations.
func auditor(i, n int) map[string]any {
	return subject(i, n, func(int) string { return "audit_log" })
}

// subject is the i-th subject of the bundled policy, that may read something in each of
// n organizations.
func subject(i, n int, what func(org int) string) map[string]any {
	permission := func(what, action string) []any {
		return []any{map[string]any{"negate": false, "resource_type": what, "action": action}}
	}
	byOrg, groups := map[string]any{}, make([]any, n)
	for o := range n {
		org := id(i, o)
		groups[o], byOrg[org] = org, map[string]any{"org": permission(what(o), "read"), "member": []any{}}
	}
	return map[string]any{
		"id":     id(i, -1),
		"roles":  []any{map[string]any{"site": []any{}, "user": []any{}, "by_org_id": byOrg}},
		"groups": groups,
		"scope": map[string]any{
			"site": permission("*", "*"), "user": []any{}, "by_org_id": map[string]any{},
			"allow_list": []any{map[string]any{"type": "*", "id": "*"}},
		},
	}
}

func bundled(tb testing.TB) string {
	text, err := policies.FS.ReadFile("authz.rego")
	require.NoError(tb, err)
	return string(text)
}

const distinct = 50 // subjects, none of which is a copy of another

func (s *setting) each(tb testing.TB, subject func(i int) map[string]any) []who {
	out := make([]who, distinct)
	for i := range out {
		out[i] = s.who(tb, subject(i))
	}
	return out
}

func BenchmarkEngine(b *testing.B) {
	b.Run("policy=three", func(b *testing.B) {
		s := newSetting(b, threeRules, []byte(threeRulesSchema), "document")
		s.compare(b, s.each(b, member))
	})
	for _, resource := range []string{"audit_log", "document"} {
		s := newSetting(b, bundled(b), policies.Schema(), resource)
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("policy=bundled/resource=%s/orgs=%d", resource, n), func(b *testing.B) {
				s.compare(b, s.each(b, func(i int) map[string]any { return auditor(i, n) }))
			})
		}
		// half of the organizations let the subject read something else
		b.Run(fmt.Sprintf("policy=bundled/resource=%s/orgs=1000-unlike", resource), func(b *testing.B) {
			s.compare(b, s.each(b, func(i int) map[string]any {
				return subject(i, 1000, func(org int) string { return []string{"audit_log", "document"}[org%2] })
			}))
		})
	}
}

// Reading a subject, which comes before the clock runs elsewhere: ours also hashes it, and
// shares what is alike in it.
func BenchmarkSubject(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		subject := auditor(0, n)
		for _, w := range []struct {
			way  string
			read func() error
		}{
			{"ours", func() error {
				_, err := rowfence.NewSubject(subject)
				return err
			}},
			{"opa", func() error {
				text, err := json.Marshal(subject)
				if err != nil {
					return err
				}
				_, err = ast.ValueFromReader(bytes.NewReader(text))
				return err
			}},
		} {
			b.Run(fmt.Sprintf("orgs=%d/way=%s", n, w.way), func(b *testing.B) {
				defer processor(b)()
				b.ReportAllocs()
				for b.Loop() {
					if err := w.read(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkSkew has 1,000 subjects of 10 organizations, of which some ask often.
func BenchmarkSkew(b *testing.B) {
	s := newSetting(b, bundled(b), policies.Schema(), "audit_log")
	all := make([]who, 1000)
	for i := range all {
		all[i] = s.who(b, auditor(i, 10))
	}
	run := func(way string, call func(w who) error) {
		b.Run("way="+way, func(b *testing.B) {
			defer processor(b)()
			b.ReportAllocs()
			draw := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(len(all)-1))
			for b.Loop() {
				if err := call(all[draw.Uint64()]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("engine", func(w who) error {
		f, err := s.engine.Filter(b.Context(), w.subject, "read", "audit_log")
		f.SQL(1)
		return err
	})
	run("partial", func(w who) error {
		_, err := s.partial.Partial(b.Context(), rego.EvalParsedInput(w.opas))
		return err
	})
	run("opa", func(w who) error {
		_, err := s.opa.Compile(b.Context(), rego.EvalParsedInput(w.opas))
		return err
	})
}

// BenchmarkParallel is for -cpu 1,2: what is there is asked for by as many at once.
func BenchmarkParallel(b *testing.B) {
	s := newSetting(b, bundled(b), policies.Schema(), "audit_log")
	all := s.each(b, func(i int) map[string]any { return auditor(i, 10) })
	t, err := s.plan.Template(b.Context(), all[0].ours)
	require.NoError(b, err)
	run := func(way string, call func(w who) error) {
		b.Run("way="+way, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for i := 0; p.Next(); i++ {
					if err := call(all[i%len(all)]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	run("warm", func(w who) error {
		_, err := s.engine.Filter(b.Context(), w.subject, "read", "audit_log")
		return err
	})
	run("subject", func(w who) error {
		_, err := t.Bind(b.Context(), w.ours)
		return err
	})
}

// helpers is a policy whose condition is n helpers of two ways each, joined by and.
func helpers(n int) (policy string, schema []byte) {
	var calls, defined, fields strings.Builder
	for i := range n {
		fmt.Fprintf(&calls, "\thelper%d\n", i)
		fmt.Fprintf(&defined, "helper%d if input.object.a%d == \"x\"\n\nhelper%d if input.object.b%d == \"y\"\n\n", i, i, i, i)
		fmt.Fprintf(&fields, "      a%d: {column: a%d, type: text}\n      b%d: {column: b%d, type: text}\n", i, i, i, i)
	}
	return fmt.Sprintf("package authz\n\nimport rego.v1\n\nallow if {\n%s}\n\n%s", calls.String(), defined.String()),
		[]byte("resources:\n  thing:\n    table: things\n    root: input.object\n    fields:\n" + fields.String())
}

// BenchmarkHelpers reports the bytes of the SQL, too. OPA multiplies the helpers out:
// more than ten are not for it.
func BenchmarkHelpers(b *testing.B) {
	for _, n := range []int{5, 10, 20, 40} {
		policy, schema := helpers(n)
		s := newSetting(b, policy, schema, "thing")
		w := s.who(b, map[string]any{})
		b.Run(fmt.Sprintf("n=%d/way=cold", n), func(b *testing.B) {
			defer processor(b)()
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				f, err := s.engine.Compile(b.Context(), "thing", w.ours)
				if err != nil {
					b.Fatal(err)
				}
				text, _ := f.SQL(1)
				size = len(text)
			}
			b.ReportMetric(float64(size), "sql-bytes")
		})
		if n > 10 {
			continue
		}
		b.Run(fmt.Sprintf("n=%d/way=opa", n), func(b *testing.B) {
			defer processor(b)()
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				filters, err := s.opa.Compile(b.Context(), rego.EvalParsedInput(w.opas))
				if err != nil {
					b.Fatal(err)
				}
				text, _ := filters.For("sql", "postgresql").Query.(string)
				size = len(text)
			}
			b.ReportMetric(float64(size), "sql-bytes")
		})
	}
}

// indexed is a policy of n rules, of which one applies to the subject.
func indexed(n int) string {
	var b strings.Builder
	b.WriteString("package authz\n\nimport rego.v1\n\n")
	for i := range n {
		fmt.Fprintf(&b, "allow if {\n\tinput.subject.role == \"role%d\"\n\tinput.object.org_owner == \"%s\"\n}\n\n", i, id(0, i))
	}
	return b.String()
}

func BenchmarkIndexed(b *testing.B) {
	for _, n := range []int{1, 1000} {
		s := newSetting(b, indexed(n), []byte(threeRulesSchema), "document")
		w := s.who(b, map[string]any{"role": "role0", "id": id(0, 0), "orgs": []any{}})
		b.Run(fmt.Sprintf("rules=%d/way=cold", n), func(b *testing.B) {
			defer processor(b)()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.engine.Compile(b.Context(), "document", w.ours); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("rules=%d/way=opa", n), func(b *testing.B) {
			defer processor(b)()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.opa.Compile(b.Context(), rego.EvalParsedInput(w.opas)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMillion is the filter of one subject after the other, a million of them
// where -benchtime 1000000x says so, and reports the memory that is held at the end.
func BenchmarkMillion(b *testing.B) {
	engine, err := rowfence.New(b.Context(), rowfence.Config{
		Sources: []rowrego.Source{rowrego.Module("policy.rego", threeRules)}, Schema: []byte(threeRulesSchema), CacheBytes: 16 << 20,
	})
	require.NoError(b, err)
	before := heap()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		of, err := rowfence.NewSubject(member(i))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := engine.Filter(b.Context(), of, "read", "document"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(heap()-before)/(1<<20), "heap-MiB")
	b.ReportMetric(16, "bound-MiB")
	runtime.KeepAlive(engine)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
