package auditquery

import (
	"math"
	"strconv"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

// CappedCount is a statement that counts the rows found up to cap + 1, which
// says that there are more than cap; a cap of 0 or less counts them all. Its
// arguments are numbered from 1. ok is false when no row can match: the count is
// 0 then.
//
// It has no order and no join: an order would pin the index to walk. The cap
// bounds what is found, not what is looked at: see [Served].
func CappedCount(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, cap int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever {
		return "", nil, false
	}
	s := statement{log: of, start: 1}
	if cap <= 0 || cap == math.MaxInt {
		s.write("SELECT count(*)", of.from())
		s.where(filter)
		return s.text.String(), s.args, true
	}
	ids, _, _, tested := of.split(filter)
	s.write("SELECT count(*) FROM (SELECT 1")
	if most := strconv.Itoa(cap + 1); len(ids) >= manyOrganizations && tested == nil {
		_, rest := of.organizations(filter)
		s.perOrganization(ids)
		s.write("SELECT", of.from(), " WHERE organization_id = o.id")
		s.and(rest)
		s.write(" LIMIT ", most, ") AS of_one")
	} else if len(ids) > 1 && len(ids) < manyOrganizations && of.joins(ids, tested) {
		// Joined, PostgreSQL does not estimate each of them in each partition, and takes
		// the organizations one by one until there are enough.
		_, rest := of.organizations(filter)
		s.write(" FROM unnest(", s.bind(ids), "::uuid[]) AS asked(organization) JOIN ", of.named(), " ON organization_id = organization")
		s.where(rest)
	} else {
		s.write(of.from())
		s.matching(" WHERE ", filter)
	}
	// a constant: it is one for all, and the planner must see it
	s.write(" LIMIT ", strconv.Itoa(cap+1), ") AS capped")
	return s.text.String(), s.args, true
}

// BudgetedCount is a statement that counts the rows found up to cap + 1, as
// [CappedCount] does, among no more than the newest rows that its budget pays for.
// It selects the count, and whether there are older rows that it did not look at
// and that could make it greater: the count is a lower bound then. Its arguments
// are numbered from 1. ok is false when no row can match, and when the cap or the
// budget is not positive.
//
// The rows are those of the organizations and the range of time that are asked
// for, which one index gives in their order; the other conditions are tested on
// each. Of several organizations each gets an equal part of the budget, since the
// newest rows of all of them together are in no index; of very many the newest rows
// of the log are looked at, most of which are theirs.
func BudgetedCount(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, cap, budget int) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever || cap <= 0 || cap == math.MaxInt || budget <= 0 || budget == math.MaxInt {
		return "", nil, false
	}
	// One organization is asked for as several are: with its value in hand the
	// planner may walk the time index for a large one, and past the rows of all
	// others for as long as it is quiet.
	ids, _, scope, tested := of.split(filter)
	if len(ids) >= manyOrganizations && tested != nil {
		ids, tested = nil, append(sqlgen.And{sqlgen.Member{Of: organizationID, Set: listOf(ids)}}, tested...)
	}
	if tested == nil {
		text, args, ok = CappedCount(of, authorized, search, cap)
		return "SELECT count, false FROM (" + text + ") AS counted", args, ok
	}
	// Each share needs a mark: the first row that it does not pay for, which is
	// let through as proof that there is one. Rows are numbered as they are read,
	// and no more are looked at than it takes to reach the cap.
	shares := max(len(ids), 1)
	share := (budget + shares - 1) / shares
	number, most := strconv.Itoa(share), strconv.Itoa(cap+1)
	s := statement{log: of, start: 1}
	found := "count(*) FILTER (WHERE looked_at <= " + number + ")"
	s.write("SELECT least(", found, ", ", most, "), ", found, " < ", most, " AND ", found, " < count(*) FROM (")
	if ids == nil {
		s.newest(ids, scope, tested, share)
	} else {
		s.write("SELECT looked_at")
		s.perOrganization(ids)
		s.newest(ids, scope, tested, share)
		s.write(") AS newest")
	}
	s.write(" LIMIT ", strconv.Itoa(cap+shares), ") AS found")
	return s.text.String(), s.args, true
}

