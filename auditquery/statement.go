package auditquery

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

// Place is where a row stands in a log's order.
type Place struct {
	Time time.Time // to the microsecond, as PostgreSQL keeps it
	ID   uuid.UUID
}

// Page says which of the rows found are wanted, newest first.
type Page struct {
	Limit  int // rows at most; 0 or less is none
	Offset int // rows to skip; 0 or less is none

	// From is a place that the page begins behind; nil is before the newest row.
	// The row at the place is not on the page, and need not be there any more.
	From *Place
	// Newer asks for the rows that are newer than From, and of those for the ones
	// next to it. Without a From it says nothing.
	Newer bool
}

// backward reports whether the page is read from its end.
func (p Page) backward() bool { return p.Newer && p.From != nil }

// Keys is a statement that selects the id and time of the page's rows, newest
// first (time DESC, id DESC; the log's own name for its time), and its arguments,
// numbered from start. ok is false when no row can match: there is nothing to ask
// then.
//
// Only keys, because they are in the index: rows are fetched by id once ordering
// and skipping are done. A page that begins behind a place costs the same at any
// depth, and holds the same rows whatever is added at the log's new end. A
// statement with an array argument has to be planned with its values
// (plan_cache_mode = force_custom_plan, or no prepared statement).
func Keys(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, page Page, start int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever || page.Limit <= 0 {
		return "", nil, false
	}
	page.Offset = max(page.Offset, 0)
	s := statement{log: of, start: start}
	if page.backward() {
		s.write("SELECT ", of.keys(""), " FROM (")
	}
	ids, rest := of.organizations(filter)
	_, _, _, tested := of.split(filter)
	if len(ids) > 1 && len(ids) <= maxLateralKeys/depth(page) && (of.ordered(ids, tested) || of.narrow(ids, tested)) {
		s.keysPerOrganization(ids, rest, page)
	} else {
		s.write("SELECT ", of.keys(""), of.from())
		s.matching(" WHERE ", filter)
		s.from(page, filter.Result() == sqlgen.ResultAlways)
		s.write(of.order("", page.backward()))
		s.page(page)
	}
	if page.backward() {
		s.write(") AS page", of.order("", false))
	}
	return s.text.String(), s.args, true
}

// AllKeys is [Keys] of all rows found, for a cursor of the database: nothing bounds
// how many there are. Several organizations are not asked for one by one, because
// that would sort the keys of all of them before the first is known.
func AllKeys(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, start int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever {
		return "", nil, false
	}
	s := statement{log: of, start: start}
	s.write("SELECT ", of.keys(""), of.from())
	s.where(filter)
	s.write(of.order("", false))
	return s.text.String(), s.args, true
}

// maxLateralKeys is how many keys the form per organization may read.
//
// An array condition loses the index's order, so the plain form sorts all that
// match or walks the whole log by time. The form per organization reads the
// page's depth of each from its own part of the index, at worst organizations ×
// (offset + limit) keys. It was measured up to 50 organizations at an offset of
// 100,000, five million keys, where it takes between a half and a thirteenth of
// the plain form's time. Far beyond that nothing bounds what it reads but the
// size of the log, while the plain form on many organizations can walk the time
// index and stop; which of its plans is right depends on the organizations'
// sizes, and those the planner knows and we do not. Where exactly the two cross
// was not measured.
const maxLateralKeys = 10_000_000

// depth is how many rows the page ends behind.
func depth(p Page) int {
	if p.Limit > math.MaxInt-p.Offset {
		return math.MaxInt
	}
	return p.Limit + p.Offset
}

// conjuncts are the conditions that all have to hold.
func conjuncts(f sqlgen.Filter) sqlgen.And {
	if f.Result() == sqlgen.ResultAlways {
		return nil
	}
	if terms, ok := f.Predicate().(sqlgen.And); ok {
		return terms
	}
	return sqlgen.And{f.Predicate()}
}

// column is the name of the log's column that the expression is, if it is one.
func (l Log) column(e sqlgen.Expr) string {
	c, ok := e.(sqlgen.Column)
	if !ok || c.Table != "" && c.Table != l.name {
		return ""
	}
	return c.Name
}

// own reports whether the expression is the log's column of that name.
func (l Log) own(e sqlgen.Expr, name string) bool { return l.column(e) == name }

