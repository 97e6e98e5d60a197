package compiler

import (
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/rowfence/rowfence/sqlgen"
)

// timeBuiltins are the builtin functions of times and dates.
var timeBuiltins = map[string]symbolic{
	"time.parse_rfc3339_ns": func(args []operand) value { return parseTime("RFC3339", args[0]) },
	"time.parse_ns":         parseLayout,
	"time.date":             timeParts("time.date", sqlgen.Year, sqlgen.Month, sqlgen.Day),
	"time.clock":            timeParts("time.clock", sqlgen.Hour, sqlgen.Minute, sqlgen.Second),
	"time.weekday":          weekday,
	"time.add_date":         addDate,
	"time.diff":             timeDiff,
	"time.format":           formatTime,
}

// Parts of a time are integers, of at most so many bits.
func init() {
	wholeFunctions[sqlgen.Year] = 14
	for _, f := range append(sqlgen.TimeDiff[:], sqlgen.Month, sqlgen.Day, sqlgen.Hour, sqlgen.Minute, sqlgen.Second) {
		wholeFunctions[f] = 14
	}
}

// inNanoseconds is true of the times that fit 64 bits of nanoseconds.
func inNanoseconds(e sqlgen.Expr) sqlgen.Predicate {
	bound := func(op sqlgen.Op, at time.Time) sqlgen.Predicate {
		return sqlgen.Compare{Op: op, L: e, R: sqlgen.Timestamp(at)}
	}
	return conjunction(bound(sqlgen.GE, time.Unix(0, math.MinInt64).Add(time.Microsecond)), bound(sqlgen.LE, time.Unix(0, math.MaxInt64)))
}

// nanosecondsOf is a timestamp as nanoseconds, where they fit 64 bits.
func nanosecondsOf(e sqlgen.Expr) value { return value{{inNanoseconds(e), scalar{e, true}}} }

var timeLayouts = map[string]string{"RFC3339": time.RFC3339, "RFC3339Nano": time.RFC3339Nano}

func layoutOf(name string) string {
	if layout, ok := timeLayouts[name]; ok {
		return layout
	}
	return name
}

func parseLayout(args []operand) value {
	if k, ok := args[0].(known); ok {
		if name, ok := k.v.(ast.String); ok {
			return parseTime(string(name), args[1])
		}
		return nil
	}
	refuse(CodeBuiltin, "time.parse_ns with a layout that depends on the row", "write the layout as a constant")
	return nil
}

// parseTime reads the text of a column that is a time in a known form.
func parseTime(layout string, op operand) value {
	if r := rankOf(op); r != rankString && r != rankAny {
		return nil
	}
	if x, ok := op.(scalar); ok {
		layout := layoutOf(layout)
		ofTimestamp := layout == time.RFC3339 || layout == time.RFC3339Nano
		switch kind := sqlgen.TypeOf(x.e).Kind; {
		case ofTimestamp && kind == sqlgen.KindTimestamptz:
			return nanosecondsOf(x.e)
		case layout == time.DateOnly && kind == sqlgen.KindDate:
			return nanosecondsOf(sqlgen.Apply(sqlgen.Midnight, x.e))
		case ofTimestamp && (kind == sqlgen.KindDate || kind == sqlgen.KindUUID || kind == sqlgen.KindInet):
			return nil // no such text is in that form
		}
	}
	refuse(CodeBuiltin, "a time in "+describe(op)+" can't be read exactly", "give the field the type timestamptz in the schema")
	return nil
}

// instant is a time of the row, or a known one.
type instant struct {
	e       sqlgen.Expr
	seconds bool // e has no fraction, and the time may have one
	layout  string
	known   ast.Value // what a function takes, where nothing depends on the row
}

type instantAlt struct {
	when sqlgen.Predicate
	instant
}

