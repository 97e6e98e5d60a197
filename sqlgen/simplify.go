package sqlgen

import (
	"context"
	"slices"
)

// Step is a simplification that fired: the rule's name and what it made of what.
type Step struct {
	Rule          string
	Before, After Predicate
}

// Simplify returns a predicate that is true of exactly the same rows and reads
// as a person would have written it. The result does not depend on the order of
// the disjuncts, and simplifying it again changes nothing.
func Simplify(p Predicate) Predicate { return SimplifyTraced(p, nil) }

// SimplifyTraced is [Simplify] and reports each rule that fired.
func SimplifyTraced(p Predicate, trace func(Step)) Predicate {
	return simplify(context.Background(), p, trace)
}

func simplify(ctx context.Context, p Predicate, trace func(Step)) Predicate {
	s := simplifier{ctx: ctx, trace: trace}
	for range maxPasses {
		before := p
		s.fired = 0
		p = s.simplify(ShortAliases(p))
		if s.fired == 0 || samePrint(p, before) {
			break
		}
	}
	return p
}

// maxPasses bounds the search for a fixpoint. Every pass shrinks the predicate or
// leaves it alone; two are the rule, and what is left after more is still right.
const maxPasses = 8

type simplifier struct {
	ctx   context.Context // of the one call that the simplifier lives for
	trace func(Step)
	fired int // rules, in this pass
	kept  memo
}

// A rule rewrites a predicate, or says that it does not apply.
type rule[P Predicate] struct {
	name  string
	apply func(P) (Predicate, bool)
	keyed func(*memo, P) (Predicate, bool) // instead, of a rule that asks for canonical texts
}

// The order matters only for how much a pass achieves, not for what is true.
var (
	leafRules = []rule[Predicate]{
		{name: "leaf-constant", apply: leafConstant},
		{name: "literal-last", apply: literalLast},
		{name: "holds-constant", apply: holdsConstant},
		{name: "text-of-uuid", apply: textOfUUID},
		{name: "match-empty", apply: matchEmpty},
		{name: "json-type-known", apply: jsonTypeKnown},
		{name: "member-one", apply: memberOne},
		{name: "null-of-not-null", apply: nullOfNotNull},
		{name: "distinct-of-not-null", apply: distinctOfNotNull},
	}
	notRules = []rule[Not]{
		{name: "not-constant", apply: notConstant},
		{name: "not-not", apply: notNot},
		{name: "not-and", apply: notAnd},
		{name: "not-or", apply: notOr},
		{name: "not-leaf", apply: notLeaf},
	}
	andRules = []rule[And]{
		{name: "and-flatten", apply: andFlatten},
		{name: "and-duplicate", apply: andDuplicate},
		{name: "and-contradiction", apply: andContradiction},
		{name: "and-implied", apply: andImplied},
		{name: "and-not-null-distinct", apply: andNotNullDistinct},
		{name: "and-not-leaf", apply: andNotLeaf},
		{name: "and-exists-one", apply: andExistsOne},
		{name: "and-not-exists-one", apply: andNotExistsOne},
		{name: "and-not-exists", apply: andNotExists},
		{name: "and-members", apply: andMembers},
		{name: "and-exclusions", apply: andExclusions},
		{name: "and-unit", apply: andUnit},
	}
	elementRules = []rule[ExistsElement]{
		{name: "element-none", apply: elementNone},
		{name: "element-hoist", apply: elementHoist},
		{name: "element-member", apply: elementMember},
		{name: "element-type", apply: elementType},
	}
	existsRules = []rule[Exists]{
		{name: "exists-hoist", apply: existsHoist},
	}
	orRules = []rule[Or]{
		{name: "or-flatten", apply: orFlatten},
		{name: "or-sort", keyed: orSort}, // here, for the rules that keep the first of several
		{name: "or-duplicate", apply: orDuplicate},
		{name: "or-tautology", apply: orTautology},
		{name: "or-equalities", apply: orEqualities},
		{name: "or-distinct", apply: orDistinct},
		{name: "or-same", apply: orSame},
		{name: "or-absorb", apply: orAbsorb},
		{name: "or-exists", apply: orExists},
		{name: "or-not-exists-one", apply: orNotExistsOne},
		{name: "or-unit", apply: orUnit},
		{name: "or-factor", apply: orFactor},
		{name: "or-sort", keyed: orSort},
	}
)

func (s *simplifier) simplify(p Predicate) Predicate {
	if s.ctx.Err() != nil || s.kept.isSettled(p) {
		return p
	}
	before := s.fired
	out := s.node(p)
	if s.fired == before {
		if s.fired > 0 { // there will be another pass
			s.kept.settle(p)
		}
		return p
	}
	return out
}

