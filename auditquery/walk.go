package auditquery

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

// A Shape is what PostgreSQL has to do for a page, as far as it can be told of the
// conditions.
type Shape struct {
	// Several organizations are asked for, whose rows together are in no index.
	Several bool
	// Tested: there are conditions beside the organization and the range of time.
	Tested bool
	// Served is what [Served] says.
	Served bool
	// Ordered: an index has the keys of the whole log, or of each organization that is
	// asked for, in the log's order. Tested is at most a condition that has an index
	// behind the organization.
	Ordered bool
	// Narrow: an index behind the organization finds few rows of each that is asked for.
	Narrow bool
	// Sorted: an index finds the rows and has all of their keys, though not in the
	// log's order. The planner may then sort keys without reading a row, and for rows
	// would rather walk the log by time.
	Sorted bool
}

// ShapeOf is the shape of a search's pages.
func ShapeOf(of Log, authorized sqlgen.Filter, search sqlgen.Predicate) Shape {
	filter := both(authorized, search)
	ids, several, _, tested := of.split(filter)
	sorted := ids == nil && len(tested) == 1 && of.leads(tested[0]) && within(tested[0])
	return Shape{Several: several, Tested: tested != nil, Served: Served(of, authorized, search), Ordered: of.ordered(ids, tested), Narrow: of.narrow(ids, tested), Sorted: sorted}
}

// ordered reports whether an index has each organization's keys in the log's order. For
// a condition that has one behind the organization, many are not asked for one by one:
// what they have together is found sooner.
func (l Log) ordered(ids []uuid.UUID, tested sqlgen.And) bool {
	switch len(tested) {
	case 0:
		return true
	case 1:
		is, _ := l.isBehind(tested[0])
		return is && ids != nil && len(ids) < manyOrganizations
	default:
		return false
	}
}

// narrow reports whether one of the conditions finds few rows of each organization, by an
// index behind it.
func (l Log) narrow(ids []uuid.UUID, tested sqlgen.And) bool {
	if ids == nil || len(ids) >= manyOrganizations {
		return false
	}
	for _, term := range tested {
		if _, narrow := l.isBehind(term); narrow {
			return true
		}
	}
	return false
}

// isBehind reports whether an index behind the organization has the rows of which the
// condition is true, in the log's order, and whether those are few.
func (l Log) isBehind(p sqlgen.Predicate) (is, narrow bool) {
	c, ok := p.(sqlgen.Compare)
	if !ok || c.Op != sqlgen.EQ {
		return false, false
	}
	if _, ok := c.R.(sqlgen.Literal); !ok {
		return false, false
	}
	narrow, is = l.behind[l.column(c.L)]
	return is, narrow
}

// within reports whether the condition is that an address is in a network.
func within(p sqlgen.Predicate) bool {
	holds, ok := p.(sqlgen.Holds)
	if !ok || !holds.Want {
		return false
	}
	call, ok := holds.Of.(sqlgen.Call)
	return ok && call.Of == sqlgen.Within
}

// split takes the conditions apart: the organizations that rows are in, the ranges
// of the indexes that give the log in its order, and what is to be tested on rows.
func (l Log) split(f sqlgen.Filter) (ids []uuid.UUID, several bool, scope, tested sqlgen.And) {
	if f.Result() == sqlgen.ResultNever {
		return nil, false, nil, nil
	}
	ids, rest := l.organizations(f)
	several = len(ids) > 1
	for _, term := range conjuncts(rest) {
		if id, ok := l.organization(term); ok && ids == nil {
			ids = []uuid.UUID{id}
			continue
		}
		if l.scopes(term) {
			scope = append(scope, term)
		} else {
			tested = append(tested, term)
		}
	}
	return ids, several, scope, tested
}

// Rows is a statement that selects the page's rows as they stand, newest first, and
// its arguments, numbered from start. Where few rows are skipped it is quicker than
// [Keys] and what it takes to look the rows up. ok is false when no row can match.
func Rows(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, page Page, start int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever || page.Limit <= 0 {
		return "", nil, false
	}
	page.Offset = max(page.Offset, 0)
	s := statement{log: of, start: start}
	s.write("SELECT ", of.name, ".*", of.from())
	s.matching(" WHERE ", filter)
	s.from(page, filter.Result() == sqlgen.ResultAlways)
	s.write(of.order("", page.backward()))
	s.page(page)
	return s.text.String(), s.args, true
}

// Newest is a statement that selects those of the page's rows, as they stand, that
// are among the newest so many of the log, whatever organization those are of. Where
// they fill the page it is the page; otherwise it may lack some. Arguments are
// numbered from start. ok is false when no row can match.
func Newest(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, page Page, rows, start int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever || page.Limit <= 0 || page.Offset > 0 || rows <= 0 {
		return "", nil, false
	}
	var scope, tested sqlgen.And
	for _, term := range conjuncts(filter) {
		if of.scopes(term) {
			scope = append(scope, term)
		} else {
			tested = append(tested, term)
		}
	}
	s := statement{log: of, start: start}
	s.write("SELECT * FROM (SELECT *", of.from())
	s.where(sqlgen.When(scope))
	s.from(page, scope == nil)
	s.write(of.order("", page.backward()), " LIMIT ", strconv.Itoa(rows), ") AS ", of.name)
	s.matching(" WHERE ", sqlgen.When(tested))
	// Again: a condition that is an EXISTS may become a join, which loses the order.
	s.write(of.order("", page.backward()))
	s.page(page)
	return s.text.String(), s.args, true
}

