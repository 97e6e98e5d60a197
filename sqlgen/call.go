package sqlgen

import "strings"

// Function is a SQL function or operator that a [Call] applies. The functions are
// variables of this package, in the files of their families.
type Function struct {
	name     string // as explain prints it
	template string // the SQL, with $1, $2 … for the arguments
	result   Type   // the zero Type is the first argument's
	nulls    nulls
}

// nulls says when a call is NULL.
type nulls uint8

const (
	whenAnArgumentIs nulls = iota // exactly when an argument is
	sometimes                     // when an argument is, and else perhaps
	never
)

// arity is the number of arguments that the template takes.
func (f *Function) arity() int {
	n := 0
	for i := range len(f.template) - 1 {
		if f.template[i] == '$' {
			n = max(n, int(f.template[i+1]-'0'))
		}
	}
	return n
}

// Call is a function applied to as many arguments as it takes. None of the functions
// fails, whatever the arguments are: PostgreSQL may compute a term of a condition
// before the one that guards it.
type Call struct {
	Of   *Function
	Args []Expr
}

// Apply is the call of a function.
func Apply(f *Function, args ...Expr) Call { return Call{f, args} }

func (Call) expr() {}

// String prints the expression for golden files and explain.
func (e Call) String() string { return printedExpr(e) }

func (e Call) typeOf() Type {
	if e.Of.result == (Type{}) {
		return TypeOf(e.Args[0])
	}
	return e.Of.result
}

func (e Call) nullable() bool {
	return e.Of.nulls == sometimes || e.Of.nulls == whenAnArgumentIs && anyOf(e.Args, Nullable)
}

func anyOf(es []Expr, is func(Expr) bool) bool {
	for _, e := range es {
		if is(e) {
			return true
		}
	}
	return false
}

func (e Call) rewritten(f func(Expr) Expr) Call {
	args := make([]Expr, len(e.Args))
	for i, a := range e.Args {
		args[i] = rewriteExpr(a, f)
	}
	return Call{e.Of, args}
}

func (e Call) appendTo(b []byte) []byte {
	b = append(append(b, '('), e.Of.name...)
	for _, a := range e.Args {
		b = appendExpr(append(b, ' '), a)
	}
	return append(b, ')')
}

// open reports whether the call is written with an operator at its top.
func (e Call) open() bool {
	depth := 0
	for i, c := range e.Of.template {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ' ' && depth == 0, c == ':' && depth == 0 && i > 0:
			return true
		}
	}
	return false
}

// apply writes the template. An argument alone between commas or parentheses needs no
// parentheses of its own. Two texts whose collations may differ meet by their bytes.
func (r *renderer) apply(e Call) {
	texts := 0
	for _, a := range e.Args {
		if collated(a) {
			texts++
		}
	}
	template := e.Of.template
	for {
		at := strings.IndexByte(template, '$')
		if at < 0 || at+1 == len(template) {
			break
		}
		before, arg, after := template[:at], e.Args[template[at+1]-'1'], template[at+2:]
		r.WriteString(before)
		alone := (strings.HasSuffix(before, "(") || strings.HasSuffix(before, ", ")) &&
			(strings.HasPrefix(after, ")") || strings.HasPrefix(after, ","))
		byItsBytes := texts > 1 && collated(arg)
		if alone && !byItsBytes {
			r.inner(arg)
		} else {
			r.typed(arg)
		}
		if byItsBytes {
			r.WriteString(byBytes)
			texts = 0
		}
		template = after
	}
	r.WriteString(template)
}

// collated reports whether a text has the collation of a column.
func collated(e Expr) bool {
	if TypeOf(e).Kind != KindText {
		return false
	}
	switch e := e.(type) {
	case Column:
		return true
	case Text:
		return collated(e.Of)
	case Call:
		return anyOf(e.Args, collated)
	default:
		return false
	}
}
