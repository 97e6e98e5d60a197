package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

// Hostile makes n rows of values that are likely to show a difference, as
// [CheckMade] takes them: NULL and empty values, wildcards, quotes, scripts, numbers
// and times at the ends of their types, JSON of any shape; and the constants of a
// policy, as they are and changed a little, where they fit a column's type. Columns
// are those of the database, as [ColumnsOf] reads them.
//
// A row has the columns that are fields of the resource, and so belongs to rows of
// other tables by those only. A column that the schema
// says is not NULL never is. A jsonb column never holds JSON's null itself: in such a
// row that is NULL.
func Hostile(rng *rand.Rand, r *compiler.Resource, columns map[string]Column, constants []ast.Value, n int) []string {
	m := maker{rng: rng, constants: scalars(constants)}
	for _, c := range constants {
		switch c.(type) {
		case *ast.Array, ast.Object, ast.Set:
			if v, err := ast.JSON(c); err == nil && holds(v) {
				m.composites = append(m.composites, v)
			}
		}
	}
	out := make([]string, n)
	for i := range out {
		m.theme = m.theme[:0]
		for range 3 {
			m.theme = append(m.theme, m.anything())
		}
		row := map[string]any{}
		for _, f := range r.Fields {
			if f.Const == nil && f.Relation == nil {
				row[f.Column.Name] = m.column(f.Column, columns[f.Column.Name])
			}
		}
		out[i] = marshal(row)
	}
	return out
}

// marshal is v as JSON. It is of values that JSON has.
func marshal(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// scalars are the scalars in values, at any depth, and the keys of objects.
func scalars(values []ast.Value) []any {
	var out []any
	seen := map[string]bool{}
	for _, v := range values {
		ast.WalkTerms(ast.NewTerm(v), func(t *ast.Term) bool {
			if !ast.IsScalar(t.Value) || seen[t.Value.String()] {
				return false
			}
			seen[t.Value.String()] = true
			switch v := t.Value.(type) {
			case ast.String:
				if text := strings.ReplaceAll(string(v), "\x00", ""); holds(text) {
					out = append(out, text)
				}
			case ast.Number:
				if holds(json.Number(v)) {
					out = append(out, json.Number(v))
				}
			case ast.Boolean:
				out = append(out, bool(v))
			}
			return false
		})
	}
	return out
}

// holds reports whether PostgreSQL can hold the value as jsonb: it has no NUL, and
// less room for numbers than JSON.
func holds(v any) bool {
	switch v := v.(type) {
	case string:
		return utf8.ValidString(v) && !strings.Contains(v, "\x00")
	case json.Number:
		e := decimalExponent(string(v))
		return -1000 < e && e < 1000
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !holds(e) })
	case map[string]any:
		for k, e := range v {
			if !holds(k) || !holds(e) {
				return false
			}
		}
	}
	return true
}

// maker makes values. One is a string, a json.Number, a bool, nil, a []any or a
// map[string]any.
type maker struct {
	rng        *rand.Rand
	constants  []any // scalars
	composites []any
	theme      []any // of this row: so that its columns have something to do with each other
}

// anything is a constant, or a value of any type.
func (m *maker) anything() any {
	if len(m.constants) > 0 && m.rng.IntN(3) > 0 {
		return pick(m.rng, m.constants)
	}
	kinds := []sqlgen.Kind{sqlgen.KindUUID, sqlgen.KindText, sqlgen.KindText, sqlgen.KindInt, sqlgen.KindFloat, sqlgen.KindTimestamptz, sqlgen.KindDate, sqlgen.KindInet}
	return m.fresh(sqlgen.Type{Kind: pick(m.rng, kinds)}, Column{Mod: -1})
}

func (m *maker) column(c sqlgen.Column, known Column) any {
	switch {
	case !c.NotNull && m.rng.IntN(5) == 0:
		return nil
	case known.Domain:
		if len(known.Values) > 0 {
			return pick(m.rng, known.Values)
		}
		return nil
	case !c.Type.Array:
		return m.value(c.Type, known)
	}
	list := []any{}
	for range m.rng.IntN(4) {
		if m.rng.IntN(6) == 0 {
			list = append(list, nil)
			continue
		}
		list = append(list, m.value(c.Type.Elem(), known))
	}
	return list
}

// value is one that fits the column.
func (m *maker) value(t sqlgen.Type, known Column) any {
	if t.Kind == sqlgen.KindJSONB {
		for {
			if v := m.json(3); v != nil {
				return v
			}
		}
	}
	for range 4 {
		var v any
		switch x := m.rng.IntN(10); {
		case x < 4:
			v = pick(m.rng, m.theme)
		case x < 6 && len(m.constants) > 0:
			v = pick(m.rng, m.constants)
		case x < 8 && len(m.constants) > 0:
			v = m.near(pick(m.rng, m.constants))
		}
		if v = fit(v, t, known); v != nil {
			return v
		}
	}
	if v := fit(m.fresh(t, known), t, known); v != nil {
		return v
	}
	return simplest(t, known)
}

