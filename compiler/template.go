package compiler

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// Plan is how the filters of a resource are made of a query. It is safe for concurrent
// use.
//
//	Plan ── Template ──▶ Template ── Bind ──▶ Filter
//	  a policy and a       an action,           a subject
//	  resource             the known part
type Plan struct {
	query     *rego.Query
	resource  *Resource
	derived   []ast.Ref
	stops     map[string]bool // of them, by name: those that may end an evaluation with an error
	ofInput   []ast.Ref       // of them: those that read nothing of what an object may say
	reads     []ast.Ref       // of the input, that a template depends on, parameters among them
	layout    *layout
	unknowns  *rego.Unknowns
	readsRoot bool // the policy reads the row's document
	// constants is what is known of every row, at the first key of the resource's root.
	constants *ast.Term
	asksTime  func() bool
}

// NewPlan checks the resource's parameters that are rules against the policy.
func NewPlan(query *rego.Query, resource *Resource) (*Plan, error) {
	p := &Plan{query: query, resource: resource, stops: map[string]bool{}, readsRoot: query.Policy().Reads(resource.Root)}
	unknowns := resource.unknowns()
	for _, param := range resource.Params {
		if !param.Derived() {
			continue
		}
		if err := query.Policy().Derived(param.Path, unknowns); err != nil {
			return nil, &Error{
				Code: CodeSchemaDerived, Reason: fmt.Sprintf("parameter %v: %v", param.Path, err),
				Hint: "a parameter is a rule of which the subject, the action and the resource decide alone",
			}
		}
		p.derived = append(p.derived, param.Path)
		p.stops[param.name()] = query.MayStop(param.Path)
		if !slices.ContainsFunc(query.Policy().ReadsOf(param.Path), resource.inDocument) {
			p.ofInput = append(p.ofInput, param.Path)
		}
	}
	p.reads = query.InputReads(p.derived)
	var err error
	if p.layout, err = newLayout(resource, p.reads); err != nil {
		return nil, err
	}
	for _, param := range p.layout.rules {
		if !param.Set {
			p.layout.values[param] = whereDefined(param, paramValue(param), query.Policy())
		}
	}
	p.unknowns = query.Unknowns(p.layout.unknowns)
	empty := &node{}
	if err := empty.placeFields(resource); err != nil {
		return nil, err
	}
	if row, ok := empty.value().(ast.Object); ok {
		p.constants = row.Get(resource.Root[1])
	}
	p.asksTime = sync.OnceValue(func() bool { return query.AsksTime(p.derived...) })
	return p, nil
}

// At is the plan for an instant, which is what time.now_ns says.
func (p *Plan) At(query *rego.Query) *Plan {
	at := *p
	at.query = query
	return &at
}

// Unsaid are the parts of the input that the policy reads and that nothing says: neither
// a parameter, nor a field of the row, nor the input.
func (p *Plan) Unsaid(input any) ([]ast.Ref, error) {
	given, err := toInput(input)
	if err != nil {
		return nil, err
	}
	var out []ast.Ref
	for _, ref := range p.reads {
		_, err := given.Find(ref[1:])
		said := err == nil || ref.HasPrefix(p.resource.Root) || slices.ContainsFunc(p.resource.Params, func(param Param) bool { return ref.HasPrefix(param.Path) })
		if !said {
			out = append(out, ref)
		}
	}
	return out, nil
}

// Resource is what the plan makes filters of.
func (p *Plan) Resource() *Resource { return p.resource }

// AsksTime reports whether templates depend on the time, beyond what parameters say.
func (p *Plan) AsksTime() bool { return p.asksTime() }

// Key tells templates apart: two inputs with one key have the same template. It is made
// of the part of the input that the policy reads and that is no parameter.
type Key [sha256.Size]byte

// Key is that of an input's template.
func (p *Plan) Key(input any) (Key, error) {
	given, err := toInput(input)
	if err != nil {
		return Key{}, err
	}
	doc, err := p.layout.document(given)
	if err != nil {
		return Key{}, err
	}
	return sha256.Sum256([]byte(doc.known.String())), nil
}

// Template is the filter of a policy, resource and known input, but for the values of
// the parameters. It is safe for concurrent use.
type Template struct {
	Residual  *rego.Residual
	Predicate sqlgen.Predicate // as translated, before simplification

	plan       *Plan
	simplified sqlgen.Predicate
	derivation *rego.Derivation
	derived    []*Param // that are evaluated for each subject
}

// Template makes the template for an input. What the input says in the place of
// parameters does not matter.
func (p *Plan) Template(ctx context.Context, input any) (*Template, error) {
	given, err := toInput(input)
	if err != nil {
		return nil, err
	}
	t, err := p.template(ctx, given)
	if err != nil {
		return nil, err
	}
	t.simplified = sqlgen.WhenContext(ctx, t.Predicate, nil).Predicate()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("simplifying: %w", err)
	}
	return t, nil
}

