package demo

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/internal/audit"
)

// Person is somebody with a session.
type Person struct {
	Name        string
	Token       string // of the session; the database has its hash only
	Description string // what the person may see
}

// The names of the people, in their order.
const (
	Owner       = "owner"
	SiteAuditor = "site-auditor"
	OrgAuditor  = "org-auditor"
	Member      = "member"
	ScopedToken = "scoped-token"
	Ingester    = "ingester"
)

// TokensFile is the name of the file that [WriteTokens] writes.
const TokensFile = "demo-tokens.json"

// sessionYears is how long after the logs' last day the sessions expire.
const sessionYears = 10

var sessionColumns = []string{"id", "token_hash", "user_id", "created_at", "expires_at", "scope"}

// token follows from the seed alone, so that it is known without the data.
func (w *world) token(name string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "rowfence demo session\n%d\n%s", w.seed, name))
	return "rfs_" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// people are the first users, and the ingester.
func (w *world) people() []Person {
	names := func(orgs []*organization) string {
		var names []string
		for _, o := range orgs {
			names = append(names, o.name)
		}
		return strings.Join(names, " and ")
	}
	descriptions := map[string]string{
		Owner:       "all logs and all documents",
		SiteAuditor: "all audit and connection logs",
		OrgAuditor:  "the logs of the organizations " + names(w.audited),
		Member:      "no logs; the documents that are theirs or shared with them in " + names(w.joined),
		ScopedToken: "two audit logs: a site auditor's token that is limited to them",
	}
	var people []Person
	for _, u := range w.users[:len(descriptions)] {
		people = append(people, Person{u.username, w.token(u.username), descriptions[u.username]})
	}
	return append(people, Person{Ingester, w.token(Ingester), "no logs; writes those of all organizations"})
}

// addIngester adds the ingester, who is no member of anything, unless there is one:
// demo data of earlier versions have none.
func (w *world) addIngester(ctx context.Context, tx pgx.Tx) error {
	id, created := w.id(kindUser, len(w.users)), w.day.AddDate(0, 0, -1)
	_, err := tx.Exec(ctx, `INSERT INTO users (id, username, name, created_at, updated_at, login_type, roles)
		VALUES ($1, $2, $3, $4, $4, 'none', '{member,audit-writer}') ON CONFLICT DO NOTHING`, id, Ingester, title(Ingester), created)
	if err != nil {
		return fmt.Errorf("adding the ingester: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO sessions (id, token_hash, user_id, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		w.id(kindSession, len(personNames)), audit.TokenHash(w.token(Ingester)), id, created, w.day.AddDate(sessionYears, 0, 0))
	if err != nil {
		return fmt.Errorf("adding the ingester's session: %w", err)
	}
	return nil
}

// sessions are the rows of the people's sessions, where there are so many audit
// logs.
func (w *world) sessions(auditLogs int) [][]any {
	scope := audit.Unlimited()
	scope.AllowList = nil
	// One near the end, so that it is on the first page, and an old one.
	for _, i := range []int{auditLogs - 3, auditLogs / 2} {
		scope.AllowList = append(scope.AllowList, audit.Allowed{Type: "audit_log", ID: w.id(kindAuditLog, i).String()})
	}
	created := w.day.AddDate(0, 0, -1)
	var rows [][]any
	for i, p := range w.people()[:len(personNames)] {
		var limit []byte
		if p.Name == ScopedToken {
			limit = storedScope(scope)
		}
		rows = append(rows, []any{
			w.id(kindSession, i), audit.TokenHash(p.Token), w.users[i].id, created, w.day.AddDate(sessionYears, 0, 0), limit,
		})
	}
	return rows
}

// storedScope is the scope as the table has it; audit.Permission reads that form
// and does not write it.
func storedScope(s audit.Scope) []byte {
	type permission struct {
		Negate       bool   `json:"negate"`
		ResourceType string `json:"resource_type"`
		Action       string `json:"action"`
	}
	site := []permission{}
	for _, p := range s.Site {
		site = append(site, permission(p))
	}
	return jsonOf(map[string]any{
		"site": site, "user": []permission{}, "by_org_id": struct{}{}, "allow_list": s.AllowList,
	})
}

// jsonOf is v, which is made of maps, structs, slices and strings, as JSON.
func jsonOf(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// WriteTokens writes names and tokens to the file [TokensFile] in the directory,
// which it makes if there is none: [{"name": "…", "token": "…"}], readable by its
// owner only. A file that is there is replaced as a whole.
func WriteTokens(dir string, people []Person) (err error) {
	if dir == "" {
		return errors.New("writing " + TokensFile + ": a data directory is needed")
	}
	type entry struct {
		Name  string `json:"name"`
		Token string `json:"token"`
	}
	entries := []entry{}
	for _, p := range people {
		entries = append(entries, entry{p.Name, p.Token})
	}
	data, err := json.MarshalIndent(entries, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", TokensFile, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	f, err := os.CreateTemp(dir, TokensFile+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", TokensFile, err)
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, TokensFile))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", TokensFile, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