// simplest is the plainest value of a type.
func simplest(t sqlgen.Type, known Column) any {
	if known.Domain && len(known.Values) > 0 {
		return known.Values[0]
	}
	if t.Array {
		return []any{}
	}
	switch t.Kind {
	case sqlgen.KindUUID:
		return "00000000-0000-0000-0000-000000000000"
	case sqlgen.KindBool:
		return false
	case sqlgen.KindInt, sqlgen.KindFloat, sqlgen.KindNumeric:
		return json.Number("0")
	case sqlgen.KindTimestamptz:
		return "2000-01-01T00:00:00Z"
	case sqlgen.KindDate:
		return "2000-01-01"
	case sqlgen.KindInet:
		return "0.0.0.0"
	case sqlgen.KindJSONB:
		return map[string]any{}
	case sqlgen.KindEnum:
		if len(known.Labels) > 0 {
			return known.Labels[0]
		}
		return nil
	default:
		return ""
	}
}

// fit is the value as a column takes it, so that the policy sees the same; nil where
// it does not.
func fit(v any, t sqlgen.Type, known Column) any {
	text, isText := v.(string)
	switch t.Kind {
	case sqlgen.KindBool:
		if b, ok := v.(bool); ok {
			return b
		}
	case sqlgen.KindInt, sqlgen.KindFloat, sqlgen.KindNumeric:
		if n, ok := v.(json.Number); ok && fitsNumber(n, t, known) {
			if x, ok := new(big.Rat).SetString(string(n)); ok && t.Kind == sqlgen.KindInt {
				return json.Number(x.Num().String()) // and not 1e3 or 1.0
			}
			return n
		}
	case sqlgen.KindTimestamptz:
		at, err := time.Parse(time.RFC3339Nano, text)
		if n, ok := v.(json.Number); ok {
			at, err = fromNanos(n)
		}
		if err == nil {
			return instant(at, known)
		}
	case sqlgen.KindDate:
		if at, err := time.Parse(time.DateOnly, text[:min(len(text), 10)]); err == nil && at.Year() > 0 {
			return at.Format(time.DateOnly)
		}
	case sqlgen.KindInet:
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			return text
		}
		if p, err := netip.ParsePrefix(text); err == nil {
			if known.Type == "cidr" {
				p = p.Masked()
			}
			return p.String()
		}
	case sqlgen.KindUUID:
		if isUUID(text) {
			return strings.ToLower(text)
		}
	case sqlgen.KindEnum:
		if slices.Contains(known.Labels, text) {
			return text
		}
	case sqlgen.KindText:
		if isText {
			return fitText(text, known)
		}
	}
	return nil
}

func fitText(s string, known Column) string {
	runes := []rune(s)
	if limit := int(known.Mod) - 4; known.Mod >= 4 && len(runes) > limit {
		runes = runes[:limit]
	}
	if known.Type == "bpchar" { // PostgreSQL pads it, and takes spaces off
		return strings.TrimRight(string(runes), " ")
	}
	return string(runes)
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return false
		}
	}
	return true
}

// fitsNumber reports whether the column's type has the number, with all its digits or
// the nearest.
func fitsNumber(n json.Number, t sqlgen.Type, known Column) bool {
	exponent := decimalExponent(string(n))
	if exponent > 400 || exponent < -400 {
		return false
	}
	x, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return false
	}
	f, _ := x.Float64()
	size := math.Abs(f)
	switch {
	case t.Kind == sqlgen.KindInt:
		bits := map[string]uint{"int2": 15, "int4": 31}[known.Type]
		if bits == 0 {
			bits = 63
		}
		limit := new(big.Int).Lsh(big.NewInt(1), bits)
		low := new(big.Int).Neg(limit)
		return x.IsInt() && x.Num().Cmp(limit) < 0 && x.Num().Cmp(low) >= 0
	case t.Kind == sqlgen.KindFloat && known.Type == "float4":
		return size < 3e38 && (size > 1e-37 || x.Sign() == 0)
	case t.Kind == sqlgen.KindFloat:
		return !math.IsInf(f, 0) && (size > 0 || x.Sign() == 0)
	case known.Mod >= 4: // numeric(precision, scale)
		precision, scale := (known.Mod-4)>>16&0xffff, (known.Mod-4)&0x7ff
		if scale > 1023 { // it is negative
			scale -= 2048
		}
		return size < math.Pow10(int(precision-scale))*0.99
	default:
		return true
	}
}

