package sqlgen

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
)

func eq(e Expr, v string) Predicate { return Eq(e, String(v)) }
func ne(e Expr, v string) Predicate { return Compare{NE, e, String(v)} }

func lt(e Expr, v int64) Predicate { return Compare{LT, e, Int(v)} }
func ge(e Expr, v int64) Predicate { return Compare{GE, e, Int(v)} }

// A simplification: the rules that fire on pred, in order, and the SQL they make.
type simplification struct {
	rule string // must be among those that fire
	pred Predicate
	want string // inlined
}

var simplifications = []simplification{
	{"leaf-constant", Eq(Int(1), Int(1)), "TRUE"},
	{"leaf-constant", Compare{NE, String("a"), String("a")}, "FALSE"},
	{"leaf-constant", Compare{LT, String("B"), String("a")}, "TRUE"},
	{"leaf-constant", Compare{LE, Int(2), Int(1)}, "FALSE"},
	{"leaf-constant", Compare{GT, Float(math.NaN()), Float(1)}, "TRUE"}, // PostgreSQL's greatest
	{"leaf-constant", Compare{GE, Float(0), Float(math.Copysign(0, -1))}, "TRUE"},
	{"leaf-constant", Member{String("a"), list(String("a"), String("b"))}, "TRUE"},
	{"leaf-constant", Match{String("ab"), String("a"), AtStart, false}, "TRUE"},
	{"leaf-constant", Match{String("ab"), String("a"), AtEnd, false}, "FALSE"},
	{"leaf-constant", Match{String("abc"), String("b"), Anywhere, false}, "TRUE"},
	{"literal-last", Eq(String("a"), text), "name = 'a'"},
	{"literal-last", Compare{LE, Int(1), Length{tags}}, "cardinality(tags) >= 1"},
	{"literal-last", Distinct{String("a"), text}, "name IS DISTINCT FROM 'a'"},
	{"literal-last", Or{Eq(String("a"), text), eq(text, "b")}, "name = ANY('{\"a\",\"b\"}'::text[])"},
	{"match-empty", Match{text, String(""), AtStart, false}, "name IS NOT NULL"},
	{"match-empty", Match{textN, String(""), AtEnd, false}, "TRUE"},
	{"member-one", Member{org, list(UUID(one))}, "organization_id = '" + one.String() + "'::uuid"},
	{"member-one", Member{org, ListOf(org.Type, nil)}, "FALSE"},
	{"member-one", Excluded{text, list(String("a"))}, "name <> 'a'"},
	{"member-one", Excluded{text, ListOf(text.Type, nil)}, "name IS NOT NULL"},
	{"member-one", Excluded{textN, ListOf(text.Type, nil)}, "TRUE"},
	{"holds-constant", Holds{Bool(false), false}, "TRUE"},
	{"text-of-uuid", Eq(Text{org}, String(one.String())), "organization_id = '" + one.String() + "'::uuid"},
	{"text-of-uuid", Eq(String("me"), Text{org}), "FALSE"},
	{"text-of-uuid", Compare{NE, Text{org}, String("me")}, "organization_id IS NOT NULL"},
	{"text-of-uuid", Distinct{Text{org}, String("me")}, "TRUE"},
	{"text-of-uuid", Same{Text{org}, String(one.String())}, "organization_id = '" + one.String() + "'::uuid"},
	{"text-of-uuid", Member{Text{org}, list(String("me"), String(one.String()))}, "organization_id = '" + one.String() + "'::uuid"},
	{"text-of-uuid", Excluded{Text{org}, list(String("me"), String("ME"))}, "organization_id IS NOT NULL"},
	{"json-type-known", JSONTypeIs{ToJSON{tags}, []string{"array"}}, "tags IS NOT NULL"},
	{"json-type-known", JSONTypeIs{Apply(ReverseArray, doc), []string{"object", "null"}}, "FALSE"},
	{"json-type-known", JSONTypeIs{JSONBuild{Values: []Expr{text}}, []string{"object", "array"}}, "TRUE"},
	{"element-none", ExistsElement{Of: ListOf(text.Type, nil), Element: Element{"elem1", "value", "key", "position"}, Where: True}, "FALSE"},
	{"element-type", ExistsElement{Of: ToJSON{tags}, Values: true, Element: Element{"elem1", "value", "key", "position"}, Where: True}, "FALSE"},
	{"element-type", ExistsElement{Of: JSONBuild{Keys: []string{"a"}, Values: []Expr{text}}, Element: Element{"elem1", "value", "key", "position"}, Where: True}, "FALSE"},
	{"null-of-not-null", Null{textN}, "FALSE"},
	{"null-of-not-null", Null{param("p", text.Type)}, "FALSE"},
	{"null-of-not-null", Null{Text{org}}, "organization_id IS NULL"},
	{"null-of-not-null", Null{JSONArray{org}}, "FALSE"},
	{"distinct-of-not-null", Distinct{textN, String("a")}, "title <> 'a'"},
	{"distinct-of-not-null", Same{text, textN}, `name COLLATE "C" = title`},
	{"not-constant", Not{True}, "FALSE"},
	{"not-not", Not{Not{Match{text, String("a"), AtStart, false}}}, "name LIKE 'a%'"},
	{"not-and", Not{And{eq(textN, "a"), Null{number}}}, "(title <> 'a' OR n IS NOT NULL)"},
	{"not-or", Not{Or{Null{number}, eq(textN, "a")}}, "title <> 'a' AND n IS NOT NULL"},
	{"not-leaf", Not{eq(textN, "a")}, "title <> 'a'"},
	{"not-leaf", Not{eq(text, "a")}, "name IS DISTINCT FROM 'a'"},
	{"not-leaf", Not{ne(text, "a")}, "(name = 'a' OR name IS NULL)"},
	{"not-leaf", Not{lt(numberN, 5)}, "status_code >= 5"},
	{"not-leaf", Not{lt(number, 5)}, "(n >= 5 OR n IS NULL)"},
	{"not-leaf", Not{Distinct{text, String("a")}}, "name = 'a'"},
	{"not-leaf", Not{Distinct{text, JSONString{doc}}}, "name IS NOT DISTINCT FROM (diff #>> '{}')"},
	{"not-leaf", Not{Same{text, JSONString{doc}}}, "name IS DISTINCT FROM (diff #>> '{}')"},
	{"not-leaf", Not{Member{textN, list(String("a"), String("b"))}}, `title <> ALL('{"a","b"}'::text[])`},
	{"not-leaf", Not{Member{text, list(String("a"), String("b"))}}, `(name <> ALL('{"a","b"}'::text[]) OR name IS NULL)`},
	{"not-leaf", Not{Excluded{textN, list(String("a"), String("b"))}}, `title = ANY('{"a","b"}'::text[])`},
	{"not-leaf", Not{Holds{flagN, true}}, "NOT public"},
	{"and-flatten", And{And{Null{text}, True}, Null{number}}, "name IS NULL AND n IS NULL"},
	{"and-flatten", And{Null{text}, False}, "FALSE"},
	{"and-flatten", And{Null{text}}, "name IS NULL"},
	{"and-complement", And{Or{Null{text}, Null{number}}, Not{Or{Null{number}, Null{text}}}}, "FALSE"},
	{"and-complement", And{Null{text}, eq(textN, "a"), Not{And{eq(textN, "a"), Null{text}}}}, "FALSE"},
	{"and-duplicate", And{Null{text}, Null{number}, Null{text}}, "name IS NULL AND n IS NULL"},
	{"and-contradiction", And{eq(text, "a"), eq(text, "b")}, "FALSE"},
	{"and-contradiction", And{eq(text, "a"), Null{text}}, "FALSE"},
	{"and-contradiction", And{lt(number, 5), ge(number, 5)}, "FALSE"},
	{"and-contradiction", And{eq(text, "a"), ne(text, "a")}, "FALSE"},
	{"and-implied", And{NotNull(text), eq(text, "a")}, "name = 'a'"},
	{"and-implied", And{eq(text, "a"), Member{text, list(String("a"), String("b"))}}, "name = 'a'"},
	{"and-implied", And{lt(number, 5), lt(number, 9)}, "n < 5"},
	{"and-implied", And{eq(text, "a"), ne(text, "b")}, "name = 'a'"},
	{"and-not-null-distinct", And{Match{text, String("x"), AtStart, false}, Distinct{text, String("a")}}, "name LIKE 'x%' AND name <> 'a'"},
	{"and-not-leaf", And{Not{Eq(text, JSONString{doc})}, Match{text, String("x"), AtStart, false}, NotNull(JSONString{doc})}, "name <> (diff #>> '{}') AND name LIKE 'x%'"},
	{"and-not-leaf", And{Not{Holds{flagB, true}}, NotNull(flagB)}, "NOT active"},
	{"and-members", And{Member{text, list(String("a"), String("b"), String("c"))}, Member{text, list(String("b"), String("c"), String("d"))}}, `name = ANY('{"b","c"}'::text[])`},
	{"and-members", And{Member{text, list(String("a"), String("b"))}, Member{text, list(String("b"), String("c"))}}, `name = 'b'`},
	{"and-exclusions", And{ne(text, "b"), ne(text, "a"), Excluded{text, list(String("c"), String("a"))}}, `name <> ALL('{"a","b","c"}'::text[])`},
	{"and-unit", And{eq(text, "a"), Or{ne(text, "a"), Null{number}}}, "name = 'a' AND n IS NULL"},
	{"or-flatten", Or{Or{Null{text}, False}, Null{number}}, "(n IS NULL OR name IS NULL)"},
	{"or-flatten", Or{Null{text}, True}, "TRUE"},
	{"or-complement", Or{Null{text}, Null{number}, Not{Or{Null{number}, Null{text}}}}, "TRUE"},
	{"or-complement", Or{And{Null{text}, Null{number}}, Not{And{Null{number}, Null{text}}}}, "TRUE"},
	{"or-sort", Or{eq(text, "b"), Null{number}, HasNull{tags}}, "(name = 'b' OR array_position(tags, NULL) IS NOT NULL OR n IS NULL)"},
	{"or-duplicate", Or{Null{text}, Null{number}, Null{text}}, "(n IS NULL OR name IS NULL)"},
	{"or-duplicate", Or{And{Null{text}, Null{number}}, And{Null{number}, Null{text}}}, "n IS NULL AND name IS NULL"},
	{"or-tautology", Or{Null{text}, And{NotNull(text)}}, "TRUE"},
	{"or-tautology", Or{eq(textN, "a"), ne(textN, "a")}, "TRUE"},
	{"or-tautology", Or{Distinct{text, String("a")}, eq(text, "a")}, "TRUE"},
	{"or-equalities", Or{eq(text, "b"), eq(text, "a")}, `name = ANY('{"a","b"}'::text[])`},
	{"or-equalities", Or{eq(text, "b"), Null{text}, Member{text, list(String("c"), String("b"))}}, `(name = ANY('{"b","c"}'::text[]) OR name IS NULL)`},
	{"or-distinct", Or{Null{text}, ne(text, "a")}, "name IS DISTINCT FROM 'a'"},
	{"or-same", Or{And{Null{text}, Null{JSONString{doc}}}, Eq(JSONString{doc}, text)}, "(diff #>> '{}') IS NOT DISTINCT FROM name"},
	{"or-absorb", Or{eq(text, "a"), And{eq(text, "a"), Null{number}}}, "name = 'a'"},
	{"or-absorb", Or{lt(number, 5), lt(number, 9)}, "n < 9"},
	{"or-absorb", Or{eq(text, "a"), NotNull(text)}, "name IS NOT NULL"},
	{"or-unit", Or{Null{text}, And{NotNull(text), Null{number}}}, "(n IS NULL OR name IS NULL)"},
	{"exists-hoist", children(Null{childName}, Null{text}), "name IS NULL AND EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name IS NULL)"},
	{"exists-hoist", Not{children(Null{text})}, "(name IS NOT NULL OR NOT EXISTS (SELECT FROM child WHERE child.doc_id = docs.id))"},
	{"or-exists", Or{children(Null{childName}), children(eq(childName, "a"))}, "EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND (child.name = 'a' OR child.name IS NULL))"},
	{"or-exists", Or{children(eq(childName, "b")), Null{text}, children(eq(childName, "a")), children(eq(childName, "c"))}, `(name IS NULL OR EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name = ANY('{"a","b","c"}'::text[])))`},
	{"and-not-exists", And{Not{children(eq(childName, "a"))}, Not{children(eq(childName, "b"))}}, `NOT EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name = ANY('{"a","b"}'::text[]))`},
	{"and-exists-one", And{onlyChild(eq(childName, "a")), Null{text}, onlyChild(Null{childDoc})}, "EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name = 'a' AND child.doc_id IS NULL) AND name IS NULL"},
	{"and-exists-one", And{onlyChild(eq(childName, "a")), onlyChild(eq(childName, "b"))}, "FALSE"},
	{"and-not-exists-one", And{Not{onlyChild(eq(childName, "a"))}, onlyChild()}, "EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name IS DISTINCT FROM 'a')"},
	{"or-not-exists-one", Or{Not{onlyChild(ne(childName, "a"))}, Not{onlyChild(ne(childName, "b"))}}, `NOT EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name <> ALL('{"a","b"}'::text[]))`},
	{"and-implied", And{children(), children(eq(childName, "a"))}, "EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name = 'a')"},
	{"and-implied", And{Not{children()}, Not{children(eq(childName, "a"))}}, "NOT EXISTS (SELECT FROM child WHERE child.doc_id = docs.id)"},
	{"and-contradiction", And{Not{children()}, children(eq(childName, "a"))}, "FALSE"},
	{"or-absorb", Or{children(), children(eq(childName, "a"))}, "EXISTS (SELECT FROM child WHERE child.doc_id = docs.id)"},
	{"or-tautology", Or{children(), Not{children(eq(childName, "a"))}}, "TRUE"},
	{"or-factor", Or{And{eq(text, "a"), Null{number}}, And{Null{org}, eq(text, "a")}}, "name = 'a' AND (n IS NULL OR organization_id IS NULL)"},
	{"or-factor", Or{And{eq(text, "a"), Null{org}, Null{number}}, And{Null{day}, Null{org}, eq(text, "a")}}, "organization_id IS NULL AND name = 'a' AND (day IS NULL OR n IS NULL)"},
}

