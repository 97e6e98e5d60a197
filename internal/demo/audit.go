package demo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

var auditColumns = []string{
	"id", "time", "user_id", "organization_id", "resource_type", "resource_id", "resource_target", "resource_icon",
	"resource_link", "action", "diff", "status_code", "additional_fields", "request_id", "ip", "user_agent", "build_reason",
}

const (
	// Once in so many rows the actor is a user who was deleted since.
	deletedUserOneIn = 100
	deletedUsers     = 30
	failureOneIn     = 25

	dormantDays = 183
	// Logs of a dormant organization: one in so many of all, and at least so many.
	dormantOneIn   = 10_000
	dormantAtLeast = 12

	meterEvery = 1000
)

// auditLogs makes audit logs in the order of time, one at a time; a
// pgx.CopyFromSource.
type auditLogs struct {
	w       *world
	r       *rand.Rand
	clock   *clock
	meter   *meter
	n, rows int
	stride  int // of the rows of dormant organizations
	quiet   time.Time
	row     []any
}

func newAuditLogs(w *world, rows int, m *meter) *auditLogs {
	// In a small log they are not to be all of its first half.
	each := min(max(rows/dormantOneIn, dormantAtLeast), rows/16)
	return &auditLogs{
		w: w, r: w.random(kindAuditLog), clock: newClock(w.day), meter: m, rows: rows,
		stride: rows / 2 / each, quiet: w.day.AddDate(0, 0, -dormantDays), row: make([]any, len(auditColumns)),
	}
}

func (s *auditLogs) Err() error { return nil }

func (s *auditLogs) Next() bool {
	if s.n%meterEvery == 0 {
		s.meter.set(s.n)
	}
	s.n++
	return s.n <= s.rows
}

func (s *auditLogs) Values() ([]any, error) {
	r, i := s.r, s.n-1
	at := s.clock.at((float64(i) + r.Float64()) / float64(s.rows))
	e := &events[eventMix.pick(r)]
	scene := scene{w: s.w, r: r, org: s.organization(i, at)}
	scene.actor = scene.org.actor(r, s.w.many)
	subject := e.subject(&scene)
	failed := chance(r, failureOneIn) || e.action == "login" && chance(r, 12)
	status := e.status
	if failed {
		status = oneOf(r, []int{400, 401, 403, 403, 404, 409, 500})
	}

	var (
		org, resource, request = &scene.org.id, subject.id, new(s.w.id(kindRequest, i))
		user                   = &scene.actor.id
		agent                  = new(scene.actor.agent(r))
		address                = new(scene.actor.address(r))
		reason                 *string
		diff, more             = []byte("{}"), []byte("{}")
	)
	if e.diff != nil && !failed {
		diff = e.diff(&scene, subject)
	}
	if e.site {
		org = nil
	}
	switch {
	case e.action == "login" && failed:
		status = 401
		if chance(r, 2) { // no user has the name that was tried
			user = nil
		}
	case chance(r, deletedUserOneIn):
		user = new(s.w.id(kindDeletedUser, r.IntN(deletedUsers)))
	}
	if e.resourceType == "workspace_build" {
		reason = new(buildReasons[buildMix.pick(r)])
		if *reason == "autostart" || *reason == "autostop" { // by the server itself
			request, address, agent = nil, (*netip.Prefix)(nil), nil
		}
		more = fmt.Appendf(nil, `{"workspace_name": %q, "build_number": "%d", "build_reason": %q}`, subject.name, 1+r.IntN(400), *reason)
	}
	row := s.row[:0]
	row = append(row, nullable(new(s.w.id(kindAuditLog, i))), at, nullable(user), nullable(org), e.resourceType, nullable(resource),
		subject.name, subject.icon, subject.link, e.action, diff, status, more, nullable(request), address, agent, reason)
	return row, nil
}

// nullable is the id in the form that pgx encodes without a detour over text,
// which was half the time of the client.
func nullable(id *uuid.UUID) pgtype.UUID {
	if id == nil {
		return pgtype.UUID{}
	}
	return pgtype.UUID{Bytes: *id, Valid: true}
}

