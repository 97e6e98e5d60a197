package rego

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown/print"
)

// Policy is a set of compiled modules and their data. It is immutable, and safe
// for concurrent use.
type Policy struct {
	modules   map[string]*ast.Module  // as parsed
	source    *ast.Compiler           // as written: what full evaluation means
	desugared *ast.Compiler           // without else, which partial evaluation leaves whole
	restored  map[*ast.Rule]*ast.Rule // rules of desugared that hold the operator in, with it; see member.go
	store     storage.Store
	data      ast.Value
	nested    []nestedRule // rules with several variable keys
	chains    chains       // of else
	namespace string       // of the rules of a residual, below data
	with      *modifiers   // expressions that partial evaluation does not see
	direct    *direct
	beyond    []*ast.Term // constants that are numbers beyond a double
}

// Load reads and compiles policies. Errors of the policies' text are OPA's
// ast.Errors, with positions.
func Load(_ context.Context, from ...Source) (*Policy, error) {
	s := sources{modules: map[string]*ast.Module{}, data: map[string]any{}}
	for _, src := range from {
		if err := src(&s); err != nil {
			return nil, err
		}
	}
	if len(s.modules) == 0 {
		return nil, errors.New("no policy: no Rego file is there")
	}
	p := &Policy{
		modules:   s.modules,
		store:     inmem.NewFromObject(s.data),
		namespace: freeName("residual", s),
		with:      newModifiers(freeName("with", s)),
		chains:    chains{map[place]link{}, map[place]link{}},
	}
	var err error
	if p.data, err = ast.InterfaceToValue(s.data); err != nil {
		return nil, fmt.Errorf("reading data documents: %w", err)
	}
	if p.source, err = compile(s.modules, ast.CapabilitiesForThisVersion()); err != nil {
		return nil, err
	}
	plain := make(map[string]*ast.Module, len(s.modules))
	for name, m := range s.modules {
		p.chains.add(m)
		plain[name] = desugarElse(m)
		renameMember(plain[name])
	}
	if p.desugared, err = compile(plain, untyped(), p.with.stage, p.with.loosen); err != nil {
		return nil, fmt.Errorf("rewriting else: %w", err)
	}
	if err := checkElse(p.source); err != nil {
		return nil, err
	}
	p.restored = map[*ast.Rule]*ast.Rule{}
	for _, m := range p.desugared.Modules {
		for _, rule := range m.Rules {
			if hasOurs(rule) {
				p.restored[rule] = restore(rule)
			}
		}
	}
	p.nested = nestedKeys(p.desugared)
	p.direct = newDirect(p)
	p.beyond = beyondDouble(p.modules)
	return p, nil
}

// compile compiles modules, with a last change to them before they are indexed.
func compile(modules map[string]*ast.Module, capabilities *ast.Capabilities, last ...ast.CompilerStage) (*ast.Compiler, error) {
	c := ast.NewCompiler().WithEnablePrintStatements(false).WithCapabilities(capabilities)
	for _, stage := range last {
		c.WithStageAfterID(ast.StageCheckDeprecatedBuiltins, ast.CompilerStageDefinition{Name: "Last", MetricName: "last", Stage: stage})
	}
	c.Compile(modules)
	if c.Failed() {
		return nil, c.Errors
	}
	return c, nil
}

// freeName is a name below data that no package or data document of the policy uses,
// nor any reference to one.
func freeName(name string, s sources) string {
	taken := map[string]bool{}
	for k := range s.data {
		taken[k] = true
	}
	for _, m := range s.modules {
		ast.WalkRefs(m, func(ref ast.Ref) bool {
			if len(ref) > 1 && ref.HasPrefix(ast.DefaultRootRef) {
				key, _ := ref[1].Value.(ast.String)
				taken[string(key)] = true
			}
			return false
		})
	}
	for taken[name] {
		name += "_"
	}
	return name
}