func (s *simplifier) node(p Predicate) Predicate {
	switch p := p.(type) {
	case And:
		// before the terms change: a negation would be pushed into its leaves, and
		// no longer look like the complement that it is
		whole := fire(s, []rule[And]{{name: "and-complement", apply: andComplement}}, p)
		if and, ok := whole.(And); ok {
			return fire(s, andRules, And(s.all(and)))
		}
		return whole
	case Or:
		whole := fire(s, []rule[Or]{{name: "or-complement", apply: orComplement}}, p)
		if or, ok := whole.(Or); ok {
			return fire(s, orRules, Or(s.all(or)))
		}
		return whole
	case Not:
		// pushed down first, so that the terms are simplified in their final form
		if pushed := fire(s, notRules, p); !isNot(pushed) {
			return s.simplify(pushed)
		}
		inner := s.simplify(p.Of)
		return fire(s, notRules, Not{inner})
	case Exists:
		p.Where = s.simplify(p.Where)
		if p.Where == False {
			return False
		}
		return fire(s, existsRules, p)
	case ExistsElement:
		p.Where = s.simplify(p.Where)
		if p.Where == False {
			return False
		}
		return fire(s, elementRules, p)
	default:
		return fire(s, leafRules, s.simplifyOperands(p))
	}
}

func isNot(p Predicate) bool {
	_, ok := p.(Not)
	return ok
}

func (s *simplifier) all(terms []Predicate) []Predicate {
	before := s.fired
	var out []Predicate // nil while nothing fired
	for i, t := range terms {
		after := s.simplify(t)
		if out == nil && s.fired != before {
			out = slices.Clone(terms)
		}
		if out != nil {
			out[i] = after
		}
	}
	if out == nil {
		return terms
	}
	return out
}

// fire applies the rules in turn for as long as the node keeps its kind.
func fire[P Predicate](s *simplifier, rules []rule[P], p P) Predicate {
	for _, r := range rules {
		for { // each firing leaves less to do
			var after Predicate
			var fired bool
			if r.keyed != nil {
				after, fired = r.keyed(&s.kept, p)
			} else {
				after, fired = r.apply(p)
			}
			if !fired {
				break
			}
			s.fired++
			if s.trace != nil {
				s.trace(Step{r.name, p, after})
			}
			same, ok := after.(P)
			if !ok {
				return after
			}
			p = same
		}
	}
	return p
}

// keyed are terms with their canonical texts.
type keyed struct {
	terms []Predicate
	keys  []string
}

func key(terms []Predicate) keyed { return (*memo)(nil).key(terms) }

func (m *memo) key(terms []Predicate) keyed {
	k := keyed{terms, make([]string, len(terms))}
	for i, t := range terms {
		k.keys[i] = m.canonical(t)
	}
	return k
}

// memo keeps what was found out about junctions, which never change, for as long as a
// predicate is simplified.
type memo struct {
	texts   map[junction]string
	settled map[junction]bool
}

// junction is the identity of an And or Or.
type junction struct {
	first *Predicate
	terms int
	or    bool
}

func junctionOf(p Predicate) (j junction, ok bool) {
	switch p := p.(type) {
	case And:
		if len(p) > 0 {
			return junction{&p[0], len(p), false}, true
		}
	case Or:
		if len(p) > 0 {
			return junction{&p[0], len(p), true}, true
		}
	}
	return j, false
}

// isSettled reports whether no rule fires in p.
func (m *memo) isSettled(p Predicate) bool {
	j, ok := junctionOf(p)
	return ok && m.settled[j]
}

func (m *memo) settle(p Predicate) {
	j, ok := junctionOf(p)
	if !ok {
		return
	}
	if m.settled == nil {
		m.settled = map[junction]bool{}
	}
	m.settled[j] = true
}

// canonical is [canonical], of a junction once.
func (m *memo) canonical(p Predicate) string {
	j, ok := junctionOf(p)
	if m == nil || !ok {
		return canonicalBy(m, p)
	}
	text, ok := m.texts[j]
	if !ok {
		if m.texts == nil {
			m.texts = map[junction]string{}
		}
		text = canonicalBy(m, p)
		m.texts[j] = text
	}
	return text
}

// canonical is a text that is the same for predicates that differ only in the
// order of their terms.
func canonical(p Predicate) string { return canonicalBy(nil, p) }

func canonicalBy(m *memo, p Predicate) string {
	var room [256]byte
	return string(m.append(room[:0], p))
}

func (m *memo) append(b []byte, p Predicate) []byte {
	var terms []Predicate
	switch p := p.(type) {
	case And:
		terms = p
	case Or:
		terms = p
	case Not:
		return append(m.append(append(b, "(not "...), p.Of), ')')
	case Exists:
		b = append(append(append(b, '('), nodeName(p)...), ' ')
		if p.On != nil {
			b = append(appendPredicate(b, p.On), ' ')
		}
		return append(m.append(b, p.Where), ')')
	default:
		return appendPredicate(b, p)
	}
	keys := m.key(terms).keys
	slices.Sort(keys)
	b = append(append(b, '('), nodeName(p)...)
	for _, k := range keys {
		b = append(append(b, ' '), k...)
	}
	return append(b, ')')
}

// conjuncts are the terms of an And, or the predicate itself.
func conjuncts(p Predicate) []Predicate {
	if and, ok := p.(And); ok {
		return and
	}
	return []Predicate{p}
}

// unwrapAnd is the And of the terms without the wrapper that it does not need.
func unwrapAnd(terms []Predicate) Predicate {
	switch len(terms) {
	case 0:
		return True
	case 1:
		return terms[0]
	default:
		return And(terms)
	}
}

func unwrapOr(terms []Predicate) Predicate {
	switch len(terms) {
	case 0:
		return False
	case 1:
		return terms[0]
	default:
		return Or(terms)
	}
}