func (p *Plan) template(ctx context.Context, given ast.Object) (*Template, error) {
	doc, err := p.layout.document(given)
	if err != nil {
		return nil, err
	}
	if err := p.checkRoot(doc); err != nil {
		return nil, err
	}
	if err := checkSpelling(p.query.Policy(), doc.known); err != nil {
		return nil, err
	}
	residual, err := p.query.PartialOf(ctx, doc.known, p.unknowns)
	if err != nil {
		return nil, evalError(err)
	}
	pred, err := translate(ctx, residual, doc, p.query.Now())
	if err != nil {
		return nil, err
	}
	t := &Template{Residual: residual, Predicate: pred, plan: p}
	t.prepare(doc)
	return t, nil
}

// prepare prepares the evaluation of the derived parameters that the translation read,
// and of those of which an error would allow nothing. Also those that no condition is
// left of: that their values have the parameters' types is what settled it.
func (t *Template) prepare(doc *document) {
	var refs []ast.Ref
	for _, p := range doc.rules {
		stops := t.plan.stops[p.name()] && t.Predicate != sqlgen.Predicate(sqlgen.False)
		if stops || doc.asked[p] {
			t.derived = append(t.derived, p)
			refs = append(refs, p.Path)
		}
	}
	t.derivation = t.plan.query.Derive(refs)
}

// Bind is the filter for an input of the template's key: with the values that the
// input has, and the policy's rules derive from it, in the place of the parameters. An
// error is one of the input, or of the evaluation of a rule.
func (t *Template) Bind(ctx context.Context, input any) (sqlgen.Filter, error) {
	given, err := toInput(input)
	if err != nil {
		return sqlgen.Never(), err
	}
	return t.filter(ctx, t.simplified, given)
}

// filter is that of a predicate with the input's values in the place of parameters.
func (t *Template) filter(ctx context.Context, pred sqlgen.Predicate, given ast.Object) (sqlgen.Filter, error) {
	value, err := t.values(ctx, given)
	if err != nil {
		return sqlgen.Never(), err
	}
	filter, err := sqlgen.WhenBound(ctx, pred, value)
	if err != nil {
		return sqlgen.Never(), err
	}
	if err := ctx.Err(); err != nil {
		return sqlgen.Never(), fmt.Errorf("simplifying: %w", err)
	}
	return filter, nil
}

// Plan is what the template was made by.
func (t *Template) Plan() *Plan { return t.plan }

// Condition is the template's predicate, simplified: True, False, or one that mentions
// parameters.
func (t *Template) Condition() sqlgen.Predicate { return t.simplified }

// Values says the values of an input's parameters, those that the condition mentions
// among them. An error is as in [Template.Bind].
func (t *Template) Values(ctx context.Context, input any) (func(sqlgen.Param) (sqlgen.Literal, error), error) {
	given, err := toInput(input)
	if err != nil {
		return nil, err
	}
	return t.values(ctx, given)
}

// values are the input's, and those of rules that the predicate mentions, for
// parameters.
func (t *Template) values(ctx context.Context, given ast.Object) (func(sqlgen.Param) (sqlgen.Literal, error), error) {
	resource := t.plan.resource
	// all of them, also those that no row's condition asks for: the policy was
	// translated as if each had a value of its type
	lits, err := givenLiterals(resource, given)
	if err != nil {
		return nil, err
	}
	if len(t.derived) > 0 {
		whole, err := t.plan.withConstants(given)
		if err != nil {
			return nil, err
		}
		values, err := t.derivation.Eval(ctx, whole)
		if err != nil {
			return nil, evalError(err)
		}
		for i, p := range t.derived {
			if err := p.bind(lits, values[i]); err != nil {
				return nil, err
			}
		}
	}
	return func(p sqlgen.Param) (sqlgen.Literal, error) {
		lit, ok := lits[p.Name]
		if !ok {
			return lit, fmt.Errorf("parameter %s has no value", p.Name)
		}
		return lit, nil
	}, nil
}

// withConstants is the input with what is known of every row in its place.
func (p *Plan) withConstants(given ast.Object) (ast.Value, error) {
	root := p.resource.Root[1]
	if p.constants == nil || given.Get(root) != nil {
		all := &node{known: given}
		if err := all.placeFields(p.resource); err != nil {
			return nil, err
		}
		return all.value(), nil
	}
	whole := ast.NewObjectWithCapacity(given.Len() + 1)
	given.Foreach(whole.Insert)
	whole.Insert(root, p.constants)
	return whole, nil
}

// givenLiterals are the values that the input has for parameters, by name.
func givenLiterals(r *Resource, given ast.Object) (map[string]sqlgen.Literal, error) {
	lits := make(map[string]sqlgen.Literal, 2*len(r.Params))
	for i := range r.Params {
		p := &r.Params[i]
		if p.Derived() {
			continue
		}
		v, err := given.Find(p.Path[1:])
		if err != nil {
			return nil, &Error{Code: CodeParam, Reason: fmt.Sprintf("the input has no %v, which the schema makes a parameter of type %v", p.Path, p.Type)}
		}
		if err := p.bind(lits, v); err != nil {
			return nil, err
		}
	}
	return lits, nil
}