// instantsOf reads what the functions of time take: nanoseconds, or an array of them,
// a time zone and a layout.
func instantsOf(op operand) []instantAlt {
	var parts []value
	switch op := op.(type) {
	case list:
		if op.set {
			return nil
		}
		parts = op.elems
	case known:
		if arr, ok := op.v.(*ast.Array); ok {
			arr.Foreach(func(t *ast.Term) { parts = append(parts, knownValue(t.Value)) })
			break
		}
		parts = []value{knownValue(op.v)}
	case array, ruleSet, jsonValue:
		refuse(CodeBuiltin, "a time in "+describe(op)+" can't be read exactly", "pass a timestamptz field that is seen as unix_ns")
	default:
		parts = []value{{{sqlgen.True, op}}}
	}
	if len(parts) == 0 {
		return nil
	}
	var text [3]string
	for i, p := range parts[1:min(3, len(parts))] {
		v, ok := p.constant()
		if !ok {
			refuse(CodeBuiltin, "a time zone or layout that depends on the row", "write it as a constant")
		}
		s, ok := v.(ast.String)
		if !ok {
			return nil
		}
		text[i+1] = string(s)
	}
	if zone := text[1]; zone != "" && zone != "UTC" {
		refuse(CodeBuiltin, "the time zone "+zone+": PostgreSQL may have another edition of the time zones", "use UTC")
	}
	var out []instantAlt
	for _, a := range parts[0] {
		if i, ok := instantOf(a.op); ok {
			if k, ok := a.op.(known); ok {
				i.known = ast.NewArray(ast.NewTerm(k.v), ast.StringTerm("UTC"), ast.StringTerm(text[2]))
			}
			i.layout, i.when = text[2], conjunction(a.when, i.when)
			out = append(out, i)
		}
	}
	return out
}

// instantOf is a number of nanoseconds as a time; ok is false where it is none.
func instantOf(op operand) (i instantAlt, ok bool) {
	switch op := op.(type) {
	case known:
		n, ok := op.v.(ast.Number)
		if !ok {
			return i, false
		}
		if _, ok := rational(n); !ok {
			return i, false
		}
		ns, accuracy := builtins.NumberToFloat(n).Int64() // as OPA rounds it
		if accuracy != big.Exact {
			return i, false
		}
		return instantAlt{sqlgen.True, instant{e: sqlgen.Timestamp(time.Unix(0, ns)), seconds: ns%1000 != 0}}, true
	case scalar:
		if rankOf(op) != rankNumber {
			return i, false
		}
		if op.nanos {
			return instantAlt{inNanoseconds(op.e), instant{e: op.e}}, true
		}
		return instantOf(ofScalar(op))
	case computed:
		if op.whole == nil {
			break
		}
		e := op.whole.numeric()
		when := conjunction(
			sqlgen.Compare{Op: sqlgen.GE, L: e, R: sqlgen.Number("-9223372036854775808")},
			sqlgen.Compare{Op: sqlgen.LE, L: e, R: sqlgen.Number("9223372036854775807")})
		if sqlgen.TypeOf(op.whole.e).Kind == sqlgen.KindInt {
			when = sqlgen.True
		}
		return instantAlt{when, instant{e: sqlgen.Apply(sqlgen.SecondOf, e), seconds: true}}, true
	default:
		if r := rankOf(op); r != rankNumber && r != rankAny {
			return i, false
		}
	}
	refuse(CodeBuiltin, "a time in "+describe(op)+" can't be read exactly", "pass a timestamptz field that is seen as unix_ns, or an int")
	return i, false
}

// timeParts is an array of parts of a time.
func timeParts(name string, parts ...*sqlgen.Function) symbolic {
	return func(args []operand) value {
		var out value
		for _, i := range instantsOf(args[0]) {
			if i.known != nil {
				out = append(out, ofKnown(name, i)...)
				continue
			}
			out = append(out, alt{i.when, timePartsOf(parts, i.e)})
		}
		return out
	}
}

// ofKnown is a function of a known time.
func ofKnown(name string, i instantAlt) (out value) {
	err := topdown.GetBuiltin(name)(topdown.BuiltinContext{}, []*ast.Term{ast.NewTerm(i.known)}, func(r *ast.Term) error {
		out = knownValue(r.Value).under(i.when)
		return nil
	})
	if err != nil {
		return nil
	}
	return out
}

func timePartsOf(parts []*sqlgen.Function, args ...sqlgen.Expr) list {
	elems := make([]value, len(parts))
	for i, f := range parts {
		elems[i] = value{{sqlgen.True, scalar{e: sqlgen.Apply(f, args...)}}}
	}
	return list{elems: elems}
}

func weekday(args []operand) value {
	var out value
	for _, i := range instantsOf(args[0]) {
		if i.known != nil {
			out = append(out, ofKnown("time.weekday", i)...)
			continue
		}
		out = append(out, alt{i.when, scalar{e: sqlgen.Apply(sqlgen.Weekday, i.e)}})
	}
	return out
}

