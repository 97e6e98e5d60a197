package auditquery

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

// exact is a text that the column equals.
type exact string

func readExact(s string) (value, string) { return exact(s), "" }

// oneOf reads one of the known names, which are in lower case.
func oneOf(known []string) func(string) (value, string) {
	return func(s string) (value, string) {
		name := strings.ToLower(s)
		if !slices.Contains(known, name) {
			return nil, fmt.Sprintf("has invalid value: %q is not a valid value%s", clip(s), hint(s, known))
		}
		return exact(name), ""
	}
}

func (v exact) String() string { return string(v) }
func (v exact) predicate(c sqlgen.Column, _ Resolved) sqlgen.Predicate {
	return sqlgen.Eq(c, sqlgen.String(string(v)))
}

// id is a uuid that the column equals.
type id uuid.UUID

func parseUUID(s string) (uuid.UUID, bool) {
	if len(s) != 36 { // the other forms that uuid.Parse takes could be names
		return uuid.UUID{}, false
	}
	v, err := uuid.Parse(s)
	return v, err == nil
}

func readID(s string) (value, string) {
	v, ok := parseUUID(s)
	if !ok {
		return nil, "must be a valid uuid"
	}
	return id(v), ""
}

func (v id) String() string { return uuid.UUID(v).String() }
func (v id) predicate(c sqlgen.Column, _ Resolved) sqlgen.Predicate {
	return sqlgen.Eq(c, sqlgen.UUID(uuid.UUID(v)))
}

// What is resolved to uuids. User names and emails are as they were written: letter case
// is for the database to compare, whose lower case may not be ours.
type (
	organizationName string
	username         string
	email            string
)

// me is the caller. User names ignore case, so there is no user called Me.
const me username = "me"

func readOrganization(s string) (value, string) {
	if v, ok := parseUUID(s); ok {
		return id(v), ""
	}
	return organizationName(s), ""
}

func readEmail(s string) (value, string) { return email(s), "" }

func readUsername(s string) (value, string) {
	if strings.EqualFold(s, string(me)) {
		return me, ""
	}
	return username(s), ""
}

func (v organizationName) String() string { return string(v) }
func (v username) String() string         { return string(v) }
func (v email) String() string            { return string(v) }

func (v organizationName) predicate(c sqlgen.Column, r Resolved) sqlgen.Predicate {
	return oneOfIDs(c, r.Organizations[string(v)])
}

func (v username) predicate(c sqlgen.Column, r Resolved) sqlgen.Predicate {
	if v == me {
		return sqlgen.Eq(c, sqlgen.UUID(r.Me))
	}
	return oneOfIDs(c, r.Usernames[string(v)])
}

func (v email) predicate(c sqlgen.Column, r Resolved) sqlgen.Predicate {
	return oneOfIDs(c, r.Emails[string(v)])
}

// oneOfIDs is false of every row when there are no ids.
func oneOfIDs(c sqlgen.Column, ids []uuid.UUID) sqlgen.Predicate {
	lits := make([]sqlgen.Literal, len(ids))
	for i, v := range ids {
		lits[i] = sqlgen.UUID(v)
	}
	return sqlgen.Member{Of: c, Set: sqlgen.ListOf(sqlgen.Type{Kind: sqlgen.KindUUID}, lits)}
}

// number is a comparison with an integer.
type number struct {
	op sqlgen.Op
	n  int32
}

// The longer operators first, so that >= is not read as > and a bad number.
var numberOps = []struct {
	text string
	op   sqlgen.Op
}{{">=", sqlgen.GE}, {"<=", sqlgen.LE}, {">", sqlgen.GT}, {"<", sqlgen.LT}, {"=", sqlgen.EQ}, {"", sqlgen.EQ}}

func readNumber(s string) (value, string) {
	for _, o := range numberOps {
		digits, ok := strings.CutPrefix(s, o.text)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil {
			break
		}
		return number{o.op, int32(n)}, ""
	}
	return nil, fmt.Sprintf("must be a 32-bit integer, after >=, >, <=, <, = or nothing: %q is not", clip(s))
}

func (v number) String() string {
	op := v.op.String()
	if v.op == sqlgen.EQ {
		op = ""
	}
	return op + strconv.Itoa(int(v.n))
}

func (v number) predicate(c sqlgen.Column, _ Resolved) sqlgen.Predicate {
	return sqlgen.Compare{Op: v.op, L: c, R: sqlgen.Int(int64(v.n))}
}

