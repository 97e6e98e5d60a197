package sqlgen

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Literal is a value known when the SQL is made. It is never NULL. In the SQL
// that runs it is a bind argument; only [Filter.Inline] writes it out.
//
// Value's Go type follows from Type:
//
//	uuid         uuid.UUID
//	text, enum   string
//	bool         bool
//	int          int64
//	float        float64
//	numeric      string, a decimal such as "-12.50"
//	timestamptz  time.Time (in UTC)
//	date         string, 2006-01-02
//	inet         string
//	jsonb        string, a JSON document
//	arrays       a slice of the above
type Literal struct {
	Type  Type
	Value any

	mark *mark // of a long array
}

// UUID is a uuid literal.
func UUID(v uuid.UUID) Literal { return Literal{Type: Type{Kind: KindUUID}, Value: v} }

// String is a text literal.
func String(v string) Literal { return Literal{Type: Type{Kind: KindText}, Value: v} }

// Int is an int literal.
func Int(v int64) Literal { return Literal{Type: Type{Kind: KindInt}, Value: v} }

// Float is a double precision literal.
func Float(v float64) Literal { return Literal{Type: Type{Kind: KindFloat}, Value: v} }

// Number is a numeric literal; v is a decimal.
func Number(v string) Literal { return Literal{Type: Type{Kind: KindNumeric}, Value: v} }

// Bool is a boolean literal.
func Bool(v bool) Literal { return Literal{Type: Type{Kind: KindBool}, Value: v} }

// Timestamp is a timestamptz literal. PostgreSQL keeps microseconds: the rest of v
// is dropped.
func Timestamp(v time.Time) Literal {
	return Literal{Type: Type{Kind: KindTimestamptz}, Value: v.UTC().Truncate(time.Microsecond)}
}

// JSON is a jsonb literal; v is a JSON document.
func JSON(v string) Literal { return Literal{Type: Type{Kind: KindJSONB}, Value: v} }

// Zero is a literal of the type: "", 0, false, an empty array, the JSON value null.
func Zero(t Type) Literal {
	if t.Array {
		return ArrayOf(t.Elem(), nil)
	}
	switch t.Kind {
	case KindUUID:
		return UUID(uuid.Nil)
	case KindBool:
		return Bool(false)
	case KindInt:
		return Int(0)
	case KindFloat:
		return Float(0)
	case KindNumeric:
		return Number("0")
	case KindTimestamptz:
		return Timestamp(time.Unix(0, 0))
	case KindDate:
		return Literal{Type: t, Value: "1970-01-01"}
	case KindInet:
		return Literal{Type: t, Value: "0.0.0.0"}
	case KindJSONB:
		return JSON("null")
	default:
		return Literal{Type: t, Value: ""}
	}
}

// ListOf is an array literal of a set of elements, which all have the type t: they
// are sorted, and each is kept once.
func ListOf(t Type, elems []Literal) Literal {
	if !ascending(elems, compareLiterals) {
		elems = slices.Clone(elems)
		slices.SortFunc(elems, compareLiterals)
		elems = slices.CompactFunc(elems, func(a, b Literal) bool { return compareLiterals(a, b) == 0 })
	}
	return ArrayOf(t, elems)
}

// TextList is [ListOf] of texts.
func TextList(texts []string) Literal {
	if !ascending(texts, strings.Compare) {
		texts = slices.Clone(texts)
		slices.Sort(texts)
		texts = slices.Compact(texts)
	}
	return TextArray(texts)
}

// TextArray is [ArrayOf] of texts.
func TextArray(texts []string) Literal {
	return arrayLiteral(Type{Kind: KindText}, texts, len(texts))
}

func uuidList(ids []uuid.UUID) Literal {
	if !ascending(ids, compareUUIDs) {
		ids = slices.Clone(ids)
		slices.SortFunc(ids, compareUUIDs)
		ids = slices.Compact(ids)
	}
	return arrayLiteral(Type{Kind: KindUUID}, ids, len(ids))
}

// ascending reports whether each element comes behind the one before it.
func ascending[T any](elems []T, order func(a, b T) int) bool {
	for i := 1; i < len(elems); i++ {
		if order(elems[i-1], elems[i]) >= 0 {
			return false
		}
	}
	return true
}

// ArrayOf is an array literal of elements of the type t, as they come.
func ArrayOf(t Type, elems []Literal) Literal {
	var value any
	switch t.Kind {
	case KindUUID:
		value = collect[uuid.UUID](elems)
	case KindBool:
		value = collect[bool](elems)
	case KindInt:
		value = collect[int64](elems)
	case KindFloat:
		value = collect[float64](elems)
	case KindTimestamptz:
		value = collect[time.Time](elems)
	default:
		value = collect[string](elems)
	}
	return arrayLiteral(t, value, len(elems))
}

func arrayLiteral(t Type, value any, size int) Literal {
	l := Literal{Type: t.ArrayOf(), Value: value}
	if size > maxPrinted {
		l.mark = new(mark)
	}
	return l
}