// name is what the parameter is called in a predicate.
func (p *Param) name() string {
	if p.called == "" { // made by hand
		return p.Path.String()
	}
	return p.called
}

// definedName is what a predicate calls whether the rule has a value.
func (p *Param) definedName() string {
	if p.called == "" {
		return p.Path.String() + definedSuffix
	}
	return p.calledDefined
}

const definedSuffix = " is defined"

// bind adds the parameter's value; nil is that of a rule that is undefined.
func (p *Param) bind(lits map[string]sqlgen.Literal, v ast.Value) (err error) {
	defer caught(&err, func(e *Error) *Error { return e })
	if p.Derived() {
		lits[p.definedName()] = sqlgen.Bool(v != nil)
		if v == nil { // nothing reads it
			lits[p.name()] = sqlgen.Zero(paramType(p.Type))
			return nil
		}
	}
	lits[p.name()], err = p.literal(v)
	return err
}

// literal checks the JSON value of a parameter against its type.
func (p *Param) literal(v ast.Value) (lit sqlgen.Literal, err error) {
	refused := func(v ast.Value) error {
		what := p.Type.String()
		if p.Set {
			what = "set(" + p.Type.Elem().String() + ")"
		}
		return &Error{
			Code:   CodeParam,
			Reason: fmt.Sprintf("parameter %v has type %s, and its value is %v", p.Path, what, v),
			Hint:   "a uuid is in its canonical lower-case form, a timestamp in RFC 3339 in UTC, an integer without point or exponent",
		}
	}
	scalarOf := func(v ast.Value) (sqlgen.Literal, bool) {
		t := p.Type.Elem()
		if t.Kind == sqlgen.KindEnum { // as text: it may be none of the labels
			t = sqlgen.Type{Kind: sqlgen.KindText}
		}
		if !plainNumbers(t, v) {
			return lit, false
		}
		if t.Kind == sqlgen.KindJSONB {
			return jsonLiteral(v)
		}
		return equalTo(t, false, v)
	}
	if !p.Type.Array {
		lit, ok := scalarOf(v)
		if !ok {
			return lit, refused(v)
		}
		return lit, nil
	}
	switch v.(type) {
	case *ast.Array:
		if p.Set {
			return lit, refused(v)
		}
	case ast.Set:
		if p.Derived() && !p.Set {
			return lit, refused(v)
		}
	default:
		return lit, refused(v)
	}
	elem := paramType(p.Type).Elem()
	if elem == (sqlgen.Type{Kind: sqlgen.KindText}) && p.Type.Elem() == elem { // most of them, and they may be long
		texts, wrong := textElements(v)
		switch {
		case wrong != nil:
			return lit, refused(wrong)
		case p.Set:
			return sqlgen.TextList(texts), nil
		default:
			return sqlgen.TextArray(texts), nil
		}
	}
	var elems []sqlgen.Literal
	for _, e := range elements(v) {
		l, ok := scalarOf(e)
		if !ok {
			return lit, refused(e)
		}
		elems = append(elems, l)
	}
	if p.Set {
		return sqlgen.ListOf(elem, elems), nil
	}
	return sqlgen.ArrayOf(elem, elems), nil
}

// textElements are the texts in an array or set; wrong is an element that is none.
func textElements(coll ast.Value) (texts []string, wrong ast.Value) {
	switch coll := coll.(type) {
	case *ast.Array:
		texts = make([]string, 0, coll.Len())
		for i := range coll.Len() {
			if texts, wrong = appendText(texts, coll.Elem(i)); wrong != nil {
				return texts, wrong
			}
		}
	case ast.Set:
		texts = make([]string, 0, coll.Len())
		for _, e := range coll.Slice() {
			if texts, wrong = appendText(texts, e); wrong != nil {
				return texts, wrong
			}
		}
	}
	return texts, nil
}

func appendText(texts []string, t *ast.Term) (all []string, wrong ast.Value) {
	s, ok := t.Value.(ast.String)
	if !ok || !storable(string(s)) {
		return texts, t.Value
	}
	return append(texts, string(s)), nil
}

// derivedValue is what the policy sees of a rule that is a parameter.
func (t *translator) derivedValue(p *Param) value {
	if v, ok := t.doc.values[p]; ok {
		return v
	}
	v := paramValue(p)
	if p.Set {
		e := v[0].op.(array).e
		over := t.over(e, false)
		v = value{{sqlgen.True, ruleSet{
			entries: []entry{{
				from: solution{when: sqlgen.True, scopes: []scope{{over: over, when: sqlgen.True}}},
				key:  value{{sqlgen.True, scalar{e: over.ElementValue()}}},
			}},
			kind: rankSet, t: t, param: e,
		}}}
	}
	return whereDefined(p, v, t.residual.Policy())
}

// whereDefined is the value of a rule that is a parameter, where it has one.
func whereDefined(p *Param, v value, policy *rego.Policy) value {
	if policy.IsSet(p.Path) {
		return v
	}
	defined := sqlgen.Param{Name: p.definedName(), Type: sqlgen.Type{Kind: sqlgen.KindBool}}
	return v.under(sqlgen.Holds{Of: defined, Want: true})
}
