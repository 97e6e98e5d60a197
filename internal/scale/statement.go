package scale

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// A statement is one way to ask, or a part of it.
type statement struct {
	sql  string
	args []any
}

// columns are what the server reads of a row.
const (
	columns = `l.id, l.request_id, l.time, l.organization_id, l.ip, coalesce(l.user_agent, ''),
	l.resource_type, l.resource_id, l.resource_target, l.resource_icon, l.resource_link,
	l.action, l.diff, l.status_code, l.additional_fields, l.user_id,
	o.id, coalesce(o.name, ''), coalesce(o.display_name, ''), coalesce(o.icon, '')`
	newestFirst = " ORDER BY l.time DESC, l.id DESC"
	countCap    = 2000
)

// where joins conditions.
func where(conditions ...string) string {
	var all []string
	for _, c := range conditions {
		if c != "" {
			all = append(all, c)
		}
	}
	if all == nil {
		return ""
	}
	return " WHERE " + strings.Join(all, " AND ")
}

func limit(s search) string {
	text := " LIMIT " + strconv.Itoa(s.page.Limit)
	if s.page.Offset > 0 {
		text += " OFFSET " + strconv.Itoa(s.page.Offset)
	}
	return text
}

// scope is which organizations a person who writes SQL asks for: none are all.
func scope(who Subject, s search) []uuid.UUID {
	if s.org != uuid.Nil {
		return []uuid.UUID{s.org}
	}
	return who.orgs
}

// flat lists rows as they are first thought of; deferred takes the keys first.
func flat(s search, condition string) string {
	return "SELECT " + columns + " FROM audit_logs AS l LEFT JOIN organizations AS o ON o.id = l.organization_id" +
		where(condition, s.where) + newestFirst + limit(s)
}

func deferred(keys string) string {
	return "WITH page AS MATERIALIZED (" + keys + ") SELECT " + columns +
		" FROM page JOIN audit_logs AS l ON l.id = page.id AND l.time = page.time LEFT JOIN organizations AS o ON o.id = l.organization_id" + newestFirst
}

func keys(s search, condition string) string {
	return "SELECT l.id, l.time FROM audit_logs AS l" + where(condition, s.where) + newestFirst + limit(s)
}

// byHand are the best ways that we know of to write the list, and the count.
func byHand(who Subject, s search) (lists, counts []statement) {
	orgs := scope(who, s)
	condition, args := "", []any(nil)
	switch len(orgs) {
	case 0:
	case 1:
		condition, args = "l.organization_id = $1", []any{orgs[0]}
	default:
		condition, args = "l.organization_id = ANY($1)", []any{orgs}
	}
	lists = []statement{{flat(s, condition), args}, {deferred(keys(s, condition)), args}}
	counts = []statement{{countOf(s, condition), args}}
	if len(orgs) > 1 {
		depth := strconv.Itoa(s.page.Limit + s.page.Offset)
		lists = append(lists, statement{deferred("SELECT k.id, k.time FROM unnest($1::uuid[]) AS g(id) CROSS JOIN LATERAL (" +
			"SELECT l.id, l.time FROM audit_logs AS l" + where("l.organization_id = g.id", s.where) + newestFirst + " LIMIT " + depth +
			") AS k ORDER BY k.time DESC, k.id DESC" + limit(s)), args})
		counts = append(counts, statement{"SELECT count(*) FROM (SELECT 1 FROM unnest($1::uuid[]) AS g(id) JOIN audit_logs AS l ON l.organization_id = g.id" +
			where(uncut(s).where) + " LIMIT " + strconv.Itoa(countCap+1) + ") AS capped", args})
	}
	return lists, counts
}

func countOf(s search, condition string) string {
	return "SELECT count(*) FROM (SELECT 1 FROM audit_logs AS l" + where(condition, uncut(s).where) + " LIMIT " + strconv.Itoa(countCap+1) + ") AS capped"
}

// uncut is the search that a count is of: all pages.
func uncut(s search) search {
	if s.page.From != nil {
		s.where = ""
	}
	return s
}

// byRole are the list and the count where row-level security authorizes.
func byRole(s search) (lists, counts []statement) {
	condition, args := "", []any(nil)
	if s.org != uuid.Nil {
		condition, args = "l.organization_id = $1", []any{s.org}
	}
	return []statement{{flat(s, condition), args}, {deferred(keys(s, condition)), args}}, []statement{{countOf(s, condition), args}}
}

// fixedStatement lists and counts at once, with all conditions that there can be,
// and uuids as text: the way of a page that took a minute.
const fixedStatement = `SELECT ` + columns + `, u.username, count(*) OVER ()
FROM audit_logs AS l
LEFT JOIN users AS u ON u.id = l.user_id
LEFT JOIN organizations AS o ON o.id = l.organization_id
WHERE CASE WHEN $1 = '' THEN TRUE ELSE l.resource_type = $1 END
	AND CASE WHEN $2 = '' THEN TRUE ELSE l.resource_id::text = $2 END
	AND CASE WHEN $3 = '' THEN TRUE ELSE l.organization_id::text = $3 END
	AND CASE WHEN $4 = '' THEN TRUE ELSE l.action = $4 END
	AND CASE WHEN $5 = '' THEN TRUE ELSE lower(u.username) = lower($5) END
	AND CASE WHEN $6 = '' THEN TRUE ELSE l.resource_target ILIKE '%' || $6 || '%' OR u.username ILIKE '%' || $6 || '%' END
	AND CASE WHEN $7 = '' THEN TRUE ELSE l.ip <<= $7::inet END
	AND CASE WHEN $8::timestamptz = '0001-01-01Z' THEN TRUE ELSE l.time >= $8 END
	AND CASE WHEN $9::timestamptz = '0001-01-01Z' THEN TRUE ELSE l.time <= $9 END
	AND CASE WHEN $10 = 0 THEN TRUE ELSE l.status_code >= $10 END
	AND CASE WHEN $11 = 0 THEN TRUE ELSE l.status_code < $11 END
	AND CASE WHEN $12::text[] = '{}' THEN TRUE ELSE l.action <> ALL($12) END
	AND CASE WHEN $13::text[] = '{}' THEN TRUE ELSE coalesce(l.organization_id::text, '') = ANY($13) END
ORDER BY l.time DESC, l.id DESC LIMIT $14 OFFSET $15`

func byFixed(who Subject, s search) statement {
	texts := func(ids []uuid.UUID) []string {
		all := []string{}
		for _, id := range ids {
			all = append(all, id.String())
		}
		return all
	}
	f, org := s.fixed, ""
	if s.org != uuid.Nil {
		org = s.org.String()
	}
	excluded := append([]string{}, f.excluded...)
	return statement{fixedStatement, []any{
		f.resourceType, f.resourceID, org, f.action, f.username, f.text, f.ip, f.from, f.to, f.atLeast, f.below, excluded,
		texts(who.orgs), s.page.Limit, s.page.Offset,
	}}
}

func (s statement) String() string { return fmt.Sprintf("%s %v", s.sql, s.args) }