// decimalExponent is the exponent that a number is written with.
func decimalExponent(s string) int {
	_, e, _ := strings.Cut(strings.ToLower(s), "e")
	var n int
	if e != "" {
		if _, err := fmt.Sscan(e, &n); err != nil {
			return math.MaxInt
		}
	}
	return n
}

func fromNanos(n json.Number) (time.Time, error) {
	x, ok := new(big.Rat).SetString(string(n))
	if !ok || !x.IsInt() || x.Num().BitLen() > 68 {
		return time.Time{}, fmt.Errorf("%s is no time", n)
	}
	seconds, ns := new(big.Int).DivMod(x.Num(), big.NewInt(1e9), new(big.Int))
	return time.Unix(seconds.Int64(), ns.Int64()), nil
}

// instant is a time as PostgreSQL holds it; nil outside of the promise.
func instant(at time.Time, known Column) any {
	at = at.UTC().Truncate(time.Microsecond)
	if known.Type == "timestamptz" && known.Mod >= 0 { // it has fewer digits, and would round up
		at = at.Truncate(time.Second)
	}
	if at.Year() < 1 || at.Year() > 9999 {
		return nil
	}
	return at.Format(time.RFC3339Nano)
}

// near is a constant, changed a little.
func (m *maker) near(v any) any {
	switch v := v.(type) {
	case bool:
		return !v
	case json.Number:
		if e := decimalExponent(string(v)); e > 400 || e < -400 {
			return v
		}
		x, ok := new(big.Rat).SetString(string(v))
		if !ok {
			return v
		}
		step := pick(m.rng, []string{"1", "-1", "1000", "-1000", "0.5", "-0.000001", "0.0000000000000001"})
		y, _ := new(big.Rat).SetString(step)
		x.Add(x, y)
		if m.rng.IntN(4) == 0 {
			x.Neg(x)
		}
		return number(x)
	case string:
		return m.nearText(v)
	default:
		return v
	}
}

// number writes a fraction of 2 and 5 with all its digits.
func number(x *big.Rat) json.Number {
	if x.IsInt() {
		return json.Number(x.Num().String())
	}
	return json.Number(strings.TrimRight(strings.TrimRight(x.FloatString(400), "0"), "."))
}

func (m *maker) nearText(s string) string {
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil && m.rng.IntN(3) > 0 {
		by := pick(m.rng, []time.Duration{time.Microsecond, -time.Microsecond, time.Second, -time.Second, time.Millisecond, 24 * time.Hour, -time.Hour})
		return at.Add(by).Format(time.RFC3339Nano)
	}
	runes := []rune(s)
	at := m.rng.IntN(len(runes) + 1)
	char := pick(m.rng, alphabet)
	if isUUID(s) || m.rng.IntN(3) == 0 {
		char = rune("0123456789abcdef"[m.rng.IntN(16)])
	}
	switch m.rng.IntN(8) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.ToLower(s)
	case 2:
		return string(runes[:at])
	case 3:
		return string(runes[at:])
	case 4:
		return s + string(char)
	case 5:
		return string(char) + s
	case 6:
		if at < len(runes) {
			r := runes[at]
			runes[at] = unicode.SimpleFold(r)
		}
		return string(runes)
	default:
		if at < len(runes) {
			runes[at] = char
		}
		return string(runes)
	}
}

// alphabet has letters of several scripts, with and without case, wildcards, quotes
// and spaces of several kinds.
var alphabet = []rune("aAbBzZ019%_\\'\"/.,:;-*?[]{}()|^$+&<>= \t\n\r\v\x1a\x7f\u0085\u00a0éÉßẞıİſKΣσςφДжאعहि日本語한글ａ１ﬁ\u0301\u200b\u2028\ufeff\ufffd😀𝒜𐐀")