// Way is how the rows that a walk looks at are chosen.
type Way int

const (
	// ByTime looks at the newest rows, of whatever organization. Of one that is
	// asked for alone it looks at the newest of its own.
	ByTime Way = iota
	// ByOrganization looks at the newest rows of each organization, at an equal part
	// of the budget.
	ByOrganization
)

// Walk is a statement that selects the id and time of the page's rows among no more
// rows than the budget pays for, and two columns more. The third, beyond, is true of
// a row that was not looked at, as the budget ended there. What stands behind the
// first such row is not to be used: the page is to go on at that row. Where there is
// none, all rows were looked at, or enough for the page. The fourth, nth, numbers the
// rows from 1, those that the offset skips among them: [Place.Stop] is told it.
//
// The rows are in the order in which the page is read: oldest first if it is of
// newer rows. Arguments are numbered from start. ok is false when no row can match.
func Walk(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, page Page, way Way, budget, start int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever || page.Limit <= 0 || budget <= 0 {
		return "", nil, false
	}
	page.Offset = max(page.Offset, 0)
	ids, several, scope, tested := of.split(filter)
	if several && way == ByTime {
		tested = append(sqlgen.And{sqlgen.Member{Of: organizationID, Set: listOf(ids)}}, tested...)
		ids, several = nil, false
	}
	share := budget / max(len(ids), 1)
	share = max(share, 1)
	s := statement{log: of, start: start}
	s.write("SELECT ", of.keys(""), ", beyond, nth FROM (SELECT ", of.keys(""), ", beyond, row_number() OVER () AS nth FROM (")
	s.write("SELECT ", of.keys(""), ", looked_at > ", strconv.Itoa(share), " AS beyond FROM (")
	if ids == nil {
		// Of the whole log no other index is tempting, and rows come with their keys.
		s.write("SELECT *, row_number() OVER () AS looked_at FROM (SELECT *", of.from())
		s.where(sqlgen.When(scope))
		s.from(page, scope == nil)
		s.write(of.order("", page.backward()), " LIMIT ", strconv.Itoa(share+1), ") AS newest) AS ", of.name)
		s.write(" WHERE looked_at > ", strconv.Itoa(share), " OR (TRUE")
		s.matching(" AND ", sqlgen.When(tested))
		s.write(")")
	} else {
		s.write("SELECT k.*")
		s.perOrganization(ids)
		s.looked(scope, page, share)
		s.write(") AS k")
		if several {
			s.write(of.order("k", page.backward()))
		}
		s.write(") AS numbered WHERE looked_at > ", strconv.Itoa(share))
		s.write(" OR (SELECT TRUE", of.from(), " WHERE ", of.name, ".id = numbered.id AND ", of.name, ".", of.time, " = numbered.", of.time)
		s.matching(" AND ", sqlgen.When(tested))
		// In a subquery by key, which is neither joined nor hashed: either would be of
		// the whole table.
		s.write(" LIMIT 1)")
	}
	s.write(" LIMIT ", strconv.Itoa(depth(page)), ") AS found) AS page WHERE beyond OR nth > ", strconv.Itoa(page.Offset))
	return s.text.String(), s.args, true
}

// Ahead is a statement that selects the key of the first row behind the place, in the
// page's direction, of the several organizations and the range of time that are asked for, whatever else is.
// A walk by time may end at a row of another organization, of which nothing is to be
// told: it goes on at this one. ok is false when there are no several organizations.
func Ahead(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, page Page, place Place, start int) (text string, args []any, ok bool) {
	ids, several, scope, _ := of.split(both(authorized, search))
	if !several {
		return "", nil, false
	}
	page = Page{Limit: 1, From: &place, Newer: page.backward()}
	s := statement{log: of, start: start}
	s.keysPerOrganization(ids, sqlgen.When(scope), page)
	return s.text.String(), s.args, true
}

// looked are the keys of the rows that a share pays for, and of the one beyond,
// numbered as they are read.
func (s *statement) looked(scope sqlgen.And, page Page, share int) {
	l := s.log
	s.write("SELECT ", l.keys(""), ", row_number() OVER () AS looked_at FROM (SELECT ", l.keys(""), l.from(), " WHERE organization_id = o.id")
	s.and(sqlgen.When(scope))
	s.from(page, false)
	s.write(l.order("", page.backward()), " LIMIT ", strconv.Itoa(share+1), ") AS keys")
}

func listOf(ids []uuid.UUID) sqlgen.Literal {
	all := make([]sqlgen.Literal, len(ids))
	for i, id := range ids {
		all[i] = sqlgen.UUID(id)
	}
	return sqlgen.ListOf(organizationID.Type, all)
}

// A Stop is where a page ended because rows were looked at for long enough.
type Stop struct {
	Place     // behind all rows that were looked at
	Skip  int // of the rows behind it, how many the page's offset has still to skip
}

// Stop is that of a page which ended at the row at p, the nth row of its walk, which
// was not looked at.
func (p Place) Stop(page Page, nth int) Stop {
	next := p.newer()
	if page.backward() {
		next = p.older()
	}
	return Stop{next, max(page.Offset-(nth-1), 0)}
}

// SearchedTo adds the cursor of the page that goes on where one stopped.
func (p Pages) SearchedTo(page Page, at Stop, now time.Time) Pages {
	cursor := &Cursor{From: at.Place, Newer: page.backward(), Skip: at.Skip, Now: now}
	if page.backward() {
		p.Newer = cursor
	} else {
		p.Older = cursor
	}
	return p
}
