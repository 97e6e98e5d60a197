package sqlgen

import (
	"fmt"
	"strings"
)

// Kind is the family of a SQL type.
type Kind uint8

// The kinds of column that a predicate can speak of.
const (
	KindUUID        Kind = iota + 1 // uuid
	KindText                        // text, varchar
	KindBool                        // boolean
	KindInt                         // smallint, integer, bigint
	KindFloat                       // double precision
	KindNumeric                     // numeric
	KindTimestamptz                 // timestamp with time zone
	KindDate                        // date
	KindInet                        // inet
	KindJSONB                       // jsonb
	KindEnum                        // an enumerated type, named by Type.Enum
)

var kindNames = map[Kind]string{
	KindUUID:        "uuid",
	KindText:        "text",
	KindBool:        "bool",
	KindInt:         "int",
	KindFloat:       "float",
	KindNumeric:     "numeric",
	KindTimestamptz: "timestamptz",
	KindDate:        "date",
	KindInet:        "inet",
	KindJSONB:       "jsonb",
}

// sqlNames are the names that a cast uses. An int is bigint there because every
// integer column compares with it by its index.
var sqlNames = map[Kind]string{
	KindUUID:        "uuid",
	KindText:        "text",
	KindBool:        "boolean",
	KindInt:         "bigint",
	KindFloat:       "double precision",
	KindNumeric:     "numeric",
	KindTimestamptz: "timestamptz",
	KindDate:        "date",
	KindInet:        "inet",
	KindJSONB:       "jsonb",
}

// Type is the SQL type of an expression.
type Type struct {
	Kind  Kind
	Enum  string // the type's name, for KindEnum
	Array bool   // an array of Kind
}

// ParseType reads a type as schemas write it: uuid, text, bool, int, float,
// numeric, timestamptz, date, inet, jsonb, enum(name), or an array of one of
// these (but of jsonb) such as uuid[].
func ParseType(s string) (Type, error) {
	name, array := strings.CutSuffix(s, "[]")
	t := Type{Array: array}
	if enum, ok := strings.CutPrefix(name, "enum("); ok {
		enum, ok = strings.CutSuffix(enum, ")")
		if !ok || enum == "" {
			return Type{}, fmt.Errorf("type %q: an enum is written enum(name)", s)
		}
		if err := CheckName(enum); err != nil {
			return Type{}, fmt.Errorf("type %q: %w", s, err)
		}
		t.Kind, t.Enum = KindEnum, enum
		return t, nil
	}
	for k, n := range kindNames {
		if n == name {
			t.Kind = k
		}
	}
	switch {
	case t.Kind == 0:
		return Type{}, fmt.Errorf("unknown type %q: want uuid, text, bool, int, float, numeric, timestamptz, date, inet, jsonb, enum(name), or an array such as uuid[]", s)
	case t.Kind == KindJSONB && array:
		return Type{}, fmt.Errorf("type %q: an array of jsonb is not supported; use a jsonb column that holds an array", s)
	}
	return t, nil
}

// String is the type as [ParseType] reads it.
func (t Type) String() string {
	s := kindNames[t.Kind]
	if t.Kind == KindEnum {
		s = "enum(" + t.Enum + ")"
	}
	if t.Array {
		s += "[]"
	}
	return s
}

// Elem is the type of an array's element.
func (t Type) Elem() Type {
	t.Array = false
	return t
}

// ArrayOf is the type of an array of t.
func (t Type) ArrayOf() Type {
	t.Array = true
	return t
}

// Numeric reports whether values of t are JSON numbers.
func (t Type) Numeric() bool {
	return !t.Array && (t.Kind == KindInt || t.Kind == KindFloat || t.Kind == KindNumeric)
}

// SQL is the type's name as PostgreSQL has it.
func (t Type) SQL() string { return t.sql() }

// sql is the type's name in a cast.
func (t Type) sql() string {
	s := sqlNames[t.Kind]
	if t.Kind == KindEnum {
		s = quoteName(t.Enum)
	}
	if t.Array {
		s += "[]"
	}
	return s
}
