package sqlgen

import "strings"

// Function is a SQL function or operator that a [Call] applies. The functions are
// variables of this package, in the files of their families.
type Function struct {
	name     string // as explain prints it
	template string // the SQL, with $1, $2 … for the arguments
	result   Type   // the zero Type is the first argument's
	nulls    nulls
	between  string // instead of a template: the operator between any number of arguments
	byBytes  bool   // the template says by which collation its text compares: by bytes
	doubles  bool   // PostgreSQL has it of doubles, too, for which it takes an integer
}

// nulls says when a call is NULL.
type nulls uint8

const (
	whenAnArgumentIs nulls = iota // exactly when an argument is
	sometimes                     // when an argument is, and else perhaps
	never
)

// takes reports whether a call can have n arguments.
func (f *Function) takes(n int) bool {
	if f.between != "" {
		return n > 0
	}
	arity := 0
	for i := range len(f.template) - 1 {
		if f.template[i] == '$' {
			arity = max(arity, int(f.template[i+1]-'0'))
		}
	}
	return n == arity
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

func (e Call) mapped(f func(Expr) Expr) Call {
	args := make([]Expr, len(e.Args))
	for i, a := range e.Args {
		args[i] = f(a)
	}
	return Call{e.Of, args}
}

// Size says how long the SQL of an expression is: the number of its columns and
// literals, long texts counting more. A function says an argument as often as its
// template does, which multiplies where calls are nested.
func Size(e Expr) int {
	const most = 1 << 30
	size := 1
	if l, ok := e.(Literal); ok {
		text, _ := l.Value.(string)
		return size + len(text)/64
	}
	if call, ok := e.(Call); ok {
		for i, a := range call.Args {
			times := max(1, strings.Count(call.Of.template, "$"+string(rune('1'+i))))
			size = min(most, size+times*Size(a))
		}
		return size
	}
	mapParts(e, func(part Expr) Expr {
		size = min(most, size+Size(part))
		return part
	})
	return size
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
	if e.Of.between != "" {
		return len(e.Args) > 1
	}
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
// parentheses of its own. Of two texts whose collations may differ, the first compares
// by its bytes wherever it stands.
func (r *renderer) apply(e Call) {
	first, texts := -1, 0
	for i, a := range e.Args {
		if collated(a) {
			if texts++; texts == 1 {
				first = i
			}
		}
	}
	if texts < 2 {
		first = -1
	}
	if e.Of.between != "" {
		for i, arg := range e.Args {
			if i > 0 {
				r.WriteString(e.Of.between)
			}
			// one argument that PostgreSQL knows the type of says that of its neighbours
			r.argument(arg, i == first, false, i > 0 || len(e.Args) > 1 && !isArg(e.Args[1]))
		}
		return
	}
	template := e.Of.template
	for {
		at := strings.IndexByte(template, '$')
		if at < 0 || at+1 == len(template) {
			break
		}
		before, i, after := template[:at], int(template[at+1]-'1'), template[at+2:]
		r.WriteString(before)
		alone := (strings.HasSuffix(before, "(") || strings.HasSuffix(before, ", ")) &&
			(strings.HasPrefix(after, ")") || strings.HasPrefix(after, ","))
		// a cast says the type of an argument that is of the type, and reads the text of another
		if strings.HasPrefix(after, "::"+TypeOf(e.Args[i]).sql()) {
			r.operand(e.Args[i])
		} else {
			r.argument(e.Args[i], i == first, alone, false)
			r.keepNumeric(e, i)
		}
		template = after
	}
	r.WriteString(template)
}

// keepNumeric says that a number is numeric where it is written out without a fraction.
func (r *renderer) keepNumeric(e Call, i int) {
	lit, known := e.Args[i].(Literal)
	if _, written := r.binder.(inline); written && known && e.Of.doubles && lit.Type.Kind == KindNumeric && !strings.ContainsAny(lit.plain(), ".eE") {
		r.WriteString("::numeric")
	}
}

func (r *renderer) argument(arg Expr, byItsBytes, alone, typeKnown bool) {
	switch {
	case alone && !byItsBytes:
		r.inner(arg)
	case typeKnown:
		r.operand(arg)
	default:
		r.typed(arg)
	}
	if byItsBytes {
		r.WriteString(byBytes)
	}
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
	case ArrayGet:
		return collated(e.Of)
	case Call:
		return !e.Of.byBytes && anyOf(e.Args, collated)
	default:
		return false
	}
}
