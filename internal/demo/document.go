package demo

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

const documentCount = 800

var documentColumns = []string{"id", "organization_id", "owner_id", "title", "body", "user_acl", "group_acl", "created_at"}

// documents are in organizations by their size, and shared in each of the ways
// that the policy knows.
func (w *world) documents() [][]any {
	r := w.random(kindDocument)
	sizes := skewed(len(w.orgs), memberSkew)
	rows := make([][]any, documentCount)
	for i := range rows {
		o := w.orgs[sizes.pick(r)]
		// Some are where the demo's member is, who is to see one of each way.
		theirs := i < 6*len(w.joined)*sharingWays
		if theirs {
			o = w.joined[i%len(w.joined)]
		}
		someone := func() *user {
			if theirs && chance(r, 2) {
				return w.users[3]
			}
			return oneOf(r, o.members)
		}
		var owner *uuid.UUID
		if !chance(r, 15) { // an account that was deleted
			owner = &someone().id
		}
		users, groups := share(r, i/len(w.joined)%sharingWays, w, o, someone)
		id := w.id(kindDocument, i)
		name := documentTitle(id)
		rows[i] = []any{
			id, o.id, owner, name, fmt.Sprintf("%s, for the people of %s.", name, o.title),
			jsonOf(users), jsonOf(groups),
			w.day.Add(-time.Duration(r.Int64N(int64(365 * 24 * time.Hour)))).Truncate(time.Microsecond),
		}
	}
	return rows
}

func documentTitle(id uuid.UUID) string {
	return title(adjectives[int(id[0])%len(adjectives)] + " " + nouns[int(id[1])%len(nouns)])
}

const sharingWays = 8

// share is the ACL of users and that of groups.
func share(r *rand.Rand, way int, w *world, o *organization, someone func() *user) (users, groups map[string][]string) {
	users, groups = map[string][]string{}, map[string][]string{}
	switch way {
	case 0: // with nobody
	case 1:
		users[someone().id.String()] = []string{"read"}
	case 2:
		users[someone().id.String()] = []string{"*"}
		users[oneOf(r, o.members).id.String()] = []string{"read", "update"}
	case 3:
		groups[o.groups[0].id.String()] = []string{"read"}
	case 4: // Everyone
		groups[o.id.String()] = []string{"read"}
	case 5:
		groups[o.id.String()] = []string{"*"}
		groups[oneOf(r, o.groups).id.String()] = []string{"update"}
	case 6: // not to read
		users[someone().id.String()] = []string{"update", "delete"}
		groups[oneOf(r, o.groups).id.String()] = []string{}
	default: // with a user and a group of anywhere: neither gets in unless a member
		other := oneOf(r, w.orgs)
		users[oneOf(r, w.users).id.String()] = []string{"read"}
		groups[oneOf(r, other.groups).id.String()] = []string{"read"}
		groups[other.id.String()] = []string{"read"}
	}
	return users, groups
}