// rules are the rules that partial evaluation sees, and one for each expression with
// modifiers, which it sees by itself.
func (p *Policy) rules() []*ast.Rule {
	var out []*ast.Rule
	for _, name := range slices.Sorted(maps.Keys(p.desugared.Modules)) {
		out = append(out, p.desugared.Modules[name].Rules...)
	}
	for _, m := range p.with.exprs {
		out = append(out, &ast.Rule{Head: ast.NewHead("with"), Body: m.body, Location: m.Location})
	}
	return out
}

// Modules are copies of the modules by their names, as they were written.
func (p *Policy) Modules() map[string]*ast.Module {
	out := make(map[string]*ast.Module, len(p.modules))
	for name, m := range p.modules {
		out[name] = m.Copy()
	}
	return out
}

// Data is the data document that the policy was loaded with.
func (p *Policy) Data() ast.Value { return p.data }

// Constants are the scalars and ground collections that stand in the policy's rules.
func (p *Policy) Constants() []ast.Value {
	found := ast.NewSet()
	for _, m := range p.source.Modules {
		for _, r := range m.Rules {
			ast.WalkTerms(r, func(t *ast.Term) bool {
				switch t.Value.(type) {
				case ast.Null, ast.Boolean, ast.Number, ast.String, *ast.Array, ast.Object, ast.Set:
					if t.IsGround() {
						found.Add(t)
					}
				case ast.Ref:
					return true // its keys are names
				}
				return false
			})
		}
	}
	out := make([]ast.Value, 0, found.Len())
	found.Foreach(func(t *ast.Term) { out = append(out, t.Value) })
	return out
}

// Reads reports whether the policy mentions a document at, above or below ref.
func (p *Policy) Reads(ref ast.Ref) bool {
	found := false
	p.inputRefs(func(r ast.Ref) {
		static := r.ConstantPrefix()
		found = found || static.HasPrefix(ref) || ref.HasPrefix(static)
	})
	return found
}

// InputRefs are the references to the input that the policy mentions, up to their
// first part that is not a constant, sorted.
func (p *Policy) InputRefs() []ast.Ref {
	seen := map[string]ast.Ref{}
	p.inputRefs(func(r ast.Ref) {
		static := r.ConstantPrefix()
		seen[static.String()] = static
	})
	out := make([]ast.Ref, 0, len(seen))
	for _, r := range seen {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b ast.Ref) int { return a.Compare(b) })
	return out
}

func (p *Policy) inputRefs(visit func(ast.Ref)) {
	for _, m := range p.source.Modules {
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if r.HasPrefix(ast.InputRootRef) {
				visit(r)
			}
			return false
		})
	}
}

// Query is an entrypoint of a policy, prepared once and evaluated per input. It is
// safe for concurrent use.
type Query struct {
	policy  *Policy
	text    string
	partial partialQuery
	full    rego.PreparedEvalQuery

	at        time.Time // of evaluation; the zero Time is whenever that is
	negations []negation
	functions []*ast.Term // that may have two values: unknown, so that they stay calls
	refusals  []refusal
	probes    map[string]partialQuery // by rule that may conflict
}

