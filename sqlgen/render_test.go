package sqlgen

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The columns of the tables of cases.
var (
	text    = Column{Name: "name", Type: Type{Kind: KindText}}
	textN   = Column{Name: "title", Type: Type{Kind: KindText}, NotNull: true}
	number  = Column{Name: "n", Type: Type{Kind: KindInt}}
	numberN = Column{Name: "status_code", Type: Type{Kind: KindInt}, NotNull: true}
	flagB   = Column{Name: "active", Type: Type{Kind: KindBool}}
	flagN   = Column{Name: "public", Type: Type{Kind: KindBool}, NotNull: true}
	org     = Column{Name: "organization_id", Type: Type{Kind: KindUUID}}
	id      = Column{Name: "id", Type: Type{Kind: KindUUID}, NotNull: true}
	float   = Column{Name: "score", Type: Type{Kind: KindFloat}}
	price   = Column{Name: "price", Type: Type{Kind: KindNumeric}}
	at      = Column{Name: "at", Type: Type{Kind: KindTimestamptz}, NotNull: true}
	day     = Column{Name: "day", Type: Type{Kind: KindDate}}
	ip      = Column{Name: "ip", Type: Type{Kind: KindInet}}
	mood    = Column{Name: "mood", Type: Type{Kind: KindEnum, Enum: "Mood"}}
	doc     = Column{Name: "diff", Type: Type{Kind: KindJSONB}}
	docN    = Column{Name: "acl", Type: Type{Kind: KindJSONB}, NotNull: true}
	tags    = Column{Name: "tags", Type: Type{Kind: KindText, Array: true}}
	uuids   = Column{Name: "owners", Type: Type{Kind: KindUUID, Array: true}, NotNull: true}

	one = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	two = uuid.MustParse("00000000-0000-4000-8000-000000000002")

	tag  = ExistsElement{Of: tags, Element: Element{"elem1", "value", "key", "position"}}
	part = ExistsElement{Of: JSONGet{doc, tag.ElementValue()}, Element: Element{"elem2", "value", "key", "position"}}
)

func param(name string, t Type) Param { return Param{name, t} }

func list(elems ...Literal) Literal { return ListOf(elems[0].Type, elems) }

func enum(v string) Literal { return Literal{Type: mood.Type, Value: v} }

type renderCase struct {
	name string
	pred Predicate
}

