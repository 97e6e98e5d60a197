package sqlgen

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/uuid"
)

func ids(n int) []Literal {
	out := make([]Literal, n)
	for i := range out {
		var u uuid.UUID
		binary.BigEndian.PutUint32(u[12:], uint32(i*2654435761)) // in no order
		out[i] = UUID(u)
	}
	return out
}

func equalities(n int) Or {
	or := make(Or, n)
	for i, l := range ids(n) {
		or[i] = Eq(org, l)
	}
	return or
}

// distinctDisjuncts share no column and no condition but the first.
func distinctDisjuncts(n int) Or {
	or := make(Or, n)
	for i := range or {
		c := Column{Name: fmt.Sprintf("c%d", i), Type: text.Type}
		or[i] = And{Eq(org, UUID(one)), eq(c, "a"), Not{Match{c, String("x"), AtEnd, false}}}
	}
	return or
}

// typical is what a role-based policy makes of an organization's auditor.
func typical() Predicate {
	return Or{
		And{NotNull(org), Or{Eq(org, UUID(one)), Eq(org, UUID(two))}},
		And{Not{Eq(text, String("secret"))}, eq(textN, "public"), ge(numberN, 200)},
		And{NotNull(org), Eq(id, UUID(one)), NotNull(JSONGet{doc, Text{org}})},
	}
}

var benchmarks = []struct {
	name string
	pred Predicate
}{
	{"typical", typical()},
	{"members=1000", Member{org, ListOf(org.Type, ids(1000))}},
	{"equalities=10", equalities(10)},
	{"equalities=100", equalities(100)},
	{"equalities=1000", equalities(1000)},
	{"equalities=10000", equalities(10000)},
	{"distinct=10", distinctDisjuncts(10)},
	{"distinct=50", distinctDisjuncts(50)},
	{"distinct=200", distinctDisjuncts(200)},
	{"distinct=1000", distinctDisjuncts(1000)},
}

func BenchmarkSimplify(b *testing.B) {
	for _, c := range benchmarks {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Simplify(c.pred)
			}
		})
	}
}

func BenchmarkSQL(b *testing.B) {
	for _, c := range benchmarks {
		b.Run(c.name, func(b *testing.B) {
			f := When(c.pred)
			b.ReportAllocs()
			for b.Loop() {
				f.SQL(1)
			}
		})
	}
}

func BenchmarkInline(b *testing.B) {
	f := When(typical())
	b.ReportAllocs()
	for b.Loop() {
		_ = f.Inline()
	}
}

func BenchmarkListOf(b *testing.B) {
	elems := ids(1000)
	b.ReportAllocs()
	for b.Loop() {
		ListOf(org.Type, elems)
	}
}