func TestRules(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range simplifications {
		t.Run(fmt.Sprintf("%s %v", c.rule, c.pred), func(t *testing.T) {
			var fired []string
			got := SimplifyTraced(c.pred, func(s Step) { fired = append(fired, s.Rule) })
			assert.Contains(t, fired, c.rule)
			assert.Equal(t, c.want, When(got).Inline())
			assert.Equal(t, printed(got), printed(Simplify(got)), "idempotent")
		})
		covered[c.rule] = true
	}

	var names []string
	for _, r := range leafRules {
		names = append(names, r.name)
	}
	for _, r := range notRules {
		names = append(names, r.name)
	}
	for _, r := range andRules {
		names = append(names, r.name)
	}
	for _, r := range orRules {
		names = append(names, r.name)
	}
	for _, r := range existsRules {
		names = append(names, r.name)
	}
	for _, name := range append(names, "and-complement", "or-complement") {
		assert.True(t, covered[name], "no case for %s", name)
	}
}

// Conditions that look like a rule's and are not: nothing may be lost.
func TestUnsimplified(t *testing.T) {
	for _, c := range []struct {
		pred Predicate
		want string
	}{
		{Or{eq(text, "a"), ne(text, "a")}, "(name <> 'a' OR name = 'a')"}, // NULL is neither
		{Not{Match{text, String("a"), AtStart, false}}, "(name LIKE 'a%') IS NOT TRUE"},
		{Not{Member{String("a"), tags}}, "('a' = ANY(tags)) IS NOT TRUE"},
		{Compare{LT, enum("a"), enum("b")}, "'a'::\"Mood\" < 'b'::\"Mood\""}, // in the order of the type
		{Eq(JSON(`1`), JSON(`1.0`)), "'1'::jsonb = '1.0'::jsonb"},
		{Eq(Number("1"), Number("1.0")), "1 = 1.0"},
		{And{Eq(price, Number("1")), Eq(price, Number("1.0"))}, "price = 1 AND price = 1.0"},
		{And{Eq(number, Int(1000000)), Eq(number, Float(1e6))}, "n = 1000000 AND n = '1e+06'::double precision"},
		{And{Compare{LT, mood, enum("a")}, Compare{GT, mood, enum("b")}}, "mood < 'a'::\"Mood\" AND mood > 'b'::\"Mood\""},
		{And{Compare{LT, float, Float(math.NaN())}, Compare{GT, float, Float(5)}}, "score < 'NaN'::double precision AND score > '5'::double precision"},
		{And{Eq(float, Float(0)), Eq(float, Float(math.Copysign(0, -1)))}, "score = '0'::double precision"},
		{And{JSONContains{doc, JSONArray{text}}, NotNull(text)}, "diff @> jsonb_build_array(name) AND name IS NOT NULL"}, // [null] is contained
		{And{JSONContains{doc, JSONArray{text}}, Null{text}}, "diff @> jsonb_build_array(name) AND name IS NULL"},
		{Null{JSONString{docN}}, "(acl #>> '{}') IS NULL"}, // a JSON null
		{Not{eq(JSONString{docN}, "a")}, "(acl #>> '{}') IS DISTINCT FROM 'a'"},
		{Or{Holds{flagB, true}, Holds{flagB, false}}, "(NOT active OR active)"},
		{Or{children(eq(childName, "a")), Exists{"child", "child", "docs", Eq(Column{Table: "child", Name: "name"}, Column{Name: "title"}), false, eq(childName, "a")}}, // joined in two ways
			"(EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name = 'a') OR " +
				"EXISTS (SELECT FROM child WHERE child.name = docs.title AND child.name = 'a'))"},
		{And{children(Null{childName}), children(eq(childName, "a"))}, // of two rows, perhaps
			"EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name IS NULL) AND " +
				"EXISTS (SELECT FROM child WHERE child.doc_id = docs.id AND child.name = 'a')"},
		{Exists{"g", "g", "", nil, false, And{Eq(Column{Table: "g", Name: "id", Type: id.Type}, id), Null{text}}}, // whose name?
			"EXISTS (SELECT FROM g WHERE g.id = id AND name IS NULL)"},
		{Exists{"g", "g", "", nil, false, True}, "EXISTS (SELECT FROM g WHERE TRUE)"},
	} {
		assert.Equal(t, c.want, When(c.pred).Inline(), "%v", c.pred)
	}
	assert.Equal(t, False, Simplify(Exists{"g", "g", "", nil, false, And{Null{text}, eq(text, "a")}}))
}