var renderCases = map[string][]renderCase{
	"compare": {
		{"eq", Eq(text, String("a"))},
		{"ne", Compare{NE, text, String("a")}},
		{"text orders by bytes", Compare{LT, text, String("a")}},
		{"text le", Compare{LE, text, textN}},
		{"int gt", Compare{GT, number, Int(5)}},
		{"int ge", Compare{GE, number, Int(-5)}},
		{"literal first", Compare{LT, String("a"), text}},
		{"columns", Eq(text, textN)},
		{"literals", Eq(Int(1), Int(2))},
		{"parameter", Eq(org, param("me", org.Type))},
		{"int parameter", Eq(number, param("n", number.Type))},
		{"parameters", Eq(param("a", text.Type), param("b", text.Type))},
		{"distinct", Distinct{text, String("a")}},
		{"distinct columns", Distinct{text, textN}},
		{"same", Same{text, param("a", text.Type)}},
		{"null", Null{text}},
		{"not null", NotNull(text)},
		{"null of literal", Null{Int(1)}},
		{"array equality", Eq(tags, list(String("a"), String("b")))},
	},
	"member": {
		{"uuids", Member{org, list(UUID(two), UUID(one), UUID(two))}},
		{"one", Member{org, list(UUID(one))}},
		{"none", Member{org, ListOf(org.Type, nil)}},
		{"array column", Member{String("a"), tags}},
		{"column in column", Member{text, tags}},
		{"parameter", Member{org, param("orgs", org.Type.ArrayOf())}},
		{"int parameter", Member{number, param("ns", number.Type.ArrayOf())}},
		{"literal in literals", Member{String("a"), list(String("a"), String("b"))}},
		{"wide ints", Member{number, list(Int(1), Int(40000))}},
		{"narrow ints", Member{number, list(Int(1), Int(32767))}},
		{"enums", Member{mood, list(enum("sad"), enum("it's"))}},
		{"excluded", Excluded{text, list(String("a"), String("b"))}},
		{"excluded none", Excluded{text, ListOf(text.Type, nil)}},
		{"excluded parameter", Excluded{text, param("names", tags.Type)}},
		{"excluded parameter, not null", Excluded{textN, param("names", tags.Type)}},
		{"excluded parameter below not", Not{Excluded{text, param("names", tags.Type)}}},
		{"has null", HasNull{tags}},
	},
	"bool": {
		{"true", Holds{flagB, true}},
		{"false", Holds{flagB, false}},
		{"not true", Not{Holds{flagB, true}}},
		{"not true, not null", Not{Holds{flagN, true}}},
		{"not false, not null", Not{Holds{flagN, false}}},
		{"equal", Eq(flagB, Bool(true))},
	},
	"match": {
		{"prefix", Match{text, String("a"), AtStart, false}},
		{"suffix", Match{text, String("a"), AtEnd, false}},
		{"substring", Match{text, String("a"), Anywhere, false}},
		{"fold", Match{text, String("a"), Anywhere, true}},
		{"wildcards", Match{text, String(`50%_\`), Anywhere, false}},
		{"not", Not{Match{text, String("a"), AtStart, false}}},
		{"not, not null", Not{Match{textN, String("a"), AtStart, true}}},
		{"prefix of column", Match{textN, text, AtStart, false}},
		{"suffix of parameter", Match{textN, param("s", text.Type), AtEnd, false}},
		{"substring of column", Match{textN, text, Anywhere, false}},
		{"fold of column", Match{textN, text, Anywhere, true}},
		{"fold suffix of column", Match{textN, text, AtEnd, true}},
		{"not prefix of parameter", Not{Match{textN, param("s", text.Type), AtStart, false}}},
		{"not suffix of parameter", Not{Match{textN, param("s", text.Type), AtEnd, false}}},
		{"not substring of parameter", Not{Match{textN, param("s", text.Type), Anywhere, false}}},
		{"literal text", Match{String("abc"), textN, AtStart, false}},
		{"json string", Match{JSONString{doc}, String("a"), AtStart, false}},
	},
	"json": {
		{"type", JSONTypeIs{doc, []string{"string"}}},
		{"types", JSONTypeIs{doc, []string{"string", "null"}}},
		{"type of member", JSONTypeIs{JSONGet{doc, String("a")}, []string{"array"}}},
		{"contains", JSONContains{doc, JSON(`{"a":1}`)}},
		{"contains member", JSONContains{doc, JSONGet{docN, String("a")}}},
		{"get key", Eq(JSONGet{doc, String("it's")}, JSON(`"x"`))},
		{"get element", Eq(JSONGet{doc, Int(0)}, JSON(`1`))},
		{"get by column", Eq(JSONGet{doc, text}, JSON(`1`))},
		{"get by int column", Eq(JSONGet{doc, number}, JSON(`1`))},
		{"get by uuid", NotNull(JSONGet{doc, Text{org}})},
		{"get by parameter", NotNull(JSONGet{doc, param("k", text.Type)})},
		{"get by json string", NotNull(JSONGet{doc, JSONString{docN}})},
		{"get of get", NotNull(JSONGet{JSONGet{doc, String("a")}, String("b")})},
		{"get of literal", NotNull(JSONGet{JSON(`{"a":1}`), text})},
		{"values", JSONContains{JSONValues{doc}, JSON(`["x"]`)}},
		{"array", JSONContains{doc, JSONArray{text}}},
		{"array of uuid", JSONContains{doc, JSONArray{org}}},
		{"array of text literal", JSONContains{doc, JSONArray{String("a")}}},
		{"array of int literal", JSONContains{doc, JSONArray{Int(-1)}}},
		{"array of uuid literal", JSONContains{doc, JSONArray{UUID(one)}}},
		{"array of parameter", JSONContains{doc, JSONArray{param("p", Type{Kind: KindInt})}}},
		{"to json", Eq(ToJSON{number}, doc)},
		{"to json of timestamp", Eq(ToJSON{at}, doc)},
		{"to json of array", Eq(ToJSON{tags}, doc)},
		{"string", Eq(JSONString{doc}, String("a"))},
		{"string order", Compare{LT, JSONString{doc}, String("a")}},
		{"text of string", Compare{LT, Text{JSONString{doc}}, String("a")}},
		{"string of get", Eq(JSONString{JSONGet{doc, String("a")}}, textN)},
		{"not null string", Not{Eq(JSONString{docN}, String("a"))}},
	},
	"convert": {
		{"uuid", Eq(Text{org}, String("a"))},
		{"timestamp", Eq(Text{at}, String("a"))},
		{"date", Eq(Text{day}, String("a"))},
		{"inet", Eq(Text{ip}, String("a"))},
		{"enum", Eq(Text{mood}, String("a"))},
		{"text parameter", Match{textN, Text{param("s", text.Type)}, AtStart, false}},
		{"array", Member{String("a"), Text{uuids}}},
		{"numeric of int", Eq(ToNumeric{number}, Number("1.5"))},
		{"numeric of float", Eq(ToNumeric{float}, Number("1.5"))},
		{"numeric of timestamp", Eq(ToNumeric{at}, Number("1"))},
		{"numeric of numeric", Eq(ToNumeric{price}, Number("1"))},
		{"numeric of literals", Eq(ToNumeric{Int(-3)}, ToNumeric{Float(0.5)})},
		{"timestamp literal", Eq(Text{Timestamp(time.Unix(0, 0))}, textN)},
	},
	"text": {
		{"lower of ASCII", Eq(Apply(LowerASCII, text), String("a"))},
		{"upper of ASCII", Eq(Apply(UpperASCII, Apply(Concat, text, textN)), textN)},
		{"lower", Eq(Apply(Lower, text, String("\u212a"), String("k")), String("k"))},
		{"upper", Compare{LT, Apply(Upper, textN, String("ſ"), String("S")), text}},
		{"lower of all", Eq(Apply(LowerAll, text, String("ÄÖ"), String("äö")), Apply(UpperAll, textN, String("äö"), String("ÄÖ")))},
		{"trim", Eq(Apply(Trim, text, String(" ")), String("a"))},
		{"trim by a column", Eq(Apply(TrimLeft, text, textN), String("a"))},
		{"trim at the end", Eq(Apply(TrimRight, JSONString{doc}, String(" ")), String("a"))},
		{"trim prefix", Eq(Apply(TrimPrefix, text, String("a")), String("b"))},
		{"trim prefix of columns", Eq(Apply(TrimPrefix, text, textN), String("b"))},
		{"trim suffix", Not{Eq(Apply(TrimSuffix, textN, String("a")), String("b"))}},
		{"replace", Eq(Apply(Replace, text, String("a"), String("b")), String("b"))},
		{"translate", Eq(Apply(Translate, text, String("ab"), String("b")), String("b"))},
		{"reverse", Match{Apply(Reverse, text), String("a"), AtStart, false}},
		{"substring", Eq(Apply(Substring, text, Int(3)), String("b"))},
		{"substring of a length", Eq(Apply(SubstringOf, text, Int(3), Int(40000)), String("b"))},
		{"substring by columns", Eq(Apply(SubstringOf, text, Apply(Place, number), Apply(Span, numberN)), String("b"))},
		{"index of", Compare{GT, Apply(IndexOf, text, String("@")), Int(0)}},
		{"index of a column", Compare{GT, Apply(IndexOf, text, textN), Int(0)}},
		{"occurrences", Compare{GT, Apply(Occurrences, text, String("ab")), Int(1)}},
		{"occurrences of a character", Compare{GT, Apply(OccurrencesOfCharacter, text, String("a")), Int(1)}},
		{"gaps", Compare{GT, Apply(Gaps, text), Int(1)}},
		{"split", Member{String("a"), Apply(Split, text, String(","))}},
		{"split by a column", Member{textN, Apply(SplitAny, text, textN)}},
		{"characters", Eq(ArrayGet{Apply(Characters, text), 1}, String("b"))},
		{"part of a split", Eq(Apply(SplitPart, text, String(","), Int(2)), String("b"))},
		{"concat", Eq(Apply(Concat, text, String("-"), textN), String("a-b"))},
		{"concat of one", Eq(Apply(Concat, text), String("a"))},
		{"concat of parameters", Eq(Apply(Concat, param("a", text.Type), String("-"), param("b", text.Type)), textN)},
		{"joined", Eq(Apply(Joined, tags, String(",")), String("a,b"))},
		{"joined of jsonb", Eq(Apply(Joined, Apply(TextsOfJSON, doc), String(",")), String("a,b"))},
		{"hex", Eq(Apply(Hex, number), String("ff"))},
		{"regex", Holds{Apply(MatchesRegex, text, String("^a+$")), true}},
		{"regex below not", Not{Holds{Apply(MatchesRegex, text, String("^a+$")), true}}},
		{"no regex", Holds{Apply(MatchesRegex, textN, String("^a+$")), false}},
		{"element", ExistsElement{Apply(Split, text, String(",")), false, NewElement("elem", func(string) bool { return false }), Eq(Column{"elem", "value", text.Type, true}, String("a"))}},
	},
	"literals": {
		{"uuid", Eq(org, UUID(one))},
		{"bool", Eq(flagB, Bool(false))},
		{"int", Eq(number, Int(7))},
		{"negative", Eq(number, Int(-7))},
		{"wide", Eq(number, Int(32768))},
		{"wide negative", Eq(number, Int(-32769))},
		{"narrow negative", Eq(number, Int(-32768))},
		{"greatest", Eq(number, Int(math.MaxInt64))},
		{"least", Eq(number, Int(math.MinInt64))},
		{"float", Eq(float, Float(-0.5))},
		{"negative zero", Eq(float, Float(math.Copysign(0, -1)))},
		{"infinity", Eq(float, Float(math.Inf(-1)))},
		{"not a number", Eq(float, Float(math.NaN()))},
		{"numeric", Eq(price, Number("-12.50"))},
		{"numeric beside an int", Compare{LT, number, Number("2.5")}},
		{"numerics beside an int", Member{number, list(Number("2.5"), Number("3"))}},
		{"numeric with exponent", Eq(price, Number("1e-3"))},
		{"numeric that is none", Eq(price, Number("NaN"))},
		{"numeric that would be SQL", Eq(price, Number("1 OR TRUE --"))},
		{"numeric that would be a comment", Eq(price, Number("--1"))},
		{"timestamp", Eq(at, Timestamp(time.Date(2026, 1, 2, 3, 4, 5, 678_900_999, time.FixedZone("", 3600))))},
		{"date", Eq(day, Literal{Type: day.Type, Value: "2026-01-02"})},
		{"inet", Eq(ip, Literal{Type: ip.Type, Value: "10.0.0.1"})},
		{"enum", Eq(mood, enum("it's"))},
		{"json", Eq(doc, JSON(`{"it's":"\\"}`))},
		{"quote", Eq(text, String(`'; DROP TABLE t; --`))},
		{"backslash", Eq(text, String(`\' OR TRUE --`))},
		{"placeholder", Eq(text, String("? $1 @p1 :x"))},
		{"line break", Eq(text, String("a\nb"))},
		{"empty", Eq(text, String(""))},
		{"hostile array", Member{text, list(String("a,b"), String("NULL"), String(""), String(`"`), String(`\`), String("'"), String("{}"), String(" "))}},
		{"ints", Member{number, list(Int(-1), Int(2))}},
		{"floats", Member{float, list(Float(-1.5), Float(math.Inf(1)))}},
		{"timestamps", Member{at, list(Timestamp(time.Unix(1, 0)), Timestamp(time.Unix(0, 0)))}},
	},
	"numbers": {
		{"plus", Compare{GT, Apply(Plus, ToNumeric{number}, Number("1")), Number("3")}},
		{"minus", Compare{GT, Apply(Minus, Number("1"), ToNumeric{numberN}), ToNumeric{number}}},
		{"times", Eq(Apply(Times, Apply(Plus, ToNumeric{number}, Number("-1")), ToNumeric{numberN}), Number("3"))},
		{"abs", Eq(Apply(Abs, ToNumeric{number}), Number("3"))},
		{"sign", Eq(Apply(Sign, price), Number("-1"))},
		{"trunc", Eq(price, Apply(Trunc, price))},
		{"rem", Eq(Apply(Rem, number, Int(3)), Int(1))},
		{"rem or null", Not{Eq(Apply(RemOrNull, numberN, numberN), Int(1))}},
		{"rem of numerics", Not{Eq(Apply(Rem, price, Number("7")), Number("1"))}},
		{"jsonb number", Not{Eq(Apply(JSONNumber, JSONGet{docN, String("n")}), Number("1"))}},
		{"null", Null{Apply(Plus, ToNumeric{number}, Number("1"))}},
	},
	"times": {
		{"year", Eq(Apply(Year, at), Number("2026"))},
		{"month", Eq(Apply(Month, at), Number("1"))},
		{"day", Eq(Apply(Day, at), Number("2"))},
		{"hour", Eq(Apply(Hour, at), Number("3"))},
		{"minute", Eq(Apply(Minute, at), Number("4"))},
		{"second", Eq(Apply(Second, at), Number("5"))},
		{"weekday", Not{Eq(Apply(Weekday, at), String("Friday"))}},
		{"format", Eq(Apply(TimeFormat, at, String("YYYY")), String("2026"))},
		{"add date", Compare{LT, Apply(AddDate, at, Int(-1), Int(30)), at}},
		{"midnight", Compare{LT, Apply(Midnight, day), at}},
		{"second of nanoseconds", Eq(Apply(Year, Apply(SecondOf, ToNumeric{number})), Number("1970"))},
		{"years between", Eq(Apply(TimeDiff[0], at, Timestamp(time.Unix(0, 0))), Number("1"))},
		{"months between", Eq(Apply(TimeDiff[1], at, at), Number("1"))},
		{"days between", Eq(Apply(TimeDiff[2], at, at), Number("1"))},
		{"hours between", Eq(Apply(TimeDiff[3], at, at), Number("1"))},
		{"minutes between", Eq(Apply(TimeDiff[4], at, at), Number("1"))},
		{"seconds between", Eq(Apply(TimeDiff[5], at, at), Number("1"))},
	},
	"addresses": {
		{"within", Holds{Apply(Within, ip, Literal{Type: ip.Type, Value: "10.0.0.0/8"}), true}},
		{"not around", Not{Holds{Apply(Around, ip, Literal{Type: ip.Type, Value: "10.0.0.1"}), true}}},
		{"network", Holds{Apply(IsNetwork, ip), true}},
		{"uuid version", Eq(Apply(UUIDVersion, id), Int(4))},
		{"uuid variant", Compare{GE, Apply(UUIDVariant, org), Int(128)}},
	},
	"names": {
		{"keyword", Holds{Column{Name: "order", Type: flagB.Type}, true}},
		{"keyword table", Holds{Column{Table: "user", Name: "select", Type: flagB.Type}, true}},
		{"upper case", Holds{Column{Name: "userId", Type: flagB.Type}, true}},
		{"space", Holds{Column{Name: "a b", Type: flagB.Type}, true}},
		{"digit first", Holds{Column{Name: "1a", Type: flagB.Type}, true}},
		{"digit later", Holds{Column{Name: "a1_", Type: flagB.Type}, true}},
		{"letters beyond ASCII", Holds{Column{Name: "größe", Type: flagB.Type}, true}},
		{"question mark", Eq(Column{Name: "a?", Type: text.Type}, String("?"))},
		{"schema", Exists{"audit.Logs", "l", "", nil, false, Holds{Column{Table: "l", Name: "ok", Type: flagB.Type}, true}}},
		{"schema of enum", Member{Column{Name: "e", Type: Type{Kind: KindEnum, Enum: "app.Mood"}}, ListOf(Type{Kind: KindEnum, Enum: "app.Mood"}, []Literal{{Type: Type{Kind: KindEnum, Enum: "app.Mood"}, Value: "a"}, {Type: Type{Kind: KindEnum, Enum: "app.Mood"}, Value: "b"}})}},
		{"exists without alias", Exists{"logs", "logs", "", nil, false, True}},
	},
	"exists": {
		{"joined", children(eq(childName, "a"))},
		{"not", Not{children(Eq(childName, text))}},
		{"own columns inside and outside", And{eq(text, "a"), children(Null{text}), Null{text}}},
		{"two deep", children(Exists{"app.Notes", "n", "docs", nil, false, And{Eq(Column{Table: "n", Name: "child_id"}, Column{Table: "child", Name: "id"}), Eq(Column{Table: "n", Name: "name", Type: text.Type}, text), Eq(childName, text)}})},
		{"table of a schema", Exists{"app.child", "child", "app.docs", nil, false, Eq(childDoc, docID)}},
		{"the table itself", Exists{"docs", "docs2", "docs", nil, false, Eq(Column{Table: "docs2", Name: "parent"}, docID)}},
		{"around an element", children(ExistsElement{tags, false, Element{"elem1", "value", "key", "position"}, Eq(Column{"elem1", "value", text.Type, true}, childName)})},
		{"an element of a child", children(Member{String("a"), Column{Table: "child", Name: "tags", Type: tags.Type}})},
	},
	"collection": {
		{"build", Eq(JSONBuild{Values: []Expr{text, Int(1), doc, at, JSON("null")}}, doc)},
		{"build of none", Eq(JSONBuild{}, doc)},
		{"build object", Eq(JSONBuild{Keys: []string{"a", "it's"}, Values: []Expr{text, org}}, doc)},
		{"elements", Member{doc, Apply(JSONElements, docN)}},
		{"concatenated", Eq(Apply(ConcatArrays, ToJSON{tags}, JSON(`["a"]`)), doc)},
		{"reversed", Eq(Apply(ReverseArray, doc), JSON("[1]"))},
		{"slice", Eq(Apply(SliceArray, doc, Int(1), Int(3)), JSON("[1]"))},
		{"without keys", Eq(Apply(OmitKeys, doc, list(String("a"), String("b"))), JSON("{}"))},
		{"keys", Eq(Apply(PickKeys, doc, list(String("a"), String("b"))), JSON("{}"))},
		{"place of an int", NotNull(JSONGet{doc, Apply(PlaceOfInt, number)})},
		{"place of a numeric", NotNull(JSONGet{doc, Apply(PlaceOfNumber, ToNumeric{float})})},
		{"place of a jsonb number", NotNull(JSONGet{doc, Apply(PlaceOfJSON, JSONGet{docN, String("n")})})},
		{"order", Compare{LT, Apply(SortKey, doc), Apply(SortKey, JSON("[1]"))}},
	},
	"aggregate": {
		{"count", Compare{GT, Aggregate{Count, false, []Yield{{[]Loop{tag}, Not{eq(tag.ElementValue(), "a")}, tag.ElementValue()}}}, Int(1)}},
		{"count of none", Compare{GT, Aggregate{Count, false, nil}, Int(1)}},
		{"count distinct", Compare{GE, Aggregate{Count, true, []Yield{{[]Loop{tag}, NotNull(tag.ElementValue()), tag.ElementValue()}}}, Int(2)}},
		{"count of the row", Compare{GE, Aggregate{Count, true, []Yield{{nil, NotNull(text), text}}}, Int(1)}},
		{"count of two loops", Eq(Aggregate{Count, false, []Yield{{[]Loop{tag, part}, Eq(part.ElementValue(), ToJSON{tag.ElementValue()}), part.ElementValue()}}}, Int(2))},
		{"count of yields", Eq(Aggregate{Count, false, []Yield{{[]Loop{tag}, True, tag.ElementValue()}, {nil, Null{text}, String("a")}}}, number)},
		{"count distinct of yields", Eq(Aggregate{Count, true, []Yield{{[]Loop{tag}, NotNull(tag.ElementValue()), tag.ElementValue()}, {nil, Null{text}, JSON("null")}}}, Int(2))},
		{"count of places", Eq(Aggregate{Count, true, []Yield{{[]Loop{tag}, True, tag.ElementKey()}}}, Int(2))},
		{"count of rows", Compare{LT, Aggregate{Count, false, []Yield{{[]Loop{children(True).(Exists)}, Null{text}, childName}}}, Int(3)}},
		{"count of elements of rows", Compare{LT, Aggregate{Count, true, []Yield{{[]Loop{tag, children(True).(Exists)}, Null{text}, childName}}}, Int(3)}},
		{"sum", Compare{LT, Aggregate{Sum, false, []Yield{{[]Loop{tag}, True, tag.ElementKey()}}}, Int(3)}},
		{"sum distinct of yields", Compare{LT, Aggregate{Sum, true, []Yield{{[]Loop{tag}, True, tag.ElementKey()}, {nil, NotNull(number), number}}}, Number("1.5")}},
		{"min", Eq(Aggregate{Min, false, []Yield{{[]Loop{tag}, NotNull(tag.ElementValue()), tag.ElementValue()}}}, textN)},
		{"max of yields", Compare{GT, Aggregate{Max, true, []Yield{{[]Loop{tag}, NotNull(tag.ElementValue()), tag.ElementValue()}, {nil, NotNull(text), text}}}, String("b")}},
		{"not", Not{Eq(Aggregate{Max, false, []Yield{{[]Loop{tag}, NotNull(tag.ElementValue()), tag.ElementValue()}}}, String("b"))}},
	},
	"parentheses": {
		{"and in or", Or{And{Holds{flagB, true}, Null{text}}, Null{number}}},
		{"or in and", And{Or{Holds{flagB, true}, Null{text}}, Null{number}}},
		{"or in and in or", Or{And{Or{Null{text}, Null{number}}, Null{org}}, Holds{flagB, true}}},
		{"and in and", And{And{Null{text}, Null{number}}, Null{org}}},
		{"or in or", Or{Or{Null{text}, Null{number}}, Null{org}}},
		{"not or", Not{Or{Eq(text, String("a")), Null{number}}}},
		{"not and, never NULL", Not{And{Null{text}, Null{number}}}},
		{"not and", Not{And{Eq(text, String("a")), Null{number}}}},
		{"not leaf", Not{Eq(text, String("a"))}},
		{"not leaf, not null", Not{Eq(textN, String("a"))}},
		{"not not", Not{Not{Eq(text, String("a"))}}},
		{"not not null", Not{Not{Null{text}}}},
		{"not constant", Not{True}},
		{"not not constant", Not{Not{False}}},
		{"not exists", Not{Exists{"g", "g", "", nil, false, Eq(text, String("a"))}}},
		{"exists with or", Exists{"g", "x", "", nil, false, Or{Null{text}, Null{number}}}},
		{"exists in not in and", And{Not{Not{Exists{"g", "g", "", nil, false, True}}}, Null{text}}},
		{"not distinct", Not{Distinct{text, String("a")}}},
		{"one in and", And{Or{Null{text}, Null{number}}}},
		{"not one in and", Not{And{Eq(text, String("a"))}}},
		{"empty and", And{}},
		{"empty or", Or{}},
		{"empty in and", And{Or{}, Null{text}}},
		{"not empty or", Not{Or{}}},
		{"constants", Or{True, And{False, Null{text}}}},
		{"not member of column", Not{Member{String("a"), uuids}}},
	},
	"arguments": {
		{"once", And{Eq(text, String("a")), Eq(textN, String("a")), Eq(number, Int(1)), Eq(text, String("b"))}},
		{"by type", And{Eq(text, String("1")), Eq(number, Int(1)), Eq(float, Float(1)), Eq(price, Number("1"))}},
		{"parameter once", And{Eq(org, param("me", org.Type)), Eq(id, param("me", org.Type)), Eq(id, UUID(one))}},
	},
}

// TestRender keeps every rendering of every node, unsimplified, in golden files.
func TestRender(t *testing.T) {
	for file, cases := range renderCases {
		t.Run(file, func(t *testing.T) {
			var b strings.Builder
			for _, c := range cases {
				f := Filter{result: ResultWhen, pred: c.pred}
				fmt.Fprintf(&b, "== %s: %v\n", c.name, c.pred)
				sql, args := f.SQL(1)
				fmt.Fprintf(&b, "sql     %s\nargs    %s\n", sql, argTexts(args))
				sql, args, err := f.ToSql()
				require.NoError(t, err)
				fmt.Fprintf(&b, "tosql   %s\nargs    %s\n", sql, argTexts(args))
				sql, byName := f.Named("p")
				fmt.Fprintf(&b, "named   %s\nargs    %s\n", sql, namedTexts(byName))
				fmt.Fprintf(&b, "inline  %s\n\n", f.Inline())
			}
			golden(t, filepath.Join("testdata", "render", file+".txt"), b.String())
		})
	}
}

func argTexts(args []any) string {
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = fmt.Sprintf("%T %q", a, fmt.Sprint(a))
	}
	return strings.Join(texts, ", ")
}

func namedTexts(args map[string]any) string {
	var texts []string
	for k, v := range args {
		texts = append(texts, k+"="+argTexts([]any{v}))
	}
	sort.Strings(texts)
	return strings.Join(texts, ", ")
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./sqlgen -update writes it")
	assert.Equal(t, string(want), got, "go test ./sqlgen -update rewrites it")
}

func TestSQLStart(t *testing.T) {
	f := When(And{Eq(text, String("a")), Eq(number, Int(1)), Eq(textN, String("a"))})
	sql, args := f.SQL(7)
	assert.Equal(t, "name = $7 AND n = $8 AND title = $7", sql)
	assert.Equal(t, []any{"a", int64(1)}, args)

	sql, args = Always().SQL(7)
	assert.Equal(t, "TRUE", sql)
	assert.Empty(t, args)
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		f      Filter
		result Result
		text   string
		pred   Predicate
	}{
		{Filter{}, ResultNever, "FALSE", False},
		{Never(), ResultNever, "FALSE", False},
		{Always(), ResultAlways, "TRUE", True},
		{When(nil), ResultNever, "FALSE", False},
		{When(True), ResultAlways, "TRUE", True},
		{When(False), ResultNever, "FALSE", False},
		{When(And{}), ResultAlways, "TRUE", True},
		{When(Or{}), ResultNever, "FALSE", False},
		{When(Null{text}), ResultWhen, "name IS NULL", Null{text}},
	} {
		assert.Equal(t, c.result, c.f.Result())
		assert.Equal(t, c.text, c.f.String())
		assert.Equal(t, c.pred, c.f.Predicate())
		sql, args, err := c.f.As("x").ToSql()
		require.NoError(t, err)
		assert.Equal(t, strings.ReplaceAll(c.text, "name", "x.name"), sql)
		assert.Empty(t, args)
	}
	assert.Equal(t, "never always when", fmt.Sprint(ResultNever, ResultAlways, ResultWhen))
}

func TestQualify(t *testing.T) {
	p := And{
		Eq(text, JSONString{JSONGet{doc, Text{org}}}),
		Exists{"g", "g", "", nil, false, Eq(Column{Table: "g", Name: "id", Type: id.Type}, id)},
		Or{Not{HasNull{tags}}, Member{String("a"), tags}, JSONContains{JSONValues{docN}, JSONArray{ToNumeric{number}}}},
	}
	assert.Equal(t,
		"l.name = (l.diff -> l.organization_id::text #>> '{}') AND EXISTS (SELECT FROM g WHERE g.id = l.id) AND "+
			"(NOT (array_position(l.tags, NULL) IS NOT NULL) OR 'a' = ANY(l.tags) OR "+
			"jsonb_path_query_array(l.acl, 'strict $.*', '{}', true) @> jsonb_build_array(l.n::numeric))",
		Filter{result: ResultWhen, pred: Qualify(p, "l")}.Inline())
}

func TestBind(t *testing.T) {
	p := Or{
		Member{org, param("orgs", org.Type.ArrayOf())},
		Eq(Text{param("id", id.Type)}, textN),
		Eq(ToJSON{param("name", text.Type)}, doc),
		Eq(ToNumeric{param("n", number.Type)}, price),
		Eq(ToJSON{param("b", flagB.Type)}, doc),
	}
	values := map[string]Literal{
		"orgs": list(UUID(one)), "id": UUID(two), "name": String(`"<é>"`), "n": Int(-3), "b": Bool(true),
	}
	bound, err := bind(p, values)
	require.NoError(t, err)
	assert.Equal(t, `(or (member organization_id ["00000000-0000-4000-8000-000000000001"]:uuid[]) `+
		`(= "00000000-0000-4000-8000-000000000002":text title) (= "\"\\\"\\u003cé\\u003e\\\"\"":jsonb diff) `+
		`(= -3:numeric price) (= "true":jsonb diff))`, fmt.Sprint(bound))

	delete(values, "id")
	_, err = bind(p, values)
	require.EqualError(t, err, "no parameter id")

	_, err = param("id", id.Type).Value()
	require.ErrorContains(t, err, "parameter id has no value")
}
