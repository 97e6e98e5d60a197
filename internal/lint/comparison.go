package lint

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

// operators are those of comparisons, as a policy writes them.
var operators = map[string]string{
	ast.Equality.Name:      "==",
	ast.Equal.Name:         "==",
	ast.NotEqual.Name:      "!=",
	ast.LessThan.Name:      "<",
	ast.LessThanEq.Name:    "<=",
	ast.GreaterThan.Name:   ">",
	ast.GreaterThanEq.Name: ">=",
	ast.Member.Name:        "in",
}

// checkComparison looks at a comparison of what the schema knows with a constant.
func (l *policyLint) checkComparison(s *scope, e *ast.Expr) {
	if !e.IsCall() {
		return
	}
	op := operators[e.Operator().String()]
	if op == "" || len(e.Operands()) < 2 {
		return
	}
	x, y := e.Operand(0), e.Operand(1)
	if op == "in" {
		l.checkMember(s, e, x, y)
		return
	}
	subject, v, ok := l.sides(s, x, y)
	if !ok {
		return
	}
	switch op {
	case "==":
		if c := subject.mismatch(v, l.labels); c.none {
			l.report(e, CheckNever, subject, fmt.Sprintf("%s == %v can never be true: %s", show(subject.ref), v, c.reason), c.hint)
		}
	case "!=":
		if c := subject.mismatch(v, l.labels); c.none && !(subject.notNull() && v.Compare(ast.NullValue) == 0) {
			l.report(e, CheckAlways, subject, fmt.Sprintf("%s != %v is true wherever there is a value: %s", show(subject.ref), v, c.reason), c.hint)
		}
	default:
		if reason, ok := subject.otherType(v); ok {
			l.report(e, CheckOrder, subject,
				fmt.Sprintf("the order of %s and %v is that of their types, whatever the value: %s", show(subject.ref), v, reason),
				"compare with a "+subject.jsonType())
		}
	}
}

// show is a reference with its variables, which OPA's compiler has named, as _.
func show(ref ast.Ref) string {
	out := slices.Clone(ref)
	for i, key := range out[1:] {
		if _, ok := key.Value.(ast.Var); ok {
			out[i+1] = ast.VarTerm("_")
		}
	}
	return out.String()
}

func (l *policyLint) report(e *ast.Expr, check Check, s subject, reason, hint string) {
	f := Finding{Severity: Warning, Check: check, Reason: reason, Hint: hint}
	if len(s.of) == 1 {
		f.Resource = s.of[0].resource
	}
	if s.of[0].field != nil {
		f.Field = fieldName(l.resources, s.ref)
	}
	l.add(f, e.Location)
}

// checkMember looks at x in coll.
func (l *policyLint) checkMember(s *scope, e *ast.Expr, x, coll *ast.Term) {
	if v, ok := s.constant(coll); ok {
		subject, ok := l.subject(s, x)
		if !ok {
			return
		}
		for _, member := range members(v) {
			if c := subject.mismatch(member, l.labels); c.none {
				l.report(e, CheckConstant, subject, fmt.Sprintf("%s can never be the member %v: %s", show(subject.ref), member, c.reason), c.hint)
			}
		}
		return
	}
	v, ok := s.constant(x)
	if !ok {
		return
	}
	ref, ok := s.expand(coll)
	if !ok {
		return
	}
	// an element of the collection is compared with v
	if subject, ok := l.lookUp(ref.Append(ast.VarTerm("$member"))); ok {
		if c := subject.mismatch(v, l.labels); c.none {
			l.report(e, CheckNever, subject, fmt.Sprintf("%v in %s can never be true: %s", v, show(ref), c.reason), c.hint)
		}
		return
	}
	if subject, ok := l.lookUp(ref); ok && !slices.ContainsFunc(subject.of, func(p candidate) bool { return p.holdsElements() }) {
		l.report(e, CheckNever, subject, fmt.Sprintf("%v in %s can never be true: %s, and no collection", v, show(ref), subject.of[0].describe()),
			fmt.Sprintf("write %s == %v", show(ref), v))
	}
}

