package compiler

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

// orderString orders a column that is a string to the policy and a constant, by
// bytes. Where the column's own order agrees it is used, so that an index can be.
func orderString(op sqlgen.Op, e sqlgen.Expr, t sqlgen.Type, s string) sqlgen.Predicate {
	switch t.Kind {
	case sqlgen.KindUUID:
		return orderUUID(op, e, s)
	case sqlgen.KindDate:
		if lit, ok := equalToString(t, s); ok {
			return sqlgen.Compare{Op: op, L: e, R: lit}
		}
	case sqlgen.KindTimestamptz:
		if at, ok := canonicalTime(s); ok && at.Year() < 9999 {
			return orderTime(op, e, at, s)
		}
	}
	return orderText(op, textOf(e), s)
}

// orderText orders text. PostgreSQL has no NUL: the text up to it stands between
// the same rows, but for the one that equals it, which is below s.
func orderText(op sqlgen.Op, e sqlgen.Expr, s string) sqlgen.Predicate {
	checkUTF8(s)
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
		if op == sqlgen.LT || op == sqlgen.LE {
			op = sqlgen.LE
		} else {
			op = sqlgen.GT
		}
	}
	return sqlgen.Compare{Op: op, L: e, R: sqlgen.String(s)}
}

// orderUUID orders a uuid column and any string: the canonical text of a uuid
// orders as the uuid does, so every string cuts the uuids in two.
func orderUUID(op sqlgen.Op, e sqlgen.Expr, s string) sqlgen.Predicate {
	first, ok := firstUUIDFrom(s)
	if !ok { // every uuid is below s
		return sqlgen.Const(op == sqlgen.LT || op == sqlgen.LE)
	}
	if first.String() == s {
		return sqlgen.Compare{Op: op, L: e, R: sqlgen.UUID(first)}
	}
	if op == sqlgen.LT || op == sqlgen.LE {
		return below(e, first)
	}
	return atLeast(e, first)
}

func below(e sqlgen.Expr, id uuid.UUID) sqlgen.Predicate {
	if id == uuid.Nil {
		return sqlgen.False
	}
	return sqlgen.Compare{Op: sqlgen.LT, L: e, R: sqlgen.UUID(id)}
}

func atLeast(e sqlgen.Expr, id uuid.UUID) sqlgen.Predicate {
	if id == uuid.Nil {
		return sqlgen.True
	}
	return sqlgen.Compare{Op: sqlgen.GE, L: e, R: sqlgen.UUID(id)}
}

// uuidForm has a hyphen where a canonical uuid has one, and a 0 for each digit.
const uuidForm = "00000000-0000-0000-0000-000000000000"

// firstUUIDFrom is the least uuid whose canonical text is not below s; ok is false
// when there is none.
func firstUUIDFrom(s string) (id uuid.UUID, ok bool) {
	i := 0
	for i < len(s) && i < len(uuidForm) && fitsUUID(s[i], uuidForm[i]) {
		i++
	}
	if i == len(s) { // s is a prefix of canonical texts, or one
		return uuid.MustParse(s + uuidForm[i:]), true
	}
	if i == len(uuidForm) {
		return afterPrefix(s[:i])
	}
	switch c := s[i]; {
	case uuidForm[i] == '-' && c < '-', uuidForm[i] == '0' && c < '0':
		return uuid.MustParse(s[:i] + uuidForm[i:]), true
	case uuidForm[i] == '0' && c > '9' && c < 'a':
		return uuid.MustParse(s[:i] + "a" + uuidForm[i+1:]), true
	default:
		return afterPrefix(s[:i])
	}
}

func fitsUUID(c, form byte) bool {
	if form == '-' {
		return c == '-'
	}
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
}

// afterPrefix is the least uuid after all whose text begins with prefix.
func afterPrefix(prefix string) (id uuid.UUID, ok bool) {
	digits := []byte(prefix)
	for i := len(digits) - 1; i >= 0; i-- {
		switch digits[i] {
		case 'f', '-':
			continue
		case '9':
			digits[i] = 'a'
		default:
			digits[i]++
		}
		return uuid.MustParse(string(digits[:i+1]) + uuidForm[i+1:]), true
	}
	return id, false
}

// orderTime orders a timestamp column, seen as an RFC 3339 string, and a string of
// that form. Between seconds the strings order as the times do. Within a second
// they do not: "…:00.5Z" is below "…:00Z", because "." is below "Z".
func orderTime(op sqlgen.Op, e sqlgen.Expr, at time.Time, s string) sqlgen.Predicate {
	second := at.Truncate(time.Second)
	from, to := sqlgen.Timestamp(second), sqlgen.Timestamp(second.Add(time.Second))
	cmp := func(op sqlgen.Op, lit sqlgen.Literal) sqlgen.Predicate {
		return sqlgen.Compare{Op: op, L: e, R: lit}
	}
	if at.Equal(second) {
		switch op {
		case sqlgen.LT:
			return conjunction(cmp(sqlgen.LT, to), cmp(sqlgen.NE, from))
		case sqlgen.LE:
			return cmp(sqlgen.LT, to)
		case sqlgen.GT:
			return cmp(sqlgen.GE, to)
		default:
			return disjunction([]sqlgen.Predicate{cmp(sqlgen.GE, to), cmp(sqlgen.EQ, from)})
		}
	}
	within := orderText(op, sqlgen.Text{Of: e}, s)
	if op == sqlgen.LT || op == sqlgen.LE {
		return conjunction(cmp(sqlgen.LT, to), disjunction([]sqlgen.Predicate{cmp(sqlgen.LT, from), within}))
	}
	return conjunction(cmp(sqlgen.GE, from), disjunction([]sqlgen.Predicate{cmp(sqlgen.GE, to), within}))
}

// prefixUUID is true of the uuids whose canonical text begins with s: a range.
func prefixUUID(e sqlgen.Expr, s string) sqlgen.Predicate {
	if len(s) > len(uuidForm) {
		return sqlgen.False
	}
	for i := range len(s) {
		if !fitsUUID(s[i], uuidForm[i]) {
			return sqlgen.False
		}
	}
	if len(s) == len(uuidForm) {
		return sqlgen.Eq(e, sqlgen.UUID(uuid.MustParse(s)))
	}
	first := uuid.MustParse(s + uuidForm[len(s):])
	after, ok := afterPrefix(s)
	if !ok {
		return atLeast(e, first)
	}
	return conjunction(atLeast(e, first), below(e, after))
}
