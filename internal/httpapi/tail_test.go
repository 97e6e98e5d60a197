package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/sqlgen"
)

// An event of a stream, complete.
type event struct{ name, id, data string }

func (e event) row(t *testing.T) uuid.UUID {
	t.Helper()
	var row struct{ ID uuid.UUID }
	require.NoError(t, json.Unmarshal([]byte(e.data), &row), e.data)
	return row.ID
}

// A client reads a tail, and remembers the last id as browsers do.
type client struct {
	body   *bufio.Reader
	close  func() error
	lastID string
}

func follow(t *testing.T, target, token, lastID string) *client {
	t.Helper()
	header := []string{"Accept", "text/event-stream"}
	if lastID != "" {
		header = append(header, "Last-Event-ID", lastID)
	}
	resp := open(t, target, token, header...)
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	}
	require.Equal(t, "text/event-stream; charset=utf-8", resp.Header.Get("Content-Type"))
	c := &client{bufio.NewReader(resp.Body), resp.Body.Close, lastID}
	_, err := c.next() // where it begins
	require.NoError(t, err)
	require.NotEmpty(t, c.lastID)
	return c
}

// next is what comes next, an event or a heartbeat, which has no name.
func (c *client) next() (event, error) {
	var e event
	for {
		line, err := c.body.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if line != "\n" {
				continue // a comment
			}
			if e.id != "" {
				c.lastID = e.id
			}
			return e, nil
		}
	}
}

// event is the next event, beyond heartbeats.
func (c *client) event(t *testing.T) event {
	t.Helper()
	for {
		e, err := c.next()
		require.NoError(t, err)
		if e.name != "" {
			return e
		}
	}
}

func tailing(t *testing.T) (a api, base string) {
	t.Helper()
	a = newAPI(t)
	a.config.TailInterval, a.config.TailHeartbeat = 10*time.Millisecond, 50*time.Millisecond
	return a, listen(t, a.config)
}

const insertLog = `INSERT INTO audit_logs (id, time, organization_id, resource_type, resource_target, action, status_code)
	VALUES ($1, $2, $3, 'user', 'tailed', 'create', 200)`

// Writers commit in another order than they wrote in, with any times, or not at all,
// while clients come and go: each gets what was committed, and once.
func TestTailLosesAndRepeatsNothing(t *testing.T) {
	a, base := tailing(t)
	const writers, transactions = 6, 40
	var mu sync.Mutex
	committed := map[uuid.UUID]bool{} // whether it is of an organization that ann audits
	first := make([]*client, 2)
	for i, token := range []string{"ann", "bob"} {
		first[i] = follow(t, base+"/api/v2/audit/tail?q=tailed", token, "")
	}
	var writing atomic.Bool
	writing.Store(true)
	all, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		all.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range transactions {
				mine := map[uuid.UUID]bool{}
				tx, err := a.pool.Begin(ctx)
				if err != nil {
					return err
				}
				for range 1 + random.IntN(4) {
					id, at := uuid.New(), time.Now().Add(time.Duration(random.IntN(200)-150)*24*time.Hour)
					org := []uuid.UUID{orgA, orgB}[random.IntN(2)]
					if _, err := tx.Exec(ctx, insertLog, id, at, org); err != nil {
						return err
					}
					mine[id] = org == orgA
				}
				<-time.After(time.Duration(random.IntN(30)) * time.Millisecond) // the others overtake it
				if random.IntN(5) == 0 {
					if err := tx.Rollback(ctx); err != nil {
						return err
					}
					continue
				}
				mu.Lock()
				for id, ofA := range mine {
					committed[id] = ofA
				}
				mu.Unlock()
				if err := tx.Commit(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	got := make([]map[uuid.UUID]int, 2)
	var reading errgroup.Group
	for i, token := range []string{"ann", "bob"} {
		got[i] = map[uuid.UUID]int{}
		reading.Go(func() error {
			c, random := first[i], rand.New(rand.NewPCG(uint64(i), 9))
			for quiet := 0; quiet < 20; {
				e, err := c.next()
				if err != nil {
					return err
				}
				switch {
				case e.name != "":
					got[i][e.row(t)]++
					quiet = 0
				case !writing.Load():
					quiet++
				}
				if random.IntN(20) == 0 {
					if err := c.close(); err != nil {
						return err
					}
					c = follow(t, base+"/api/v2/audit/tail?q=tailed", token, c.lastID)
				}
			}
			return c.close()
		})
	}
	require.NoError(t, all.Wait())
	writing.Store(false)
	require.NoError(t, reading.Wait())
	require.Greater(t, len(committed), writers*transactions)
	require.Len(t, got[1], len(committed))
	ofAnn := 0
	for id, mine := range committed {
		require.Equal(t, 1, got[1][id])
		if mine {
			ofAnn++
			require.Equal(t, 1, got[0][id])
		}
	}
	require.Len(t, got[0], ofAnn)
}

// A transaction that is still open holds back what others committed after it began,
// so that its rows come in their place.
func TestTailWaitsForOlderTransactions(t *testing.T) {
	a, base := tailing(t)
	c := follow(t, base+"/api/v2/audit/tail", "bob", "")
	tx, err := a.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), insertLog, id(0x21), time.Now(), orgA)
	require.NoError(t, err)
	a.exec(t, insertLog, id(0x22), time.Now(), orgA)
	for range 3 { // heartbeats
		e, err := c.next()
		require.NoError(t, err)
		require.Empty(t, e.name)
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, id(0x21), c.event(t).row(t))
	require.Equal(t, id(0x22), c.event(t).row(t))
}

