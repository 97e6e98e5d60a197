package compiler

import (
	"net"
	"net/netip"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// addressBuiltins are the builtin functions of networks and uuids.
var addressBuiltins = map[string]symbolic{
	"net.cidr_contains": networkContains,
	"net.cidr_is_valid": networkIsValid,
	"uuid.parse":        parseUUID,
}

// inet is an inet column; ok is false where the operand is no string, and refused
// where it is another.
func inet(name string, op operand) (e sqlgen.Expr, ok bool) {
	if r := rankOf(op); r != rankString && r != rankAny {
		return nil, false
	}
	if x, ok := op.(scalar); ok && sqlgen.TypeOf(x.e).Kind == sqlgen.KindInet {
		return x.e, true
	}
	if x, ok := op.(scalar); ok {
		switch sqlgen.TypeOf(x.e).Kind {
		case sqlgen.KindUUID, sqlgen.KindDate, sqlgen.KindTimestamptz:
			return nil, false // no address looks like that
		}
	}
	refuse(CodeBuiltin, name+" of "+describe(op)+" has no translation", "give the field the type inet in the schema")
	return nil, false
}

// isNetwork is true where the column's text has a mask: that of a single address has
// none, and is no network to the policy.
func isNetwork(e sqlgen.Expr) sqlgen.Predicate {
	return sqlgen.Holds{Of: sqlgen.Apply(sqlgen.IsNetwork, e), Want: true}
}

func networkIsValid(args []operand) value {
	e, ok := inet("net.cidr_is_valid", args[0])
	if !ok {
		return truth(sqlgen.False)
	}
	return truth(isNetwork(e))
}

// mapped4 are the IPv6 addresses that stand for IPv4: to Go they are those.
var mapped4 = netip.MustParsePrefix("::ffff:0:0/96")

// networkContains is net.cidr_contains(network, address or network).
func networkContains(args []operand) value {
	if k, ok := args[0].(known); ok {
		outer, ok := parseNetwork(k.v)
		if !ok {
			return nil
		}
		inner, ok := inet("net.cidr_contains", args[1])
		if !ok {
			return nil
		}
		return truth(overBoth(sqlgen.Within, inner, outer))
	}
	outer, ok := inet("net.cidr_contains", args[0])
	if !ok {
		return nil
	}
	k, ok := args[1].(known)
	if !ok {
		refuse(CodeBuiltin, "net.cidr_contains of two values of the row", "compare with a network that is known")
	}
	s, ok := k.v.(ast.String)
	if !ok {
		return nil
	}
	inner, ok := parseNetwork(s)
	if ip := net.ParseIP(string(s)); ip != nil {
		addr, _ := netip.AddrFromSlice(ip)
		addr = addr.Unmap()
		inner, ok = netip.PrefixFrom(addr, addr.BitLen()), true
	}
	if !ok {
		return nil
	}
	return truth(overBoth(sqlgen.Around, outer, inner)).under(isNetwork(outer))
}

// parseNetwork reads a network as OPA does. One of mapped addresses is one of IPv4.
func parseNetwork(v ast.Value) (netip.Prefix, bool) {
	s, ok := v.(ast.String)
	if !ok {
		return netip.Prefix{}, false
	}
	_, n, err := net.ParseCIDR(string(s))
	if err != nil {
		return netip.Prefix{}, false
	}
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if addr.Is4In6() && size == 128 {
		addr, bits = addr.Unmap(), bits-96
	}
	return netip.PrefixFrom(addr, bits), true
}

// overBoth is a function of a column and a known network, as Go has it: an IPv4
// network holds the addresses mapped to it, and one of IPv6 holds no mapped ones.
func overBoth(f *sqlgen.Function, e sqlgen.Expr, n netip.Prefix) sqlgen.Predicate {
	is := func(f *sqlgen.Function, n netip.Prefix) sqlgen.Predicate {
		lit := sqlgen.Literal{Type: sqlgen.Type{Kind: sqlgen.KindInet}, Value: n.String()}
		return sqlgen.Holds{Of: sqlgen.Apply(f, e, lit), Want: true}
	}
	isMapped := is(sqlgen.Within, mapped4)
	if !n.Addr().Is4() {
		if f == sqlgen.Within && !n.Overlaps(mapped4) {
			return is(f, n)
		}
		return conjunction(is(f, n), sqlgen.Not{Of: isMapped})
	}
	as6 := netip.PrefixFrom(netip.AddrFrom16(n.Addr().As16()), n.Bits()+96)
	if f == sqlgen.Within {
		return disjunction([]sqlgen.Predicate{is(f, n), is(f, as6)})
	}
	return disjunction([]sqlgen.Predicate{is(f, n), conjunction(is(f, as6), isMapped)})
}

// parseUUID is uuid.parse: an object of version and variant, and of more for the
// versions 1 and 2.
func parseUUID(args []operand) value {
	if r := rankOf(args[0]); r != rankString && r != rankAny {
		return nil
	}
	x, ok := args[0].(scalar)
	if ok {
		switch sqlgen.TypeOf(x.e).Kind {
		case sqlgen.KindDate, sqlgen.KindTimestamptz, sqlgen.KindInet:
			return nil
		case sqlgen.KindUUID:
		default:
			ok = false
		}
	}
	if !ok {
		refuse(CodeBuiltin, "uuid.parse of "+describe(args[0])+" has no translation: it reads forms that are not canonical", "give the field the type uuid in the schema")
	}
	version := sqlgen.Apply(sqlgen.UUIDVersion, x.e)
	byte8 := sqlgen.Apply(sqlgen.UUIDVariant, x.e)
	var variant value
	from := int64(0)
	for _, v := range []struct {
		name  string
		below int64
	}{{"Reserved", 0x80}, {"RFC4122", 0xc0}, {"Microsoft", 0xe0}, {"Future", 0x100}} {
		var both []sqlgen.Predicate
		if from > 0 {
			both = append(both, sqlgen.Compare{Op: sqlgen.GE, L: byte8, R: sqlgen.Int(from)})
		}
		if v.below < 0x100 {
			both = append(both, sqlgen.Compare{Op: sqlgen.LT, L: byte8, R: sqlgen.Int(v.below)})
		}
		variant = append(variant, alt{conjunction(both...), known{ast.String(v.name)}})
		from = v.below
	}
	always, timed := solution{when: sqlgen.True}, sqlgen.Member{Of: version, Set: sqlgen.ListOf(sqlgen.Type{Kind: sqlgen.KindInt}, []sqlgen.Literal{sqlgen.Int(1), sqlgen.Int(2)})}
	out := ruleSet{kind: rankObject, entries: []entry{
		{always, knownValue(ast.String("version")), value{{sqlgen.True, scalar{e: version}}}},
		{always, knownValue(ast.String("variant")), variant},
	}}
	part := func(key string, when sqlgen.Predicate) {
		out.entries = append(out.entries, entry{solution{when: when}, knownValue(ast.String(key)), value{{sqlgen.True, untranslated{"the " + key + " of a uuid"}}}})
	}
	for _, key := range []string{"time", "nodeid", "macvariables", "clocksequence"} {
		part(key, timed)
	}
	part("id", sqlgen.Eq(version, sqlgen.Int(2)))
	part("domain", sqlgen.Eq(version, sqlgen.Int(2)))
	return value{{sqlgen.True, out}}
}
