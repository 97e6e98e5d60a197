package scale

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/auditquery"
)

const (
	pageRows   = 25
	deepOffset = 10_000
	// nobody has this address: it is one for documentation.
	nobody = "203.0.113.7"
	// nothing is in no name and no target, but its trigrams are.
	nothing = "amber docker template"
	// frequent is the name of a template of each organization.
	frequent = "docker"
)

// A search is what a subject asks, and the same for the other ways.
type search struct {
	name string
	q    string
	page auditquery.Page
	// where is written by hand, of the table l, its values written out; "" is
	// everything. Of an organization it says nothing: org does.
	where string
	org   uuid.UUID // zero: all of the subject's
	fixed fixed
}

// fixed are the values of the conditions of [fixedStatement]; a zero one is none.
type fixed struct {
	resourceType, resourceID, action, username, text, ip string
	from, to                                             time.Time
	atLeast, below                                       int // status
	excluded                                             []string
}

// searches are those of a subject.
func (d *Database) searches(s Subject) []search {
	f := d.facts
	on := func(days int) time.Time { return day.AddDate(0, 0, -days) }
	date := func(t time.Time) string { return t.Format(time.DateOnly) }
	stamp := func(t time.Time) string { return "'" + t.Format(time.RFC3339) + "'" }
	days := func(name string, first, last int) search {
		from, to := on(first), on(last-1).Add(-time.Microsecond)
		return search{
			name: name, q: fmt.Sprintf("date_from:%s date_to:%s", date(on(first)), date(on(last))),
			where: fmt.Sprintf("l.time >= %s AND l.time < %s", stamp(from), stamp(on(last-1))), fixed: fixed{from: from, to: to},
		}
	}
	text := func(name, t string) search {
		return search{name: name, q: fmt.Sprintf("%q", t), where: f.contains(t), fixed: fixed{text: t}}
	}
	behind := auditquery.Place{Time: on(180), ID: uuid.UUID{}}
	const network = "10.20.7.0/24"
	all := []search{
		{name: "everything"},
		{name: "organization", q: "organization:" + f.names[s.middle], org: s.middle},
		{name: "type, frequent", q: "resource_type:workspace_build", where: "l.resource_type = 'workspace_build'", fixed: fixed{resourceType: "workspace_build"}},
		{name: "type, rare", q: "resource_type:custom_role", where: "l.resource_type = 'custom_role'", fixed: fixed{resourceType: "custom_role"}},
		{name: "action, frequent", q: "action:create", where: "l.action = 'create'", fixed: fixed{action: "create"}},
		{
			name: "action, of the site only", q: "action:request_password_reset",
			where: "l.action = 'request_password_reset'", fixed: fixed{action: "request_password_reset"},
		},
		{name: "username", q: "username:" + f.username, where: "l.user_id = " + quote(f.user.String()), fixed: fixed{username: f.username}},
		days("two recent days", 3, 2),
		days("a week, a year old", 364, 358),
		{name: "address of nobody", q: "ip:" + nobody, where: "l.ip = " + quote(nobody), fixed: fixed{ip: nobody}},
		{name: "network", q: "ip:" + network, where: fmt.Sprintf("l.ip <<= '%s'::inet", network), fixed: fixed{ip: network}},
		text("text, in nothing", nothing),
		text("text, in few", f.rare),
		text("text, in many", frequent),
		{name: "resource", q: "resource_id:" + f.resource.String(), where: "l.resource_id = " + quote(f.resource.String()), fixed: fixed{resourceID: f.resource.String()}},
		{
			name: "type, action and user", q: "resource_type:document action:delete username:" + f.username,
			where: "l.resource_type = 'document' AND l.action = 'delete' AND l.user_id = " + quote(f.user.String()),
			fixed: fixed{resourceType: "document", action: "delete", username: f.username},
		},
		{
			name: "type and action, never together", q: "resource_type:workspace_build action:create",
			where: "l.resource_type = 'workspace_build' AND l.action = 'create'", fixed: fixed{resourceType: "workspace_build", action: "create"},
		},
		{
			name: "text and failures of a month", q: frequent + " status_code:>=500 date_from:" + date(on(90)) + " date_to:" + date(on(60)),
			where: "l.status_code >= 500 AND l.time >= " + stamp(on(90)) + " AND l.time < " + stamp(on(59)) +
				" AND " + f.contains(frequent),
			fixed: fixed{text: frequent, atLeast: 500, from: on(90), to: on(59).Add(-time.Microsecond)},
		},
		{
			name: "exclusions", q: "-action:start -action:stop", where: "l.action <> ALL('{start,stop}')",
			fixed: fixed{excluded: []string{"start", "stop"}},
		},
		{
			name: "what no row is, and no index has", q: "-action:start status_code:<100", where: "l.action <> 'start' AND l.status_code < 100",
			fixed: fixed{excluded: []string{"start"}, below: 100},
		},
		{name: fmt.Sprintf("everything, offset %d", deepOffset), page: auditquery.Page{Offset: deepOffset}},
		{
			name: "everything, by cursor half a year back", page: auditquery.Page{From: &behind},
			where: fmt.Sprintf("l.time <= %s AND (l.time, l.id) < (%[1]s, '%s')", stamp(behind.Time), behind.ID), fixed: fixed{to: behind.Time},
		},
	}
	for i := range all {
		all[i].page.Limit = pageRows + 1 // as the server asks: the row beyond tells of another page
	}
	return all
}

// contains is the condition on a text, where its users are known, as the server
// knows them.
func (f facts) contains(text string) string {
	ids := make([]string, len(f.users[text]))
	for i, id := range f.users[text] {
		ids[i] = id.String()
	}
	return fmt.Sprintf("(l.resource_target ILIKE %s OR l.user_id = ANY('{%s}'))", quote(auditquery.LikePattern(text)), strings.Join(ids, ","))
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