// organizations are those of a condition organization_id = ANY(several), alone
// or beside other conditions, and these.
func (l Log) organizations(f sqlgen.Filter) (ids []uuid.UUID, rest sqlgen.Filter) {
	terms := conjuncts(f)
	for i, t := range terms {
		m, ok := t.(sqlgen.Member)
		if !ok {
			continue
		}
		set, isLiteral := m.Set.(sqlgen.Literal)
		if !isLiteral || !l.own(m.Of, organizationID.Name) {
			continue
		}
		// an id that came twice would give its rows twice
		ids, ok := sqlgen.ListOf(set.Type.Elem(), set.Elems()).Value.([]uuid.UUID)
		if !ok {
			continue
		}
		others := append(append(sqlgen.And{}, terms[:i]...), terms[i+1:]...)
		return ids, sqlgen.When(others)
	}
	return nil, f
}

// manyOrganizations is from how many on an organization is looked up in a table of
// them. For an array PostgreSQL estimates the rows of each element in each partition,
// which took 15 ms for 1,000 of them, and more than to find a page.
const manyOrganizations = 100

// matching is the condition, with many organizations looked up: IS TRUE keeps the
// subquery from becoming a join, which would lose the order of an index.
func (s *statement) matching(before string, f sqlgen.Filter) {
	ids, rest := s.log.organizations(f)
	if len(ids) < manyOrganizations {
		s.condition(before, f)
		return
	}
	s.write(before, "(organization_id IN (SELECT unnest(", s.bind(ids), "::uuid[]))) IS TRUE")
	s.and(rest)
}

// perOrganization begins the form that asks for each organization by itself.
func (s *statement) perOrganization(ids []uuid.UUID) {
	s.write(" FROM unnest(", s.bind(ids), "::uuid[]) AS o(id) CROSS JOIN LATERAL (")
}

// keysPerOrganization reads each organization's newest keys in the order of its
// index, so that no more than organizations × depth of them are sorted.
func (s *statement) keysPerOrganization(ids []uuid.UUID, rest sqlgen.Filter, page Page) {
	s.write("SELECT ", s.log.keys("k"))
	s.perOrganization(ids)
	s.write("SELECT ", s.log.keys(""), s.log.from(), " WHERE organization_id = o.id")
	s.and(rest)
	s.from(page, false)
	s.write(s.log.order("", page.backward()), " LIMIT ", s.bind(int64(depth(page))), ") AS k")
	s.write(s.log.order("k", page.backward()))
	s.page(page)
}

// both simplifies the two conditions together, so that a search for one of a
// caller's organizations asks for that one alone.
func both(authorized sqlgen.Filter, search sqlgen.Predicate) sqlgen.Filter {
	if search == nil {
		return sqlgen.Never()
	}
	return sqlgen.When(sqlgen.And{authorized.Predicate(), search})
}

// A statement collects text and the arguments of its placeholders.
type statement struct {
	log   Log
	text  strings.Builder
	args  []any
	start int
}

func (s *statement) write(texts ...string) {
	for _, t := range texts {
		s.text.WriteString(t)
	}
}

func (s *statement) next() int { return s.start + len(s.args) }

// bind adds an argument and is its placeholder.
func (s *statement) bind(v any) string {
	placeholder := "$" + strconv.Itoa(s.next())
	s.args = append(s.args, v)
	return placeholder
}

func (s *statement) where(f sqlgen.Filter) { s.condition(" WHERE ", f) }
func (s *statement) and(f sqlgen.Filter)   { s.condition(" AND ", f) }

func (s *statement) condition(before string, f sqlgen.Filter) {
	if f.Result() == sqlgen.ResultAlways {
		return
	}
	text, args := f.SQL(s.next())
	s.write(before, text)
	s.args = append(s.args, args...)
}

// from is the condition that rows stand behind the page's place. A comparison of
// rows is a range of an index that ends in (time, id), but tells PostgreSQL nothing
// of the partitions that it need not look at: that of the time alone does.
func (s *statement) from(p Page, first bool) {
	if p.From == nil {
		return
	}
	operator := "<"
	if p.Newer {
		operator = ">"
	}
	before := " AND "
	if first {
		before = " WHERE "
	}
	at := s.bind(p.From.Time)
	s.write(before, s.log.time, " ", operator, "= ", at, " AND (", s.log.time, ", id) ", operator, " (", at, ", ", s.bind(p.From.ID), ")")
}

func (s *statement) page(p Page) {
	s.write(" LIMIT ", s.bind(int64(p.Limit)))
	if p.Offset > 0 {
		s.write(" OFFSET ", s.bind(int64(p.Offset)))
	}
}