// network is the addresses of a network, or a single one.
type network netip.Prefix

func readNetwork(s string) (value, string) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return network(netip.PrefixFrom(a, a.BitLen())), ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, fmt.Sprintf("must be an IP address or a network such as 10.0.0.0/8: %q is not", clip(s))
	}
	return network(p.Masked()), ""
}

func (v network) String() string {
	if p := netip.Prefix(v); !p.IsSingleIP() {
		return p.String()
	}
	return netip.Prefix(v).Addr().String()
}

// predicate is <<= for a network: PostgreSQL makes a range of an ordinary index of it,
// and estimates it better than the range itself.
func (v network) predicate(c sqlgen.Column, _ Resolved) sqlgen.Predicate {
	of := sqlgen.Literal{Type: sqlgen.Type{Kind: sqlgen.KindInet}, Value: v.String()}
	if netip.Prefix(v).IsSingleIP() {
		return sqlgen.Eq(c, of)
	}
	return sqlgen.Holds{Of: sqlgen.Apply(sqlgen.Within, c, of), Want: true}
}

// instant is one end of a range of time: a day in UTC or a moment, in
// microseconds because the column has no more.
type instant struct {
	unixMicro int64
	day       bool
	to        bool // the end of the range
}

func readFrom(s string) (value, string) { return readInstant(s, false) }
func readTo(s string) (value, string)   { return readInstant(s, true) }

func readInstant(s string, to bool) (value, string) {
	bad := func(why string) (value, string) {
		return nil, fmt.Sprintf("must be a valid date format (2006-01-02) or a quoted RFC 3339 time: %q %s", clip(s), why)
	}
	t, err := time.Parse(time.DateOnly, s)
	day := err == nil
	if !day {
		if t, err = time.Parse(time.RFC3339, strings.ToUpper(s)); err != nil {
			return bad("is not")
		}
		micro := t.Truncate(time.Microsecond)
		if !to && micro.Before(t) { // the row before is before the range
			micro = micro.Add(time.Microsecond)
		}
		t = micro
	}
	if y := t.UTC().Year(); y < 1 || y > maxYear {
		return bad("is out of range")
	}
	return instant{t.UnixMicro(), day, to}, ""
}

// maxYear is the last that RFC 3339 and JSON can write.
const maxYear = 9999

func (v instant) time() time.Time { return time.UnixMicro(v.unixMicro).UTC() }

func (v instant) String() string {
	if v.day {
		return v.time().Format(time.DateOnly)
	}
	return v.time().Format(time.RFC3339Nano)
}

func (v instant) predicate(c sqlgen.Column, _ Resolved) sqlgen.Predicate {
	op, t := sqlgen.GE, v.time()
	if v.to {
		op = sqlgen.LE
	}
	if v.to && v.day {
		op, t = sqlgen.LT, t.AddDate(0, 0, 1)
		if t.Year() > maxYear {
			op, t = sqlgen.LE, t.Add(-time.Microsecond)
		}
	}
	return sqlgen.Compare{Op: op, L: c, R: sqlgen.Timestamp(t)}
}

// since is a time that ends now.
type since time.Duration

const day = 24 * time.Hour

// wholeUnits are those that time.ParseDuration lacks.
var wholeUnits = map[byte]time.Duration{'d': day, 'w': 7 * day}

func readSince(s string) (value, string) {
	d, err := time.ParseDuration(s)
	if err != nil && s != "" {
		if unit, ok := wholeUnits[s[len(s)-1]]; ok {
			var n int64
			n, err = strconv.ParseInt(s[:len(s)-1], 10, 32)
			if n > int64((1<<63-1)/unit) {
				n = 0
			}
			d = time.Duration(n) * unit
		}
	}
	if err != nil || d <= 0 {
		return nil, fmt.Sprintf("must be a positive duration such as 90m, 24h, 7d or 2w: %q is not", clip(s))
	}
	return since(d), ""
}

func (v since) String() string {
	if d := time.Duration(v); d%day != 0 {
		return d.String()
	}
	return strconv.FormatInt(int64(time.Duration(v)/day), 10) + "d"
}

func (v since) predicate(c sqlgen.Column, r Resolved) sqlgen.Predicate {
	from := r.Now.Add(-time.Duration(v)).Truncate(time.Microsecond)
	return sqlgen.Compare{Op: sqlgen.GE, L: c, R: sqlgen.Timestamp(from)}
}