// A client that leaves in the middle of what one transaction wrote gets the rest, once.
func TestTailGoesOnWithinATransaction(t *testing.T) {
	a, base := tailing(t)
	c := follow(t, base+"/api/v2/audit/tail", "bob", "")
	a.exec(t, `INSERT INTO audit_logs (id, time, organization_id, resource_type, resource_target, action, status_code)
		SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, now() + i * interval '1 second', $1, 'user', '', 'create', 200 FROM generate_series(5, 7) AS i`, orgA)
	require.Equal(t, id(5), c.event(t).row(t))
	require.NoError(t, c.close())
	c = follow(t, base+"/api/v2/audit/tail", "bob", c.lastID)
	require.Equal(t, id(6), c.event(t).row(t))
	require.Equal(t, id(7), c.event(t).row(t))
	for range 3 {
		e, err := c.next()
		require.NoError(t, err)
		require.Empty(t, e.name, e.data)
	}
}

// An event has the row as the list has it, and its id is of the search and caller.
func TestTailShapesAndPositions(t *testing.T) {
	a, base := tailing(t)
	c := follow(t, base+"/api/v2/audit/tail?q=action:create", "ann", "")
	begin := c.lastID
	a.exec(t, insertLog, id(0x31), time.Now().Add(-400*24*time.Hour), orgA) // late, and out of the list's first page
	a.exec(t, insertLog, id(0x32), time.Now(), orgB)                        // not for ann
	a.exec(t, `INSERT INTO audit_logs (id, organization_id, resource_type, resource_target, action, status_code) VALUES ($1, $2, 'user', 'x', 'delete', 200)`, id(0x33), orgA)
	a.exec(t, `INSERT INTO audit_logs (id, organization_id, user_id, resource_type, resource_target, action, status_code, diff)
		VALUES ($1, $2, $3, 'user', '<&>' || E'\n\r', 'create', 200, '{"k": {"old": "hunter1", "new": "hunter2", "secret": true}}')`, id(0x34), orgA, ann)
	e := c.event(t)
	require.Equal(t, "audit_log", e.name)
	require.Equal(t, id(0x31), e.row(t))
	e = c.event(t)
	require.Equal(t, id(0x34), e.row(t))
	require.NotContains(t, e.data, "hunter")
	var list struct {
		Logs []json.RawMessage `json:"audit_logs"`
	}
	w := request(a, http.MethodGet, "/api/v2/audit?limit=1&q=action:create", "ann")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	require.Equal(t, string(list.Logs[0]), e.data)

	// From the beginning again, spelt otherwise; and from behind the first.
	again := follow(t, base+"/api/v2/audit/tail?q="+url.QueryEscape(` ACTION:"create"`), "ann", begin)
	require.Equal(t, id(0x31), again.event(t).row(t))
	again = follow(t, base+"/api/v2/audit/tail?q=action:create", "ann", again.lastID)
	require.Equal(t, id(0x34), again.event(t).row(t))
	for _, refused := range []struct{ target, token, lastID string }{
		{"/api/v2/audit/tail?q=action:delete", "ann", begin},
		{"/api/v2/audit/tail?q=action:create", "bob", begin},
		{"/api/v2/connectionlog/tail", "ann", begin},
		{"/api/v2/audit/tail?q=action:create", "ann", begin[1:] + "A"},
		{"/api/v2/audit/tail?q=action:create", "ann", "x"},
	} {
		resp := open(t, base+refused.target, refused.token, "Last-Event-ID", refused.lastID)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, refused)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), `"field":"Last-Event-ID"`)
	}
	// A cursor of the list is no position.
	page, _ := ask(t, a, "/api/v2/audit?limit=1&q=action:create", "ann")
	require.Equal(t, http.StatusBadRequest, open(t, base+"/api/v2/audit/tail?q=action:create", "ann", "Last-Event-ID", page.Next).StatusCode)
}