func members(v ast.Value) []ast.Value {
	var out []ast.Value
	add := func(t *ast.Term) { out = append(out, t.Value) }
	switch v := v.(type) {
	case *ast.Array:
		v.Foreach(add)
	case ast.Set:
		v.Foreach(add)
	case ast.Object:
		v.Foreach(func(_, t *ast.Term) { add(t) })
	}
	return out
}

// sides are the one side of which the schema knows something, and the constant that
// is the other.
func (l *policyLint) sides(s *scope, x, y *ast.Term) (subject, ast.Value, bool) {
	for _, side := range [][2]*ast.Term{{x, y}, {y, x}} {
		if v, ok := s.constant(side[1]); ok {
			if found, ok := l.subject(s, side[0]); ok {
				return found, v, true
			}
		}
	}
	return subject{}, nil, false
}

func (l *policyLint) subject(s *scope, t *ast.Term) (subject, bool) {
	ref, ok := s.expand(t)
	if !ok {
		return subject{}, false
	}
	return l.lookUp(ref)
}

// subject is a reference of which each resource that has it says what it may be.
type subject struct {
	ref ast.Ref
	of  []candidate
}

// candidate is what one resource says.
type candidate struct {
	resource string
	field    *compiler.Field
	element  bool
	param    *compiler.Param
}

// lookUp is what the resources say of a reference. It is false where none says
// anything, or one leaves it open, or a with may have replaced it.
func (l *policyLint) lookUp(ref ast.Ref) (subject, bool) {
	s := subject{ref: ref}
	if l.isReplaced(ref.ConstantPrefix()) {
		return s, false
	}
	params := 0
	for _, r := range l.resources {
		for i := range r.Params {
			if p := &r.Params[i]; p.Path.Equal(ref) {
				s.of = append(s.of, candidate{resource: r.Name, param: p})
				params++
			}
		}
		if !ref.HasPrefix(r.Root) || len(ref) == len(r.Root) {
			continue
		}
		switch found := lookUp(r, ref); found.is {
		case unclear:
			return s, false
		case whole:
			s.of = append(s.of, candidate{resource: r.Name, field: found.field})
		case element:
			s.of = append(s.of, candidate{resource: r.Name, field: found.field, element: true})
		}
	}
	if params > 0 && params < len(l.resources) {
		return s, false // for the other resources it is any input
	}
	return s, len(s.of) > 0
}

func (c candidate) may(v ast.Value) bool {
	switch {
	case c.param != nil:
		return c.param.CanBe(v)
	case c.element:
		return c.field.CanHold(v)
	default:
		return c.field.CanBe(v)
	}
}

// enum is the enumerated type; empty for others.
func (c candidate) enum() string {
	if c.field == nil || c.field.Const != nil || c.field.Column.Type.Kind != sqlgen.KindEnum || c.field.Column.Type.Array != c.element {
		return ""
	}
	return c.field.Column.Type.Enum
}

func (c candidate) holdsElements() bool {
	return c.param != nil || c.field.JSONType() == "any" || c.field.JSONType() == "array" || c.field.Const != nil || c.field.Relation != nil
}

func (c candidate) jsonType() string {
	switch {
	case c.param != nil:
		return (&compiler.Field{Column: sqlgen.Column{Type: c.param.Type}}).JSONType()
	case c.element && c.field.Const == nil:
		elem := *c.field
		elem.Column.Type = elem.Column.Type.Elem()
		return elem.JSONType()
	case c.element:
		return "any"
	default:
		return c.field.JSONType()
	}
}

func (c candidate) describe() string {
	if c.param != nil {
		return fmt.Sprintf("the parameter is %s %v", article(c.param.Type.String()), c.param.Type)
	}
	return describe(c.field)
}

func (s subject) notNull() bool {
	return !slices.ContainsFunc(s.of, func(c candidate) bool { return c.field != nil && !neverNull(c.field) })
}

// neverNull reports whether the schema says that the field is no NULL, or has a row.
func neverNull(f *compiler.Field) bool {
	return f.Const != nil || f.Column.NotNull || f.Relation != nil && (f.Relation.NotNull || f.Relation.Many)
}

