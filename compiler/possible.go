package compiler

import (
	"net/netip"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// CanBe reports whether the policy may see v as the field of some row. It is false
// only where no row of any table shows it, such as "me" for a uuid. An enum may have
// any label.
func (f *Field) CanBe(v ast.Value) bool {
	switch {
	case f.Const != nil:
		return f.Const.Compare(v) == 0
	case f.Null != nil && f.Null.Compare(v) == 0:
		return true
	case f.Relation != nil:
		return ast.ValueName(v) == f.JSONType()
	case f.Column.Type.Array:
		list, ok := v.(*ast.Array)
		return ok && !list.Until(func(e *ast.Term) bool { return !f.CanHold(e.Value) })
	}
	return shows(f.Column.Type, f.Nanos, v)
}

// CanHold reports whether the policy may see v as an element of the field of some
// row.
func (f *Field) CanHold(v ast.Value) bool {
	if f.Const != nil {
		found := false
		for _, e := range elements(f.Const) {
			found = found || e.Compare(v) == 0
		}
		return found
	}
	if f.Relation != nil { // what a row's fields are is not looked at
		return !f.Relation.Many || ast.ValueName(v) == "object"
	}
	if !f.Column.Type.Array {
		return f.Column.Type.Kind == sqlgen.KindJSONB
	}
	return v.Compare(ast.NullValue) == 0 || shows(f.Column.Type.Elem(), f.Nanos, v)
}

// CanBe reports whether v may be a value of the parameter.
func (p *Param) CanBe(v ast.Value) bool {
	if set, ok := v.(ast.Set); ok && p.Set {
		return !set.Until(func(e *ast.Term) bool { return !shows(p.Type.Elem(), false, e.Value) })
	}
	if p.Set {
		return false
	}
	f := Field{Column: sqlgen.Column{Type: p.Type, NotNull: true}}
	return f.CanBe(v)
}

// shows reports whether a column of type t that is not NULL may look like v.
func shows(t sqlgen.Type, nanos bool, v ast.Value) bool {
	s, isString := v.(ast.String)
	switch {
	case t.Kind == sqlgen.KindJSONB, isString && !utf8.ValidString(string(s)):
		return true
	case t.Kind == sqlgen.KindEnum:
		return isString
	case t.Kind == sqlgen.KindInet && isString && isIPv6(string(s)):
		return true // of which equalTo says nothing
	}
	_, ok := equalTo(t, nanos, v)
	return ok
}

func isIPv6(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Is6()
	}
	p, err := netip.ParsePrefix(s)
	return err == nil && p.Addr().Is6()
}

// JSONType is the type of the field's values as the policy sees them, but for NULL:
// string, number, boolean, array, object, or any.
func (f *Field) JSONType() string {
	switch t := f.Column.Type; {
	case f.Const != nil:
		return ast.ValueName(f.Const)
	case f.Relation != nil && !f.Relation.Many:
		return "object"
	case t.Array, f.Relation != nil:
		return "array"
	case t.Kind == sqlgen.KindJSONB:
		return "any"
	case t.Kind == sqlgen.KindBool:
		return "boolean"
	case t.Numeric(), f.Nanos:
		return "number"
	default:
		return "string"
	}
}
