package compiler

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// checkHashed refuses a constant that the operand may equal and that OPA may not find
// equal. OPA's index of rules, its sets and the keys of its objects look for a hash,
// and that of a number beyond a double is the one of its text: 1e400 is not found where
// a row says 1000…0, as PostgreSQL writes it. Only == and in ask for hashes. A negation
// asks for none either, but what is below it may be a rule, and that has an index.
func checkHashed(x operand, constant ast.Value) {
	switch constant.(type) {
	case ast.Null, ast.Boolean, ast.String:
		return
	}
	if !reachesBeyondDouble(x) {
		return
	}
	rego.EachBeyondDouble(ast.NewTerm(constant), func(t *ast.Term) {
		n := t.Value.(ast.Number)
		hint := "write a number below 1.8e308"
		if _, ok := rational(n); ok {
			hint += fmt.Sprintf(", or compare: x >= %[1]s and x <= %[1]s", shortened(n))
		}
		refuse(CodeLiteral, "the number "+shortened(n)+", looked for with == or in: beyond a double, OPA's index of rules, sets and keys tell numbers apart by how they are written", hint)
	})
}

// checkAlike refuses two constants that are equal and that OPA's index of rules tells
// apart.
func checkAlike(a, b ast.Value) {
	if a.Compare(b) == 0 && a.Hash() != b.Hash() {
		checkHashed(known{a}, b)
	}
}

// checkSpelling refuses a policy with a number beyond a double that what is known
// writes in another way.
func checkSpelling(policy *rego.Policy, known ast.Value) error {
	constant, as := policy.Respelt(known)
	if constant == nil {
		return nil
	}
	at := positionOf(constant.Location)
	return &Error{
		Code:     CodeLiteral,
		Position: &at,
		Reason:   "the number " + shortened(constant.Value.(ast.Number)) + ", which the policy, its data or the input also has as " + shortened(as) + ": beyond a double, OPA's index of rules, sets and keys tell numbers apart by how they are written",
		Hint:     "write it alike everywhere, or a number below 1.8e308",
	}
}

// doubleBits is how many bits an integer beyond a double has at least.
const doubleBits = 1024

// reachesBeyondDouble reports whether a value, or a part of it, may be a number beyond
// a double.
func reachesBeyondDouble(x operand) bool {
	switch x := x.(type) {
	case scalar:
		return sqlgen.TypeOf(x.e).Kind == sqlgen.KindNumeric
	case array:
		return sqlgen.TypeOf(x.e).Kind == sqlgen.KindNumeric
	case computed: // one that may have a fraction is not compared with such a number
		return x.whole != nil && x.whole.bits >= doubleBits
	case tally:
		return false
	default:
		return true
	}
}

// shortened is a number as a message shows it.
func shortened(n ast.Number) string {
	const most = 40
	if len(n) <= most {
		return string(n)
	}
	return fmt.Sprintf("%s… (%d characters)", n[:most/2], len(n))
}