// maxShift bounds the days by which a date is moved: PostgreSQL's dates have an end.
const maxShift = 1_000_000

// addDate is time.add_date of a timestamp and known years, months and days.
func addDate(args []operand) value {
	var by [3]int64
	for i, op := range args[1:] {
		k, ok := op.(known)
		if !ok {
			refuse(CodeBuiltin, "time.add_date by a number that depends on the row", "compare with a sum of nanoseconds")
		}
		n, ok := k.v.(ast.Number)
		if !ok {
			return nil
		}
		if by[i], ok = n.Int64(); !ok {
			return nil
		}
		if by[i] > maxShift || by[i] < -maxShift {
			refuse(CodeBuiltin, "time.add_date by more than a million", "use a smaller number")
		}
	}
	months := 12*by[0] + by[1]
	if months > maxShift/30 || months < -maxShift/30 {
		refuse(CodeBuiltin, "time.add_date by more than a million days", "use a smaller number")
	}
	var out value
	for _, i := range instantsOf(args[0]) {
		refuseDateOfDate(i.e)
		if i.seconds {
			refuse(CodeBuiltin, "time.add_date of an int may have nanoseconds, which PostgreSQL's times don't", "pass a timestamptz field that is seen as unix_ns")
		}
		out = append(out, nanosecondsOf(sqlgen.Apply(sqlgen.AddDate, i.e, sqlgen.Int(months), sqlgen.Int(by[2]))).under(i.when)...)
	}
	return out
}

// refuseDateOfDate keeps the SQL, which says the time many times over, from growing
// with each date that is computed of another.
func refuseDateOfDate(es ...sqlgen.Expr) {
	for _, e := range es {
		if call, ok := e.(sqlgen.Call); ok && call.Of == sqlgen.AddDate {
			refuse(CodeBuiltin, "a date computed of the result of time.add_date", "add to the date in one step, or to a known date")
		}
	}
}

// timeDiff is time.diff: years, months, days, hours, minutes and seconds.
func timeDiff(args []operand) value {
	var out value
	for _, a := range instantsOf(args[0]) {
		for _, b := range instantsOf(args[1]) {
			refuseDateOfDate(a.e, b.e)
			out = append(out, alt{conjunction(a.when, b.when), timePartsOf(sqlgen.TimeDiff[:], a.e, b.e)})
		}
	}
	return out
}

// formatTime is time.format in a layout of date and clock.
func formatTime(args []operand) value {
	var out value
	for _, i := range instantsOf(args[0]) {
		if i.known != nil {
			out = append(out, ofKnown("time.format", i)...)
			continue
		}
		layout := layoutOf(i.layout)
		if layout == "" || layout == time.RFC3339Nano {
			if i.seconds {
				refuse(CodeBuiltin, "time.format of an int may have nanoseconds, which PostgreSQL's times don't", "pass a timestamptz field that is seen as unix_ns, or a layout without a fraction")
			}
			out = append(out, alt{i.when, scalar{e: sqlgen.Text{Of: i.e}}})
			continue
		}
		out = append(out, alt{i.when, scalar{e: sqlgen.Apply(sqlgen.TimeFormat, i.e, sqlgen.String(toCharFormat(layout)))}})
	}
	return out
}

// layoutParts are the parts of a layout of Go and what to_char calls them.
var layoutParts = []struct{ layout, toChar string }{
	{"2006", "YYYY"}, {"01", "MM"}, {"02", "DD"}, {"15", "HH24"}, {"04", "MI"}, {"05", "SS"},
	{"January", "FMMonth"}, {"Monday", "FMDay"}, {"Z07:00", `"Z"`},
}

func toCharFormat(layout string) string {
	var b strings.Builder
next:
	for rest := layout; rest != ""; {
		for _, p := range layoutParts {
			if after, ok := strings.CutPrefix(rest, p.layout); ok {
				b.WriteString(p.toChar)
				rest = after
				continue next
			}
		}
		if !strings.Contains("-/: T,", rest[:1]) {
			refuse(CodeBuiltin, "the layout "+layout+" has no translation", "use a layout of 2006, 01, 02, 15, 04, 05, January and Monday between - / : , T and spaces")
		}
		b.WriteString(`"` + rest[:1] + `"`)
		rest = rest[1:]
	}
	return b.String()
}
