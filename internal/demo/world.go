package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	usersPerOrganization = 10
	// The last organizations have tiny logs, and none in the last half year.
	dormantCount = 2
	// The share of an organization is 1/rank^skew of the largest one's: of 50 the
	// largest has 4 logs in 10, of 1,000 with the skew of many 1 in 4.
	logSkew     = 1.5
	logSkewMany = 1.25
	memberSkew  = 0.8
	// In a world of many organizations some members do much more than others.
	manyOrganizations = 200
)

// A kind is a namespace of ids, and a stream of random numbers.
type kind uint64

const (
	kindPopulation kind = iota + 1
	kindOrganization
	kindUser
	kindGroup
	kindRole
	kindSession
	kindDocument
	kindConnectionLog
	kindAuditLog
	kindRequest
	kindWorkspace
	kindTemplate
	kindDeletedUser
	kindOther
)

// A world is all that the logs speak of. It is small; the logs are not kept.
type world struct {
	seed  uint64
	day   time.Time // the logs end here
	orgs  []*organization
	users []*user
	// The organizations that the demo's org-auditor audits, and those that its
	// member is in.
	audited, joined []*organization
	busy            picker // of orgs, by their share of the logs
	many            bool   // organizations
}

type organization struct {
	id          uuid.UUID
	name, title string
	created     time.Time
	members     []*user
	groups      []*group
}

type group struct {
	id      uuid.UUID
	name    string
	members []*user
}

type user struct {
	id                    uuid.UUID
	username, name        string
	created, seen         time.Time
	status, login         string
	roles                 []string // for the site
	memberships           []membership
	office, home, browser int // of addresses and userAgents
}

type membership struct {
	org   *organization
	roles []string
}