// newest are the numbers of those of the scope's newest rows that are found, and
// of the first beyond the share.
//
// Keys first: in the index that has them in order and needs no row, so that no
// other plan is tempting. Then each row by its key, and in a subquery that is
// neither joined nor hashed, as either would be of the whole table.
func (s *statement) newest(ids []uuid.UUID, scope, tested sqlgen.And, share int) {
	l := s.log
	s.write("SELECT looked_at FROM (SELECT ", l.keys(""), ", row_number() OVER () AS looked_at FROM (SELECT ", l.keys(""), l.from())
	if ids != nil {
		s.write(" WHERE organization_id = o.id")
		s.and(sqlgen.When(scope))
	} else {
		s.where(sqlgen.When(scope))
	}
	s.write(l.order("", false), " LIMIT ", strconv.Itoa(share+1), ") AS keys) AS numbered WHERE looked_at > ", strconv.Itoa(share))
	s.write(" OR (SELECT TRUE", l.from(), " WHERE ", l.name, ".id = numbered.id AND ", l.name, ".", l.time, " = numbered.", l.time)
	s.matching(" AND ", sqlgen.When(tested))
	s.write(")")
}

// organization is that of a condition organization_id = one.
func (l Log) organization(p sqlgen.Predicate) (id uuid.UUID, ok bool) {
	c, ok := p.(sqlgen.Compare)
	if !ok || c.Op != sqlgen.EQ || !l.own(c.L, organizationID.Name) {
		return id, false
	}
	literal, ok := c.R.(sqlgen.Literal)
	if !ok {
		return id, false
	}
	id, ok = literal.Value.(uuid.UUID)
	return id, ok
}

// scopes reports whether the condition is a range of the indexes that give the log
// in its order: of time, or one organization.
func (l Log) scopes(p sqlgen.Predicate) bool {
	c, ok := p.(sqlgen.Compare)
	if !ok || c.Op == sqlgen.NE {
		return false
	}
	_, isLiteral := c.R.(sqlgen.Literal)
	return isLiteral && (l.own(c.L, l.time) || c.Op == sqlgen.EQ && l.own(c.L, organizationID.Name))
}

// Served reports whether few rows are looked at to count few: there is an index
// that one of the conditions leads, or none that it would have to lead. Otherwise a
// [CappedCount] of what few rows satisfy looks at all of the caller's rows, and a
// [BudgetedCount] is called for. It is a rule of thumb: where a condition leads an
// index, and most rows satisfy it, others may yet be tested on all of those.
func Served(of Log, authorized sqlgen.Filter, search sqlgen.Predicate) bool {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever {
		return true
	}
	_, rest := of.organizations(filter)
	tested := false
	for _, term := range conjuncts(rest) {
		if of.scopes(term) {
			continue
		}
		if of.leads(term) {
			return true
		}
		tested = true
	}
	return !tested
}

// joins reports whether organizations are better joined than asked for as an array:
// where an index behind each finds few rows, or no other is narrower than their own.
func (l Log) joins(ids []uuid.UUID, tested sqlgen.And) bool {
	if l.narrow(ids, tested) {
		return true
	}
	behind := 0
	for _, term := range tested {
		is, _ := l.isBehind(term)
		switch {
		case is:
			behind++
		case l.leads(term):
			return false
		}
	}
	return behind <= 1 // of two the indexes are combined
}

// leads reports whether an index finds the rows of which the condition is true.
func (l Log) leads(p sqlgen.Predicate) bool {
	indexed := func(e sqlgen.Expr) bool { return l.indexes[l.column(e)] }
	switch p := p.(type) {
	case sqlgen.Compare:
		atLeast, isInt := p.R.(sqlgen.Literal)
		if n, ok := atLeast.Value.(int64); isInt && ok && l.own(p.L, statusCode.Name) {
			return p.Op == sqlgen.GE && n >= 400 || p.Op == sqlgen.GT && n >= 399 || p.Op == sqlgen.EQ && n >= 400
		}
		return p.Op != sqlgen.NE && indexed(p.L)
	case sqlgen.Member:
		return indexed(p.Of)
	case sqlgen.Null: // what is still on has an index of its own
		return l.own(p.Of, disconnectTime.Name)
	case sqlgen.Holds:
		return within(p) && indexed(p.Of.(sqlgen.Call).Args[0])
	case sqlgen.Match: // a trigram index
		return indexed(p.Of)
	case sqlgen.Or:
		for _, q := range p {
			if !l.leads(q) {
				return false
			}
		}
		return true
	case sqlgen.And:
		for _, q := range p {
			if l.leads(q) {
				return true
			}
		}
	}
	return false
}
