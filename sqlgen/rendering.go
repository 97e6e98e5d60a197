package sqlgen

import (
	"strconv"
	"strings"
)

// rendering is a condition's SQL with the numbers of its placeholders left out.
type rendering struct {
	first string // numbered from 1
	text  string
	at    []int // where a number belongs, ascending
	arg   []int // which of the arguments, from 0, stands there
	args  []any
}

// Rendered is the filter with its SQL made once, for one that is asked for it often.
func (f Filter) Rendered() Filter {
	if f.rendered == nil {
		f.rendered = rendered(f.Predicate(), f.closed)
		f.rendered.first = f.rendered.write(1)
	}
	return f
}

// Size is about how many bytes of memory the filter's SQL and arguments take, once it
// is [Filter.Rendered].
func (f Filter) Size() int {
	if f.rendered == nil {
		return 0
	}
	size := 2*len(f.rendered.text) + 16*len(f.rendered.at)
	for _, arg := range f.rendered.args {
		size += argSize(arg)
	}
	return size
}

func argSize(arg any) int {
	switch v := arg.(type) {
	case string:
		return 16 + len(v)
	case []string:
		size := 24
		for _, s := range v {
			size += 16 + len(s)
		}
		return size
	default:
		lit := Literal{Value: arg}
		return 32 + 24*lit.Len()
	}
}

// fewArgs is how many arguments most conditions have.
const fewArgs = 4

// rendered is the SQL of p; closed puts what it needs around it.
func rendered(p Predicate, closed func(string) string) *rendering {
	r := &rendering{at: make([]int, 0, fewArgs), arg: make([]int, 0, fewArgs), args: make([]any, 0, fewArgs)}
	text := render(p, &numbered{r: r, bound: make([]Expr, 0, fewArgs)})
	if r.text = closed(text); len(r.text) > len(text) { // in parentheses
		for i := range r.at {
			r.at[i]++
		}
	}
	return r
}

// write is the SQL with placeholders numbered from start.
func (r *rendering) write(start int) string {
	if start == 1 && r.first != "" {
		return r.first
	}
	var b strings.Builder
	b.Grow(len(r.text) + 3*len(r.at))
	from := 0
	for i, at := range r.at {
		b.WriteString(r.text[from:at])
		b.WriteString(strconv.Itoa(start + r.arg[i]))
		from = at
	}
	b.WriteString(r.text[from:])
	return b.String()
}

// numbered writes $ and remembers where its number belongs. A literal that comes again
// is bound once.
type numbered struct {
	r     *rendering
	bound []Expr
	seen  map[string]int // where there are many, by their print
}

func (n *numbered) bind(b *strings.Builder, arg Expr, typed bool) {
	i := n.place(arg)
	if i == len(n.bound) {
		n.bound = append(n.bound, arg)
		n.r.args = append(n.r.args, argValue(arg))
	}
	b.WriteByte('$')
	n.r.at = append(n.r.at, b.Len())
	n.r.arg = append(n.r.arg, i)
	b.WriteString(castSuffix(arg, typed))
}

// place is which of the arguments it is.
func (n *numbered) place(arg Expr) int {
	if len(n.bound) < fewTerms {
		for i, other := range n.bound {
			if printsSame(arg, other) {
				return i
			}
		}
		return len(n.bound)
	}
	if n.seen == nil {
		n.seen = map[string]int{}
		for i, other := range n.bound {
			n.seen[argKey(other)] = i
		}
	}
	i, ok := n.seen[argKey(arg)]
	if !ok {
		i = len(n.bound)
		n.seen[argKey(arg)] = i
	}
	return i
}