// organization is where row i happened: one by its share, or in the older half
// of the logs, at every stride, a dormant one.
func (s *auditLogs) organization(i int, at time.Time) *organization {
	if at.Before(s.quiet) {
		active := len(s.w.orgs) - dormantCount
		for n := range dormantCount {
			if i%s.stride == n*s.stride/dormantCount {
				return s.w.orgs[active+n]
			}
		}
	}
	return s.w.orgs[s.w.busy.pick(s.r)]
}

// actor is a member, in a large world rather one of the first.
func (o *organization) actor(r *rand.Rand, skewed bool) *user {
	if !skewed {
		return oneOf(r, o.members)
	}
	f := r.Float64()
	return o.members[int(f*f*f*float64(len(o.members)))]
}

// A scene is where something happens, and who does it.
type scene struct {
	w     *world
	r     *rand.Rand
	org   *organization
	actor *user
}

// A subject is what it is done to.
type subject struct {
	id               *uuid.UUID // nil: it has none
	name, icon, link string
}

// An event is something that happens.
type event struct {
	weight               float64
	resourceType, action string
	status               int  // if it succeeds
	site                 bool // it belongs to no organization
	subject              func(*scene) subject
	diff                 func(*scene, subject) []byte // nil: it changes nothing
}

var events = []event{
	{220, "workspace_build", "start", 201, false, ofWorkspace, nil},
	{180, "workspace_build", "stop", 201, false, ofWorkspace, nil},
	{30, "workspace", "create", 201, false, ofWorkspace, createdWorkspace},
	{50, "workspace", "update", 200, false, ofWorkspace, changedSchedule},
	{20, "workspace", "delete", 200, false, ofWorkspace, nil},
	{90, "workspace_app", "open", 200, false, ofApp, nil},
	{90, "workspace_agent", "connect", 200, false, ofWorkspace, nil},
	{80, "workspace_agent", "disconnect", 200, false, ofWorkspace, nil},
	{12, "template", "create", 201, false, ofTemplate, nil},
	{40, "template", "update", 200, false, ofTemplate, changedTemplate},
	{45, "template_version", "create", 201, false, ofTemplate, nil},
	{60, "document", "create", 201, false, ofDocument, nil},
	{70, "document", "update", 200, false, ofDocument, changedTitle},
	{15, "document", "delete", 204, false, ofDocument, nil},
	{12, "group", "update", 200, false, ofGroup, nil},
	{15, "organization_member", "create", 201, false, ofMember, nil},
	{8, "organization_member", "update", 200, false, ofMember, changedRoles},
	{6, "organization_member", "delete", 204, false, ofMember, nil},
	{25, "git_ssh_key", "update", 200, false, ofKey, changedKey},
	{20, "api_key", "create", 201, false, ofKey, createdKey},
	{10, "api_key", "delete", 204, false, ofKey, nil},
	{8, "user", "update", 200, false, ofUser, changedPassword},
	{1, "oauth2_provider_app_secret", "create", 201, false, ofTemplate, createdKey},
	{0.1, "custom_role", "update", 200, false, ofGroup, nil},

	{25, "api_key", "login", 201, true, ofNothing, nil},
	{9, "api_key", "logout", 200, true, ofNothing, nil},
	{3, "user", "create", 201, true, ofUser, nil},
	{1, "user", "request_password_reset", 204, true, ofUser, nil},
	{0.3, "license", "create", 201, true, ofLicense, nil},
	{0.3, "health_settings", "update", 200, true, ofNothing, nil},
}

var eventMix = newPicker(len(events), func(i int) float64 { return events[i].weight })

var (
	buildReasons = []string{"initiator", "autostart", "autostop", "dashboard", "cli", "dormancy", "autodelete"}
	buildMix     = newPicker(len(buildReasons), func(i int) float64 { return []float64{50, 15, 20, 8, 5, 1.5, 0.5}[i] })
)

func ofWorkspace(s *scene) subject {
	ws := s.w.workspace(s.org, s.actor, s.r.IntN(workspacesPerUser))
	return subject{&ws.id, ws.name, "/icon/workspace.svg", "/@" + s.actor.username + "/" + ws.name}
}