// A session comes when it begins, and again when it ends.
func TestTailOfConnections(t *testing.T) {
	a, base := tailing(t)
	c := follow(t, base+"/api/v2/connectionlog/tail?q=type:ssh", "bob", "")
	a.exec(t, `INSERT INTO connection_logs (id, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type, connection_id)
		VALUES ($1, $2, $3, $3, 'dev', 'main', 'ssh', $1)`, id(0x41), orgA, ann)
	e := c.event(t)
	require.Equal(t, "connection_log", e.name)
	require.Equal(t, id(0x41), e.row(t))
	require.NotContains(t, e.data, "exit_code")
	a.exec(t, "UPDATE connection_logs SET disconnect_time = now(), code = 0 WHERE id = $1", id(0x41))
	e = c.event(t)
	require.Equal(t, id(0x41), e.row(t))
	require.Contains(t, e.data, `"exit_code":0`)
}

// What a caller may see changes while the tail runs, and so does what it shows.
func TestTailFollowsRoles(t *testing.T) {
	a, base := tailing(t)
	c := follow(t, base+"/api/v2/audit/tail", "ann", "")
	show := func(n byte, org uuid.UUID) { a.exec(t, insertLog, id(n), time.Now(), org) }
	beats := func() {
		for range 3 { // what was written has been passed by then
			e, err := c.next()
			require.NoError(t, err)
			require.Empty(t, e.name, e.data)
		}
	}
	show(0x51, orgA)
	require.Equal(t, id(0x51), c.event(t).row(t))
	a.exec(t, "UPDATE organization_members SET roles = '{}' WHERE user_id = $1", ann)
	beats()
	show(0x52, orgA)
	beats()
	a.exec(t, "UPDATE users SET roles = '{owner}' WHERE id = $1", ann)
	beats()
	show(0x53, orgB)
	require.Equal(t, id(0x53), c.event(t).row(t))
	a.exec(t, "DELETE FROM sessions WHERE user_id = $1", ann)
	e := c.event(t)
	require.Equal(t, "end", e.name)
	require.Contains(t, e.data, "not valid")
	_, err := c.next()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, http.StatusUnauthorized, open(t, base+"/api/v2/audit/tail", "ann", "Last-Event-ID", c.lastID).StatusCode)
}

