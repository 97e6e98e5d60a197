package auditquery

import (
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

// Page says which of the rows found are wanted, newest first.
type Page struct {
	Limit  int // rows at most; 0 or less is none
	Offset int // rows to skip; 0 or less is none
}

// Keys is a statement that selects the id and time of the page's rows, newest
// first (time DESC, id DESC), and its arguments, numbered from start. ok is
// false when no row can match: there is nothing to ask then.
//
// Only keys, because they are in the index: rows are fetched by id once ordering
// and skipping are done. The table's name is written as it stands: it is the
// program's, never a user's. A statement with an array argument has to be
// planned with its values (plan_cache_mode = force_custom_plan, or no prepared
// statement).
func Keys(table string, authorized sqlgen.Filter, search sqlgen.Predicate, page Page, start int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever || page.Limit <= 0 {
		return "", nil, false
	}
	page.Offset = max(page.Offset, 0)
	if ids, rest := organizations(filter); len(ids) > 1 && len(ids) <= maxLateralKeys/depth(page) {
		text, args = keysPerOrganization(table, ids, rest, page, start)
		return text, args, true
	}
	s := statement{start: start}
	s.write("SELECT id, time", from(table))
	s.where(filter)
	s.write(" ORDER BY time DESC, id DESC")
	s.page(page)
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

// organizations are those of a condition organization_id = ANY(several), alone
// or beside other conditions, and these.
func organizations(f sqlgen.Filter) (ids []uuid.UUID, rest sqlgen.Filter) {
	terms, ok := f.Predicate().(sqlgen.And)
	if !ok {
		terms = sqlgen.And{f.Predicate()}
	}
	for i, t := range terms {
		m, ok := t.(sqlgen.Member)
		if !ok {
			continue
		}
		column, isColumn := m.Of.(sqlgen.Column)
		set, isLiteral := m.Set.(sqlgen.Literal)
		if !isColumn || !isLiteral || column.Name != organizationID.Name || column.Table != "" && column.Table != logs {
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

// keysPerOrganization reads each organization's newest keys in the order of its
// index, so that no more than organizations × depth of them are sorted.
func keysPerOrganization(table string, ids []uuid.UUID, rest sqlgen.Filter, page Page, start int) (string, []any) {
	s := statement{start: start}
	s.write("SELECT k.id, k.time FROM unnest(", s.bind(ids), "::uuid[]) AS o(id) CROSS JOIN LATERAL (",
		"SELECT id, time", from(table), " WHERE organization_id = o.id")
	s.and(rest)
	s.write(" ORDER BY time DESC, id DESC LIMIT ", s.bind(int64(depth(page))))
	s.write(") AS k ORDER BY k.time DESC, k.id DESC")
	s.page(page)
	return s.text.String(), s.args
}

// CappedCount is a statement that counts the rows found up to cap + 1, which
// says that there are more than cap; a cap of 0 or less counts them all. Its
// arguments are numbered from 1. ok is false when no row can match: the count is
// 0 then.
//
// It has no order and no join: an order would pin the index to walk.
func CappedCount(table string, authorized sqlgen.Filter, search sqlgen.Predicate, cap int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever {
		return "", nil, false
	}
	s := statement{start: 1}
	if cap <= 0 || cap == math.MaxInt {
		s.write("SELECT count(*)", from(table))
		s.where(filter)
		return s.text.String(), s.args, true
	}
	s.write("SELECT count(*) FROM (SELECT 1", from(table))
	s.where(filter)
	// a constant: it is one for all, and the planner must see it
	s.write(" LIMIT ", strconv.Itoa(cap+1), ") AS capped")
	return s.text.String(), s.args, true
}

// both simplifies the two conditions together, so that a search for one of a
// caller's organizations asks for that one alone.
func both(authorized sqlgen.Filter, search sqlgen.Predicate) sqlgen.Filter {
	if search == nil {
		return sqlgen.Never()
	}
	return sqlgen.When(sqlgen.And{authorized.Predicate(), search})
}

// from names the table as conditions do.
func from(table string) string {
	if table == logs {
		return " FROM " + logs
	}
	return " FROM " + table + " AS " + logs
}

// A statement collects text and the arguments of its placeholders.
type statement struct {
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

func (s *statement) page(p Page) {
	s.write(" LIMIT ", s.bind(int64(p.Limit)))
	if p.Offset > 0 {
		s.write(" OFFSET ", s.bind(int64(p.Offset)))
	}
}