// maxPrinted is how many elements of an array are printed. Of a longer array, its mark
// stands for it.
const maxPrinted = 16

// mark is what is printed of a long array, which two arrays share only if they are
// equal. It is made when it is first asked for.
type mark struct {
	once sync.Once
	text string
}

func (m *mark) of(l Literal) string {
	m.once.Do(func() {
		sum := sha256.Sum256(l.appendElems(nil))
		m.text = fmt.Sprintf("%d elements, %x", l.Len(), sum[:16])
	})
	return m.text
}

func collect[T any](elems []Literal) []T {
	out := make([]T, len(elems))
	for i, e := range elems {
		out[i] = e.Value.(T)
	}
	return out
}

// Len is the number of elements of an array literal.
func (l Literal) Len() int {
	switch v := l.Value.(type) {
	case []uuid.UUID:
		return len(v)
	case []string:
		return len(v)
	case []bool:
		return len(v)
	case []int64:
		return len(v)
	case []float64:
		return len(v)
	case []time.Time:
		return len(v)
	default:
		return 0
	}
}

// first is the first element of an array literal that has one.
func (l Literal) first() Literal {
	var v any
	switch vs := l.Value.(type) {
	case []uuid.UUID:
		v = vs[0]
	case []string:
		v = vs[0]
	default:
		return l.Elems()[0]
	}
	return Literal{Type: l.Type.Elem(), Value: v}
}

// Elems are the elements of an array literal.
func (l Literal) Elems() []Literal {
	switch v := l.Value.(type) {
	case []uuid.UUID:
		return spread(l.Type, v)
	case []string:
		return spread(l.Type, v)
	case []bool:
		return spread(l.Type, v)
	case []int64:
		return spread(l.Type, v)
	case []float64:
		return spread(l.Type, v)
	case []time.Time:
		return spread(l.Type, v)
	default:
		return nil
	}
}

func spread[T any](t Type, vs []T) []Literal {
	out := make([]Literal, len(vs))
	for i, v := range vs {
		out[i] = Literal{Type: t.Elem(), Value: v}
	}
	return out
}

func compareLiterals(a, b Literal) int {
	switch x := a.Value.(type) {
	case uuid.UUID:
		y := b.Value.(uuid.UUID)
		return slices.Compare(x[:], y[:])
	case int64:
		return cmp.Compare(x, b.Value.(int64))
	case float64:
		y := b.Value.(float64)
		if math.IsNaN(x) || math.IsNaN(y) { // to PostgreSQL the greatest, and equal to itself
			return cmp.Compare(y, x)
		}
		return cmp.Compare(x, y)
	case time.Time:
		return x.Compare(b.Value.(time.Time))
	case string:
		return strings.Compare(x, b.Value.(string))
	default:
		return cmp.Compare(fmt.Sprint(a.Value), fmt.Sprint(b.Value))
	}
}

// distinguishable reports whether two literals of the type that print
// differently are different values to PostgreSQL too.
func (t Type) distinguishable() bool {
	switch t.Kind {
	case KindUUID, KindText, KindBool, KindInt, KindFloat, KindTimestamptz, KindDate, KindEnum:
		return !t.Array
	default: // 1.0 is 1.00, {"a":1} is {"a": 1}
		return false
	}
}

// plain is a scalar literal's value as text, the way both PostgreSQL and a
// reader take it.
func (l Literal) plain() string {
	switch v := l.Value.(type) {
	case uuid.UUID:
		return v.String()
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v+0, 'g', -1, 64) // +0: no negative zero, which equals zero
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

// needsCast reports whether the bind argument must carry its type, because
// PostgreSQL would infer a narrower one from the column beside it.
func (l Literal) needsCast() bool {
	if l.Type.Kind != KindInt {
		return false
	}
	const minInt2, maxInt2 = -1 << 15, 1<<15 - 1
	wide := func(v int64) bool { return v < minInt2 || v > maxInt2 }
	switch v := l.Value.(type) {
	case int64:
		return wide(v)
	case []int64:
		return slices.ContainsFunc(v, wide)
	default:
		return false
	}
}

// ArgJSON is a bind argument as JSON: uuids, times and JSON documents are
// strings, arrays are arrays.
func ArgJSON(args []any) ([]byte, error) {
	if args == nil {
		args = []any{}
	}
	return json.Marshal(args)
}

// quoteString writes s as a SQL string constant that means the same whatever
// standard_conforming_strings says. It is one line: tools that run scripts look for
// comments of their own at the beginning of a line, and for a semicolon at its end.
func quoteString(b *strings.Builder, s string) {
	if strings.ContainsAny(s, "\\\n\r") {
		b.WriteByte('E')
		s = escaped.Replace(s)
	}
	b.WriteByte('\'')
	b.WriteString(strings.ReplaceAll(s, "'", "''"))
	b.WriteByte('\'')
}

var escaped = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)