// reloaded is a policy that forbids everything from some time on.
type reloaded struct {
	httpapi.Authorizer
	forbids atomic.Bool
}

func (r *reloaded) Filter(ctx context.Context, subject *rowfence.Subject, action, resource string) (sqlgen.Filter, error) {
	if r.forbids.Load() {
		return sqlgen.Never(), nil
	}
	return r.Authorizer.Filter(ctx, subject, action, resource)
}

func TestTailFollowsThePolicy(t *testing.T) {
	a := newAPI(t)
	policy := &reloaded{Authorizer: a.config.Authorizer}
	a.config.Authorizer = policy
	a.config.TailInterval, a.config.TailHeartbeat = 10*time.Millisecond, 50*time.Millisecond
	c := follow(t, listen(t, a.config)+"/api/v2/audit/tail", "bob", "")
	a.exec(t, insertLog, id(0x61), time.Now(), orgA)
	require.Equal(t, id(0x61), c.event(t).row(t))
	policy.forbids.Store(true)
	a.exec(t, insertLog, id(0x62), time.Now(), orgA)
	for range 20 {
		e, err := c.next()
		require.NoError(t, err)
		require.Empty(t, e.name)
	}
}

// A client that was away gets what was written meanwhile, however much.
func TestTailCatchesUp(t *testing.T) {
	a, base := tailing(t)
	c := follow(t, base+"/api/v2/audit/tail?q=filled", "bob", "")
	require.NoError(t, c.close())
	a.fill(t, 5_500)
	a.exec(t, insertLog, id(0x71), time.Now(), orgA)
	c = follow(t, base+"/api/v2/audit/tail?q=filled", "bob", c.lastID)
	seen := map[uuid.UUID]bool{}
	for range 5_500 {
		seen[c.event(t).row(t)] = true
	}
	require.Len(t, seen, 5_500)
}

func TestTailsAreBoundedAndEndWithTheServer(t *testing.T) {
	a := newAPI(t)
	closing, shutDown := context.WithCancel(t.Context())
	a.config.TailInterval, a.config.MaxTails, a.config.Closing = 10*time.Millisecond, 2, closing
	base := listen(t, a.config)
	one := follow(t, base+"/api/v2/audit/tail", "bob", "")
	two := follow(t, base+"/api/v2/connectionlog/tail", "ann", "")
	resp := open(t, base+"/api/v2/audit/tail", "plain")
	require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
	require.Equal(t, "10", resp.Header.Get("Retry-After"))
	require.NoError(t, two.close())
	require.Eventually(t, func() bool {
		resp := open(t, base+"/api/v2/audit/tail", "plain")
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
	shutDown()
	for {
		if _, err := one.next(); err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
	}
}

func TestTailRefusals(t *testing.T) {
	a, base := tailing(t)
	for _, route := range []string{"/api/v2/audit/tail", "/api/v2/connectionlog/tail"} {
		for _, query := range []string{"limit=5", "format=csv", "q=a:b:c", "q=web&q=dev", "cursor=x", "count=none"} {
			w := request(a, http.MethodGet, route+"?"+query, "bob")
			require.Equal(t, http.StatusBadRequest, w.Code, query)
			require.Len(t, refused(t, w).Validations, 1)
		}
		require.Equal(t, http.StatusUnauthorized, request(a, http.MethodGet, route, "").Code)
		require.Equal(t, http.StatusMethodNotAllowed, request(a, http.MethodPost, route, "bob").Code)
		require.Equal(t, http.StatusOK, request(a, http.MethodHead, route, "bob").Code)
	}
	// A failure of the database cuts the connection: the client comes again.
	c := follow(t, base+"/api/v2/audit/tail", "bob", "")
	require.NoError(t, pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "ALTER TABLE users RENAME TO people")
		return err
	}))
	for {
		if _, err := c.next(); err != nil {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			break
		}
	}
}