// jsonType is the one type of the values; empty where there are several.
func (s subject) jsonType() string {
	t := s.of[0].jsonType()
	for _, c := range s.of {
		if c.jsonType() != t {
			return ""
		}
	}
	return t
}

// otherType says that v is of another type than all that the subject may be.
func (s subject) otherType(v ast.Value) (string, bool) {
	t := s.jsonType()
	have := ast.ValueName(v)
	if t == "" || t == "any" || t == have || have == "null" {
		return "", false
	}
	for _, c := range s.of { // NULL may be shown as a value of v's type
		if c.field != nil && c.field.Null != nil && ast.ValueName(c.field.Null) == have {
			return "", false
		}
	}
	return fmt.Sprintf("%s, %s %s to the policy", s.of[0].describe(), article(t), t), true
}

// verdict is whether a subject can be a value in no row, and why.
type verdict struct {
	none         bool
	reason, hint string
}

func (s subject) mismatch(v ast.Value, labels map[string][]string) verdict {
	text, isString := v.(ast.String)
	var known []string // what it may be
	typo := true       // v may be meant as one of those
	for _, c := range s.of {
		list, listed := labels[c.enum()]
		isNull := c.field != nil && c.field.Null != nil && c.field.Null.Compare(v) == 0
		switch {
		case isNull:
			return verdict{}
		case listed && isString:
			if slices.Contains(list, string(text)) {
				return verdict{}
			}
			known = append(known, list...)
		case c.may(v):
			return verdict{}
		case c.field != nil && c.field.Const != nil && !c.element:
			if own, ok := c.field.Const.(ast.String); ok {
				known = append(known, string(own))
			}
		default:
			typo = false
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	if !typo || len(known) == 0 || !isString {
		return verdict{true, s.why(v), ""}
	}
	out := verdict{none: true, hint: didYouMean(string(text), known)}
	if out.hint == "" {
		out.hint = "it has " + list(known)
	}
	if enum := s.of[0].enum(); enum != "" {
		out.reason = fmt.Sprintf("the type %s has no such label", enum)
	} else {
		out.reason = "no resource has this value"
	}
	return out
}

// why is the reason of a mismatch that is no typo.
func (s subject) why(v ast.Value) string {
	c := s.of[0]
	for _, other := range s.of { // a constant of one resource says less than the column of another
		if other.field == nil || other.field.Const == nil {
			c = other
			break
		}
	}
	said := c.describe()
	have := ast.ValueName(v)
	if f := c.field; have == "null" && f != nil && f.Const == nil && (f.Relation == nil || !f.Relation.Many) {
		switch {
		case neverNull(f):
			return said + ", not_null"
		case f.Null == nil:
			return said + ", absent where it is NULL"
		default:
			return fmt.Sprintf("%s, %v where it is NULL", said, f.Null)
		}
	}
	switch t := c.jsonType(); {
	case t != "any" && t != have:
		return fmt.Sprintf("%s, %s %s to the policy", said, article(t), t)
	default:
		return said + c.form()
	}
}

// form says how the values of the type look to the policy.
func (c candidate) form() string {
	t := sqlgen.Type{}
	switch {
	case c.param != nil:
		t = c.param.Type
	case c.field.Const == nil:
		t = c.field.Column.Type
	}
	switch t.Kind {
	case sqlgen.KindUUID:
		return ", lower case with hyphens"
	case sqlgen.KindInt:
		return ", a whole number of 64 bits"
	case sqlgen.KindTimestamptz:
		if c.field != nil && c.field.Nanos {
			return ", whole microseconds"
		}
		return ", RFC 3339 in UTC as 2026-01-02T03:04:05.5Z"
	case sqlgen.KindDate:
		return ", as 2026-01-02"
	case sqlgen.KindInet:
		return ", as 10.0.0.1 or 10.0.0.0/8"
	case sqlgen.KindFloat:
		return ", the shortest decimal of a double"
	default:
		return ", which never looks like that"
	}
}