// id is the n-th of its kind, a random (version 4) UUID to look at.
func (w *world) id(k kind, n int) uuid.UUID {
	var source rand.PCG
	source.Seed(w.seed^uint64(k)<<56, uint64(n))
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], source.Uint64())
	binary.BigEndian.PutUint64(id[8:], source.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// random are the numbers that rows of a kind are made of.
func (w *world) random(k kind) *rand.Rand { return rand.New(rand.NewPCG(w.seed, uint64(k))) }

// A picker picks an index by weight.
type picker []float64 // cumulative weights

func newPicker(n int, weight func(int) float64) picker {
	p := make(picker, n)
	var sum float64
	for i := range p {
		sum += weight(i)
		p[i] = sum
	}
	return p
}

func (p picker) pick(r *rand.Rand) int {
	i, _ := slices.BinarySearch(p, r.Float64()*p[len(p)-1])
	return min(i, len(p)-1)
}

func skewed(n int, skew float64) picker {
	return newPicker(n, func(i int) float64 { return math.Pow(float64(i+1), -skew) })
}

func oneOf[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// chance is true once in n.
func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

func newWorld(seed uint64, day time.Time, organizations int) *world {
	w := &world{seed: seed, day: day}
	if w.many = organizations >= manyOrganizations; w.many {
		w.busy = skewed(organizations-dormantCount, logSkewMany)
	} else {
		w.busy = skewed(organizations-dormantCount, logSkew)
	}
	r := w.random(kindPopulation)
	for i, name := range organizationNames(r, organizations) {
		w.orgs = append(w.orgs, &organization{
			id: w.id(kindOrganization, i), name: name, title: title(name), created: day.AddDate(-3, 0, -r.IntN(900)),
		})
	}
	w.audited = []*organization{w.orgs[1], w.orgs[12]}
	w.joined = []*organization{w.orgs[0], w.orgs[20]}
	for i := range usersPerOrganization * organizations {
		w.users = append(w.users, w.newUser(r, i))
	}
	w.addMembers(r)
	for i, o := range w.orgs {
		w.addGroups(r, o, i)
	}
	return w
}

func (w *world) newUser(r *rand.Rand, i int) *user {
	u := &user{
		id:      w.id(kindUser, i),
		created: w.day.AddDate(-1, 0, -r.IntN(700)).Add(time.Duration(r.IntN(86_400)) * time.Second),
		status:  "active", login: oneOf(r, []string{"password", "github", "oidc", "oidc"}), roles: []string{"member"},
		office: r.IntN(len(networks)), home: r.IntN(1 << 16), browser: r.IntN(len(userAgents)),
	}
	u.seen = w.day.Add(-time.Duration(r.IntN(90*86_400)) * time.Second)
	first, last := oneOf(r, firstNames), oneOf(r, lastNames)
	u.username, u.name = lower(first)+"."+lower(last)+strconv.Itoa(i), first+" "+last
	switch person := personNames; {
	case i < len(person):
		u.username, u.name, u.roles = person[i], title(person[i]), slices.Concat(u.roles, personRoles[person[i]])
		u.seen = w.day
	case chance(r, 150):
		u.roles = append(u.roles, "auditor")
	case chance(r, 30):
		u.status = "suspended"
	case chance(r, 20):
		u.status, u.seen = "dormant", w.day.AddDate(0, -7, 0)
	}
	return u
}

var (
	personNames = []string{Owner, SiteAuditor, OrgAuditor, Member, ScopedToken}
	personRoles = map[string][]string{Owner: {"owner"}, SiteAuditor: {"auditor"}, ScopedToken: {"auditor"}}
)

// contractor is the one role that organizations define themselves.
const contractor = "contractor"

func (w *world) addMembers(r *rand.Rand) {
	for _, o := range w.audited {
		o.add(w.users[2], "organization-auditor")
	}
	for _, o := range w.joined {
		o.add(w.users[3])
	}
	w.orgs[0].add(w.users[0])
	sizes := skewed(len(w.orgs), memberSkew)
	others := w.users[len(personNames):]
	for i, u := range others {
		homes := 1
		if chance(r, 4) {
			homes += 1 + r.IntN(3)
		}
		for h := range homes {
			o := w.orgs[sizes.pick(r)]
			if h == 0 && i < 3*len(w.orgs) { // none is without people
				o = w.orgs[i%len(w.orgs)]
			}
			var roles []string
			switch n := len(o.members); {
			case n < 2 || chance(r, 40):
				roles = []string{"organization-admin"}
			case chance(r, 30):
				roles = []string{"organization-auditor"}
			case o.hasContractors(w) && chance(r, 12):
				roles = []string{contractor}
			}
			o.add(u, roles...)
		}
	}
}

func (o *organization) hasContractors(w *world) bool { return slices.Index(w.orgs, o) < 3 }

// add makes u a member; a second time is ignored.
func (o *organization) add(u *user, roles ...string) {
	if slices.Contains(o.members, u) {
		return
	}
	o.members = append(o.members, u)
	u.memberships = append(u.memberships, membership{o, roles})
}

func (w *world) addGroups(r *rand.Rand, o *organization, i int) {
	for n, name := range groupNames[:1+min(len(groupNames)-1, len(o.members)/8)] {
		g := &group{id: w.id(kindGroup, i*len(groupNames)+n), name: name}
		for _, u := range o.members {
			// The first group of the member's organizations has the member.
			if chance(r, 3) || n == 0 && u.username == Member {
				g.members = append(g.members, u)
			}
		}
		o.groups = append(o.groups, g)
	}
}

// copyTo writes all but the sessions and logs.
func (w *world) copyTo(ctx context.Context, tx pgx.Tx) error {
	var orgs, users, members, roles, groups, groupMembers [][]any
	for i, o := range w.orgs {
		orgs = append(orgs, []any{o.id, o.name, o.title, "/icon/" + lower(o.name[:1]) + ".svg", "", o.created, o.created})
		for _, g := range o.groups {
			groups = append(groups, []any{g.id, o.id, g.name, title(g.name), o.created})
			for _, u := range g.members {
				groupMembers = append(groupMembers, []any{g.id, u.id})
			}
		}
		if o.hasContractors(w) {
			roles = append(roles, []any{w.id(kindRole, i), contractor, o.id, title(contractor), contractorPermissions, o.created, o.created})
		}
	}
	for _, u := range w.users {
		users = append(users, []any{
			u.id, u.username, u.username + "@example.com", u.name, "", u.created, u.created, u.seen, u.status, u.login, "", u.roles,
		})
		for _, m := range u.memberships {
			roles := m.roles
			if roles == nil {
				roles = []string{}
			}
			members = append(members, []any{m.org.id, u.id, roles, u.created})
		}
	}
	for _, t := range []struct {
		name    string
		columns []string
		rows    [][]any
	}{
		{"users", []string{"id", "username", "email", "name", "avatar_url", "created_at", "updated_at", "last_seen_at",
			"status", "login_type", "theme_preference", "roles"}, users},
		{"organizations", []string{"id", "name", "display_name", "icon", "description", "created_at", "updated_at"}, orgs},
		{"roles", []string{"id", "name", "organization_id", "display_name", "permissions", "created_at", "updated_at"}, roles},
		{"organization_members", []string{"organization_id", "user_id", "roles", "created_at"}, members},
		{"groups", []string{"id", "organization_id", "name", "display_name", "created_at"}, groups},
		{"group_members", []string{"group_id", "user_id"}, groupMembers},
		{"documents", documentColumns, w.documents()},
	} {
		if err := copyRows(ctx, tx, t.name, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
			return err
		}
	}
	return nil
}

// Contractors may work in the organization, and not look into its logs.
var contractorPermissions = []byte(`{
	"site": [], "user": [],
	"org": [{"negate": true, "resource_type": "audit_log", "action": "*"},
		{"negate": true, "resource_type": "connection_log", "action": "*"}],
	"member": [{"negate": false, "resource_type": "document", "action": "read"}]}`)

// A workspace is the n-th of a user in an organization.
type workspace struct {
	id   uuid.UUID
	name string
}

const workspacesPerUser = 3

func (w *world) workspace(o *organization, u *user, n int) workspace {
	seed := int(binary.BigEndian.Uint32(o.id[:4])^binary.BigEndian.Uint32(u.id[:4]))*workspacesPerUser + n
	id := w.id(kindWorkspace, seed)
	return workspace{id, fmt.Sprintf("%s-%s", adjectives[int(id[0])%len(adjectives)], nouns[int(id[1])%len(nouns)])}
}
