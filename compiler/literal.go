package compiler

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// equalTo is the literal of type t that a row's value equals exactly when the
// policy sees v in its document. ok is false where no row can: a string that is no
// canonical uuid equals no uuid.
func equalTo(t sqlgen.Type, nanos bool, v ast.Value) (lit sqlgen.Literal, ok bool) {
	switch v := v.(type) {
	case ast.Boolean:
		return sqlgen.Bool(bool(v)), t.Kind == sqlgen.KindBool
	case ast.Number:
		return equalToNumber(t, nanos, v)
	case ast.String:
		if nanos {
			return lit, false
		}
		return equalToString(t, string(v))
	}
	return lit, false
}

func equalToString(t sqlgen.Type, s string) (lit sqlgen.Literal, ok bool) {
	whole := storable(s)
	lit = sqlgen.Literal{Type: t, Value: s}
	switch t.Kind {
	case sqlgen.KindText:
		return lit, whole
	case sqlgen.KindUUID:
		id, ok := sqlgen.ParseUUID(s)
		return sqlgen.UUID(id), ok
	case sqlgen.KindTimestamptz:
		at, ok := canonicalTime(s)
		return sqlgen.Timestamp(at), ok
	case sqlgen.KindDate:
		_, err := time.Parse(time.DateOnly, s)
		return lit, err == nil && s >= "0001"
	case sqlgen.KindInet:
		return lit, canonicalInet(s)
	default:
		return lit, false
	}
}

// storable reports whether s is a text to PostgreSQL.
func storable(s string) bool {
	checkUTF8(s)
	return !strings.Contains(s, "\x00")
}

// checkUTF8 refuses a text that PostgreSQL would, and that JSON would change. Only a
// Go caller can pass one.
func checkUTF8(s string) {
	if !utf8.ValidString(s) {
		refuse(CodeInput, fmt.Sprintf("the text %q is not UTF-8", s), "pass UTF-8")
	}
}

// canonicalTime reads a timestamp in the form in which a row's document shows it:
// RFC 3339 in UTC with at most six decimals and none too many.
func canonicalTime(s string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, s)
	ok := err == nil && at.Year() >= 1 && at.Nanosecond()%1000 == 0 && at.UTC().Format(time.RFC3339Nano) == s
	return at, ok
}

// canonicalInet reports whether s is an IPv4 address, or network, as PostgreSQL
// prints it. (IPv6 has addresses of which two forms are about: they are compared
// as text.)
func canonicalInet(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Is4() && a.String() == s
	}
	p, err := netip.ParsePrefix(s)
	return err == nil && p.Addr().Is4() && p.String() == s && p.Bits() < 32
}

func equalToNumber(t sqlgen.Type, nanos bool, n ast.Number) (lit sqlgen.Literal, ok bool) {
	if i, ok := shortInt(n); ok && !nanos && t.Kind == sqlgen.KindInt {
		return sqlgen.Int(i), true
	}
	r, ok := rational(n)
	if !ok {
		return lit, false
	}
	switch {
	case nanos:
		micros := new(big.Rat).Quo(r, big.NewRat(1000, 1))
		if !micros.IsInt() || !micros.Num().IsInt64() {
			return lit, false
		}
		at := time.UnixMicro(micros.Num().Int64()).UTC()
		return sqlgen.Timestamp(at), at.Year() >= 1 && at.Year() <= 9999
	case t.Kind == sqlgen.KindInt:
		if !r.IsInt() || !r.Num().IsInt64() {
			return lit, false
		}
		return sqlgen.Int(r.Num().Int64()), true
	case t.Kind == sqlgen.KindFloat:
		f, shown, ok := nearestFloat(r)
		return sqlgen.Float(f), ok && shown.Cmp(r) == 0
	case t.Kind == sqlgen.KindNumeric:
		return sqlgen.Number(string(n)), true
	default:
		return lit, false
	}
}

// plainNumbers reports whether the numbers in a value are written so that they mean to
// a policy what they mean to PostgreSQL: to a policy 1e0 is no place in an array, 1.0
// prints otherwise than 1, and a number beyond a float64 is looked for in a set by its
// text. The rows' numbers are written so; those of an input may be written in any way.
func plainNumbers(t sqlgen.Type, v ast.Value) bool {
	switch v := v.(type) {
	case ast.Null, ast.Boolean, ast.String:
		return true
	case ast.Number:
		return plainNumber(t, v)
	}
	plain := true
	ast.WalkTerms(ast.NewTerm(v), func(term *ast.Term) bool {
		if n, ok := term.Value.(ast.Number); ok {
			plain = plain && plainNumber(t, n)
		}
		return !plain
	})
	return plain
}

// shortInt is the number, where it is an integer of few digits, written as such.
func shortInt(n ast.Number) (int64, bool) {
	if len(n) > 9 || n == "-0" {
		return 0, false
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	return i, err == nil && strconv.FormatInt(i, 10) == string(n)
}

func plainNumber(t sqlgen.Type, n ast.Number) bool {
	if _, ok := shortInt(n); ok {
		return true
	}
	r, ok := rational(n)
	if !ok {
		return false
	}
	if t.Kind == sqlgen.KindInt {
		return r.IsInt() && r.Num().String() == string(n)
	}
	if _, ok := n.Float64(); !ok {
		return false
	}
	if !r.IsInt() || !r.Num().IsInt64() {
		return true
	}
	i, ok := n.Int64()
	return ok && i == r.Num().Int64()
}

// maxExponent bounds the numbers that are computed with: PostgreSQL's numeric ends
// at 131,072 digits, and 1e1000000000 would fill the memory.
const maxExponent = 1000

// rational is a JSON number; ok is false for one beyond all that a column holds.
func rational(n ast.Number) (*big.Rat, bool) {
	s := string(n)
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(i, 10) == s { // most of them
		return new(big.Rat).SetInt64(i), true
	}
	if len(s) > 4*maxExponent || !json.Valid([]byte(s)) { // big.Rat reads more: 1/2, 0x10
		return nil, false
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exp, err := strconv.Atoi(s[i+1:])
		if err != nil || exp > maxExponent || exp < -maxExponent {
			return nil, false
		}
	}
	return new(big.Rat).SetString(s)
}

// nearestFloat is the double nearest to r, and the decimal that a row's document
// shows for it. ok is false beyond the range of a double.
func nearestFloat(r *big.Rat) (f float64, shown *big.Rat, ok bool) {
	f, _ = r.Float64()
	if math.IsInf(f, 0) {
		return f, nil, false
	}
	shown, ok = new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return f, shown, ok
}

// jsonLiteral is v as jsonb; ok is false where no jsonb equals it: a set, or what
// has a string with a NUL.
func jsonLiteral(v ast.Value) (lit sqlgen.Literal, ok bool) {
	ok = true
	ast.WalkTerms(ast.NewTerm(v), func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Set:
			ok = false
		case ast.String:
			checkUTF8(string(v))
			ok = ok && !strings.Contains(string(v), "\x00")
		case ast.Number:
			if _, fits := rational(v); !fits {
				refuse(CodeLiteral, "the number "+string(v)+" is beyond what is compared with jsonb", "write a smaller number")
			}
		}
		return !ok
	})
	if !ok {
		return lit, false
	}
	plain, err := ast.JSON(v)
	if err != nil {
		return lit, false
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plain); err != nil {
		return lit, false
	}
	return sqlgen.JSON(strings.TrimSuffix(b.String(), "\n")), true
}