func ofApp(s *scene) subject {
	of := ofWorkspace(s)
	of.name = oneOf(s.r, slugs)
	of.link += "/apps/" + of.name
	return of
}

func ofTemplate(s *scene) subject {
	n := s.r.IntN(len(templateNames))
	id, name := s.w.id(kindTemplate, int(s.org.id[0])*len(templateNames)+n), templateNames[n]
	return subject{&id, name, "/icon/" + name + ".svg", "/templates/" + s.org.name + "/" + name}
}

func ofDocument(s *scene) subject {
	id := s.w.id(kindDocument, s.r.IntN(documentCount))
	return subject{&id, documentTitle(id), "", "/documents/" + id.String()}
}

func ofGroup(s *scene) subject {
	g := oneOf(s.r, s.org.groups)
	return subject{&g.id, g.name, "", "/organizations/" + s.org.name + "/groups/" + g.name}
}

func ofMember(s *scene) subject {
	u := oneOf(s.r, s.org.members)
	return subject{&u.id, u.username, "", "/organizations/" + s.org.name + "/members"}
}

func ofUser(s *scene) subject { return subject{&s.actor.id, s.actor.username, "", "/users"} }

func ofKey(s *scene) subject { return subject{id: &s.actor.id, name: s.actor.username} }

func ofNothing(*scene) subject { return subject{} }

func ofLicense(s *scene) subject {
	return subject{id: new(s.w.id(kindOther, s.r.IntN(50))), name: "license"}
}

// The values are ours: letters, digits and what JSON does not escape.
const changed = `{%q: {"old": %q, "new": %q, "secret": %t}}`

func createdWorkspace(s *scene, of subject) []byte {
	return fmt.Appendf(nil, `{"name": {"old": "", "new": %q, "secret": false}, "owner_id": {"old": "", "new": %q, "secret": false},
		"ttl": {"old": null, "new": %d, "secret": false}}`, of.name, s.actor.id, 3600*(1+s.r.IntN(12)))
}

func changedSchedule(s *scene, _ subject) []byte {
	return fmt.Appendf(nil, changed, "autostart_schedule", "", fmt.Sprintf("CRON_TZ=UTC %d %d * * 1-5", s.r.IntN(60), 6+s.r.IntN(4)), false)
}

func changedTemplate(s *scene, _ subject) []byte {
	old := s.r.IntN(40)
	return fmt.Appendf(nil, `{"active_version": {"old": "v%d", "new": "v%d", "secret": false},
		"deprecated": {"old": false, "new": %t, "secret": false}}`, old, old+1, chance(s.r, 20))
}

func changedTitle(s *scene, of subject) []byte {
	return fmt.Appendf(nil, changed, "title", title(oneOf(s.r, adjectives)+" draft"), of.name, false)
}

func changedRoles(_ *scene, _ subject) []byte {
	return []byte(`{"roles": {"old": [], "new": ["organization-auditor"], "secret": false}}`)
}

// The values of secret fields are stored here, as careless writers do: the
// server is to hide them.
func changedPassword(s *scene, of subject) []byte {
	return fmt.Appendf(nil, `{"email": {"old": %q, "new": %q, "secret": false},
		"hashed_password": {"old": "demo-secret-%d", "new": "demo-secret-%d", "secret": true}}`,
		of.name+"@example.org", of.name+"@example.com", s.r.Uint32(), s.r.Uint32())
}

func changedKey(s *scene, _ subject) []byte {
	return fmt.Appendf(nil, `{"public_key": {"old": "ssh-ed25519 %08x", "new": "ssh-ed25519 %08x", "secret": false},
		"private_key": {"old": "demo-secret-%d", "new": "demo-secret-%d", "secret": true}}`,
		s.r.Uint32(), s.r.Uint32(), s.r.Uint32(), s.r.Uint32())
}

func createdKey(s *scene, _ subject) []byte {
	return fmt.Appendf(nil, changed, "hashed_secret", "", fmt.Sprintf("demo-secret-%d", s.r.Uint32()), true)
}