// A rule that merges two terms has to do so for however many there are.
func TestManyTerms(t *testing.T) {
	const n = 30
	var and And
	var or Or
	want := "("
	for i := range n {
		c := Column{Name: fmt.Sprintf("c%02d", i), Type: text.Type}
		and = append(and, Match{c, String("x"), AtStart, false}, Distinct{c, String("a")})
		or = append(or, ne(c, "a"), Null{c})
		if i > 0 {
			want += " OR "
		}
		want += c.Name + " IS DISTINCT FROM 'a'"
	}
	assert.Equal(t, want+")", When(or).Inline())
	assert.NotContains(t, When(and).Inline(), "DISTINCT")
	assert.Equal(t, printed(Simplify(or)), printed(Simplify(Simplify(or))))
	assert.Equal(t, printed(Simplify(and)), printed(Simplify(Simplify(and))))
}

// The same disjuncts make the same SQL, byte for byte.
func TestOrderOfDisjuncts(t *testing.T) {
	disjuncts := Or{
		And{eq(text, "a"), Null{number}, Null{day}},
		And{Null{day}, eq(text, "a"), Holds{flagB, true}},
		And{Null{day}, Null{number}, eq(text, "a")},
		And{Null{day}, eq(text, "a"), Exists{"g", "g", "", nil, false, Or{Null{org}, Null{doc}}}},
		And{eq(text, "a"), Null{day}, Not{Or{Null{org}, HasNull{tags}}}},
	}
	for i := range 20 {
		disjuncts = append(disjuncts, And{Null{day}, eq(text, "a"), Eq(id, UUID(uuid.UUID{byte(i)}))})
	}
	random := rand.New(rand.NewPCG(1, 1))
	want, wantArgs := When(disjuncts).SQL(1)
	for range 50 {
		shuffled := slices.Clone(disjuncts)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got, args := When(shuffled).SQL(1)
		assert.Equal(t, want, got)
		assert.Equal(t, wantArgs, args)
	}
}

// What is excluded is looked for among all terms, which are printed for that. Twice the
// terms cost about twice as much, not four times.
func TestManyExclusionsAreSimplifiedInLinearSpace(t *testing.T) {
	allocations := func(n int) float64 {
		var all And
		for i := range n {
			all = append(all, Not{Of: Match{Of: text, Sub: String(fmt.Sprint("excluded ", i)), Kind: Anywhere}})
		}
		return testing.AllocsPerRun(1, func() { When(all) })
	}
	if few, many := allocations(200), allocations(400); many > 2.5*few {
		t.Errorf("%v allocations of 200 terms, %v of 400", few, many)
	}
}