// Prepare prepares an entrypoint: a reference to a rule, such as
// data.authz.allow. The query is allowed where the rule's value is true.
func (p *Policy) Prepare(ctx context.Context, entrypoint string) (*Query, error) {
	ref, err := ast.ParseRef(entrypoint)
	if err != nil {
		return nil, fmt.Errorf("query %q: want a reference to a rule such as data.authz.allow", entrypoint)
	}
	if !ref.HasPrefix(ast.DefaultRootRef) || len(ref) < 2 || !ref.IsGround() {
		return nil, fmt.Errorf("query %q: want a reference to a rule such as data.authz.allow", entrypoint)
	}
	for _, m := range p.source.Modules {
		if m.Package.Path.HasPrefix(ref) {
			return nil, fmt.Errorf("query %q: it is a package, and a rule is asked for%s", entrypoint, p.suggest(m.Package.Path.Append(ast.StringTerm(""))))
		}
	}
	if len(p.source.GetRules(ref)) == 0 {
		return nil, fmt.Errorf("query %q: the policy has no such rule%s", entrypoint, p.suggest(ref))
	}
	body := ast.NewBody(ast.Equality.Expr(ast.NewTerm(ref), ast.BooleanTerm(true)))
	q := &Query{policy: p, text: entrypoint}
	if q.partial, err = p.open(body, p.store); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", entrypoint, err)
	}
	full := rego.New(rego.Compiler(p.source), rego.Store(p.store), rego.ParsedQuery(body), rego.PrintHook(discard{}))
	if q.full, err = full.PrepareForEval(ctx); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", entrypoint, err)
	}
	q.negations = p.negations()
	q.functions = conflicting(p.desugared)
	q.refusals = slices.Concat(q.indexedMembers(), p.indexes(), p.mocks(), p.rowKeys())
	if err := q.probe(p.store); err != nil {
		return nil, err
	}
	return q, nil
}

// probe prepares the rules that may conflict below negations.
func (q *Query) probe(store storage.Store) (err error) {
	q.probes = map[string]partialQuery{}
	for _, n := range q.negations {
		for _, rule := range n.rules {
			body := ast.NewBody(ast.Equality.Expr(ast.NewTerm(rule), ast.VarTerm("value")))
			if q.probes[rule.String()], err = q.policy.open(body, store); err != nil {
				return fmt.Errorf("preparing %v: %w", rule, err)
			}
		}
	}
	return nil
}

// suggest names the rules of the package, when there is such a package.
func (p *Policy) suggest(ref ast.Ref) string {
	names := map[string]bool{}
	for _, m := range p.source.Modules {
		if !m.Package.Path.Equal(ref[:len(ref)-1]) {
			continue
		}
		for _, r := range m.Rules {
			names[ref[:len(ref)-1].String()+"."+r.Head.Ref()[0].String()] = true
		}
	}
	if len(names) == 0 {
		return ""
	}
	list := make([]string, 0, len(names))
	for n := range names {
		list = append(list, n)
	}
	slices.Sort(list)
	return "; it has " + strings.Join(list[:min(len(list), 8)], ", ")
}

// At is the query evaluated at an instant, which is what time.now_ns says.
func (q *Query) At(now time.Time) *Query {
	at := *q
	at.at = now
	return &at
}

// Now is the instant of the query's evaluation: that of [Query.At], or the present.
func (q *Query) Now() time.Time {
	if q.at.IsZero() {
		return time.Now()
	}
	return q.at
}

// Policy is the policy that the query belongs to.
func (q *Query) Policy() *Policy { return q.policy }

// String is the entrypoint.
func (q *Query) String() string { return q.text }

// Eval evaluates the query in full: it is OPA's own decision on one input, and
// the policy as it was written. An evaluation error allows nothing.
func (q *Query) Eval(ctx context.Context, input ast.Value) (allowed bool, err error) {
	return q.EvalWith(ctx, input, Known{})
}

// EvalWith is [Query.Eval] where the values of some rules for the input are known.
func (q *Query) EvalWith(ctx context.Context, input ast.Value, known Known) (allowed bool, err error) {
	defer stopped(&err)
	options := []rego.EvalOption{rego.EvalParsedInput(input), rego.EvalTime(q.Now())}
	if len(known.Params) > 0 {
		options = append(options, rego.EvalVirtualCache(known.cache()))
	}
	rs, err := q.full.Eval(ctx, options...)
	if err != nil {
		return false, fmt.Errorf("evaluating %s: %w", q.text, err)
	}
	return len(rs) > 0, nil
}

// stopped turns a panic of OPA, of a value that a builtin does not expect, into an
// error, so that it allows nothing and ends no server.
func stopped(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("evaluating: OPA stopped: %v", r)
	}
}

type discard struct{}

func (discard) Print(print.Context, string) error { return nil }
