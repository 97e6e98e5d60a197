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
}

// A rule rewrites a predicate, or says that it does not apply.
type rule[P Predicate] struct {
	name  string
	apply func(P) (Predicate, bool)
}

// The order matters only for how much a pass achieves, not for what is true.
var (
	leafRules = []rule[Predicate]{
		{"leaf-constant", leafConstant},
		{"literal-last", literalLast},
		{"holds-constant", holdsConstant},
		{"text-of-uuid", textOfUUID},
		{"match-empty", matchEmpty},
		{"json-type-known", jsonTypeKnown},
		{"member-one", memberOne},
		{"null-of-not-null", nullOfNotNull},
		{"distinct-of-not-null", distinctOfNotNull},
	}
	notRules = []rule[Not]{
		{"not-constant", notConstant},
		{"not-not", notNot},
		{"not-and", notAnd},
		{"not-or", notOr},
		{"not-leaf", notLeaf},
	}
	andRules = []rule[And]{
		{"and-flatten", andFlatten},
		{"and-duplicate", andDuplicate},
		{"and-contradiction", andContradiction},
		{"and-implied", andImplied},
		{"and-not-null-distinct", andNotNullDistinct},
		{"and-not-leaf", andNotLeaf},
		{"and-exists-one", andExistsOne},
		{"and-not-exists-one", andNotExistsOne},
		{"and-not-exists", andNotExists},
		{"and-members", andMembers},
		{"and-exclusions", andExclusions},
		{"and-unit", andUnit},
	}
	elementRules = []rule[ExistsElement]{
		{"element-none", elementNone},
		{"element-hoist", elementHoist},
		{"element-member", elementMember},
		{"element-type", elementType},
	}
	existsRules = []rule[Exists]{
		{"exists-hoist", existsHoist},
	}
	orRules = []rule[Or]{
		{"or-flatten", orFlatten},
		{"or-sort", orSort}, // here, for the rules that keep the first of several
		{"or-duplicate", orDuplicate},
		{"or-tautology", orTautology},
		{"or-equalities", orEqualities},
		{"or-distinct", orDistinct},
		{"or-same", orSame},
		{"or-absorb", orAbsorb},
		{"or-exists", orExists},
		{"or-not-exists-one", orNotExistsOne},
		{"or-unit", orUnit},
		{"or-factor", orFactor},
		{"or-sort", orSort},
	}
)

func (s *simplifier) simplify(p Predicate) Predicate {
	if s.ctx.Err() != nil {
		return p
	}
	switch p := p.(type) {
	case And:
		// before the terms change: a negation would be pushed into its leaves, and
		// no longer look like the complement that it is
		whole := fire(s, []rule[And]{{"and-complement", andComplement}}, p)
		if and, ok := whole.(And); ok {
			return fire(s, andRules, And(s.all(and)))
		}
		return whole
	case Or:
		whole := fire(s, []rule[Or]{{"or-complement", orComplement}}, p)
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
	out := make([]Predicate, len(terms))
	for i, t := range terms {
		out[i] = s.simplify(t)
	}
	return out
}

// fire applies the rules in turn for as long as the node keeps its kind.
func fire[P Predicate](s *simplifier, rules []rule[P], p P) Predicate {
	for _, r := range rules {
		for { // each firing leaves less to do
			after, fired := r.apply(p)
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

func key(terms []Predicate) keyed {
	k := keyed{terms, make([]string, len(terms))}
	for i, t := range terms {
		k.keys[i] = canonical(t)
	}
	return k
}

// canonical is a text that is the same for predicates that differ only in the
// order of their terms.
func canonical(p Predicate) string {
	return string(appendCanonical(nil, p))
}

func appendCanonical(b []byte, p Predicate) []byte {
	var terms []Predicate
	switch p := p.(type) {
	case And:
		terms = p
	case Or:
		terms = p
	case Not:
		return append(appendCanonical(append(b, "(not "...), p.Of), ')')
	case Exists:
		b = append(append(append(b, '('), nodeName(p)...), ' ')
		if p.On != nil {
			b = append(appendPredicate(b, p.On), ' ')
		}
		return append(appendCanonical(b, p.Where), ')')
	default:
		return appendPredicate(b, p)
	}
	keys := key(terms).keys
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