// fresh is a value of the type that has nothing to do with the constants.
func (m *maker) fresh(t sqlgen.Type, known Column) any {
	switch t.Kind {
	case sqlgen.KindUUID:
		if m.rng.IntN(2) == 0 {
			return pick(m.rng, []string{"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000001", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"})
		}
		hex := fmt.Sprintf("%016x%016x", m.rng.Uint64(), m.rng.Uint64())
		return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:]
	case sqlgen.KindBool:
		return m.rng.IntN(2) == 0
	case sqlgen.KindInt, sqlgen.KindFloat, sqlgen.KindNumeric:
		return m.number(t, known)
	case sqlgen.KindTimestamptz:
		return m.time().Format(time.RFC3339Nano)
	case sqlgen.KindDate:
		return m.time().Format(time.DateOnly)
	case sqlgen.KindInet:
		return pick(m.rng, []string{"0.0.0.0", "0.0.0.0/0", "10.0.0.1", "10.0.0.2/31", "10.1.2.3/8", "127.0.0.1", "255.255.255.255", "::", "::1", "::/0", "::ffff:10.0.0.1", "fe80::1", "2001:db8::/32", "2001:db8::1/64"})
	case sqlgen.KindEnum:
		if len(known.Labels) > 0 {
			return pick(m.rng, known.Labels)
		}
		return nil
	default:
		return m.text()
	}
}

func (m *maker) number(t sqlgen.Type, known Column) json.Number {
	numbers := []string{"0", "1", "-1", "2", "3", "7", "10", "100", "127", "255", "32767", "-32768", "32768", "2147483647", "-2147483648", "2147483648",
		"9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808"}
	if t.Kind != sqlgen.KindInt {
		numbers = append(numbers, "0.5", "-0.5", "1.5", "2.5", "0.1", "0.2", "0.30000000000000004", "1e-7", "-1e-300", "5e-324", "1e21", "1e22", "1.7976931348623157e308", "-1.7976931348623157e308", "123456789.987654321", "0.49999999999999994", "1e15", "1e16", "1e17")
	}
	if t.Kind == sqlgen.KindNumeric {
		numbers = append(numbers, "9223372036854775808", "1.10", "1.00", "100000000000000000000.000000000000000000001", "0.1000000000000000055511151231257827", "1e309", "-1e309", "12345678901234567890123456789012345678901234567890.5")
	}
	for range 8 {
		n := json.Number(pick(m.rng, numbers))
		switch m.rng.IntN(3) {
		case 0:
			n = json.Number(fmt.Sprint(m.rng.Int64N(200) - 100))
		case 1:
			if t.Kind != sqlgen.KindInt {
				n = json.Number(fmt.Sprintf("%d.%0*d", m.rng.Int64N(20)-10, 1+m.rng.IntN(5), m.rng.IntN(10)))
			}
		}
		if fitsNumber(n, t, known) {
			return n
		}
	}
	return "0"
}

// time is one of the years 1 to 9999, often at the border of a second, a day or the
// range of nanoseconds.
func (m *maker) time() time.Time {
	at, err := time.Parse(time.RFC3339Nano, pick(m.rng, []string{
		"0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z",
		"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.999999Z", "2026-01-02T03:04:05.1Z", "2026-12-31T23:59:59Z", "2024-02-29T12:00:00.000001Z",
		"2262-04-11T23:47:16.854775Z", "2262-04-11T23:47:16.854776Z", "1677-09-21T00:12:43.145225Z", "1677-09-21T00:12:43.145224Z",
		"1582-10-10T00:00:00Z", "1900-02-28T23:59:59Z", "2026-03-29T01:30:00Z",
	}))
	if err != nil {
		panic(err)
	}
	if m.rng.IntN(3) == 0 {
		at = time.Unix(m.rng.Int64N(4e9)-2e9, m.rng.Int64N(1e6)*1000).UTC()
	}
	return at
}

func (m *maker) text() string {
	if m.rng.IntN(3) == 0 {
		return pick(m.rng, []string{"", " ", "%", "_", `\`, "'", `"`, "null", "true", "0", "1", "-1", "1.5", "1e3", "0x10", "NaN", "a", "A", "ab", "Straße", "STRASSE", "İstanbul", "ΌΔΟΣ", "日本", "a\u0301", "á", "{}", "[]", `{"a": 1}`, "2026-01-02", "2026-01-02T03:04:05Z", "10.0.0.1"})
	}
	runes := make([]rune, m.rng.IntN(6))
	for i := range runes {
		runes[i] = pick(m.rng, alphabet)
	}
	return string(runes)
}

// json is any JSON value.
func (m *maker) json(depth int) any {
	kinds := 10
	if depth == 0 {
		kinds = 6
	}
	switch m.rng.IntN(kinds) {
	case 0:
		return nil
	case 1, 2:
		return m.fresh(sqlgen.Type{Kind: pick(m.rng, []sqlgen.Kind{sqlgen.KindText, sqlgen.KindBool, sqlgen.KindInt, sqlgen.KindNumeric})}, Column{Mod: -1})
	case 3, 4:
		return pick(m.rng, m.theme)
	case 5:
		if len(m.composites) > 0 {
			return pick(m.rng, m.composites)
		}
		return m.anything()
	case 6, 7:
		list := make([]any, m.rng.IntN(4))
		for i := range list {
			list[i] = m.json(depth - 1)
		}
		return list
	default:
		object := map[string]any{}
		for range m.rng.IntN(4) {
			object[m.key()] = m.json(depth - 1)
		}
		return object
	}
}

// key is of an object: most often a text that the policy has.
func (m *maker) key() string {
	if len(m.constants) > 0 && m.rng.IntN(4) > 0 {
		for range 4 {
			if s, ok := pick(m.rng, m.constants).(string); ok {
				return s
			}
		}
	}
	if s, ok := pick(m.rng, m.theme).(string); ok && m.rng.IntN(2) == 0 {
		return s
	}
	return m.text()
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }
