package postgres_test

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/postgres"
)

var start = time.Date(2026, 4, 9, 12, 0, 0, 0, time.UTC)

func event(target string) audit.Event {
	return audit.Event{
		ID: uuid.New(), Time: start, ResourceType: "template", ResourceTarget: target, Action: "create", StatusCode: 201,
		Diff: []byte(`{}`), AdditionalFields: []byte(`{}`),
	}
}

func count(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func once(key, body string) *audit.Once {
	return &audit.Once{UserID: uuid.UUID{15: 1}, Key: key, Fingerprint: sha256.Sum256([]byte(body))}
}

func TestWriteAudit(t *testing.T) {
	pool := migrated(t)
	e := event("web")
	e.UserID, e.OrganizationID, e.ResourceID, e.RequestID = id(1), orgA, id(3), id(4)
	e.IP, e.UserAgent, e.BuildReason = netip.MustParsePrefix("10.0.0.0/8"), "curl", "cli"
	e.Diff, e.AdditionalFields = []byte(`{"a": {"old": 1, "new": 2, "secret": false}}`), []byte(`{"n": 12345678901234567890}`)
	bare := event("")
	out := postgres.NewDB(pool).WriteBatches(t.Context(), []audit.Batch{{Audit: []audit.Event{e, bare}}})
	require.NoError(t, out[0].Err)
	require.Equal(t, []uuid.UUID{e.ID, bare.ID}, out[0].Receipt.IDs)
	require.Equal(t, 1, count(t, pool, `SELECT count(*) FROM audit_logs WHERE id = $1 AND time = $2 AND user_id = $3 AND organization_id = $4
		AND resource_id = $5 AND resource_target = 'web' AND action = 'create' AND status_code = 201 AND request_id = $6 AND ip = '10.0.0.0/8'
		AND user_agent = 'curl' AND build_reason = 'cli' AND diff->'a'->>'new' = '2' AND additional_fields->>'n' = '12345678901234567890'`,
		e.ID, start, id(1), orgA, id(3), id(4)))
	require.Equal(t, 1, count(t, pool, `SELECT count(*) FROM audit_logs WHERE id = $1 AND num_nulls(user_id, organization_id, resource_id,
		request_id, ip, user_agent, build_reason) = 7`, bare.ID))
}

func TestBatchesAreWrittenOnce(t *testing.T) {
	pool := migrated(t)
	db := postgres.NewDB(pool)
	batch := func(key, body string) audit.Batch {
		return audit.Batch{Audit: []audit.Event{event(body), event(body)}, Once: once(key, body)}
	}
	first := db.WriteBatches(t.Context(), []audit.Batch{batch("a", "x"), batch("a", "x"), batch("a", "y"), batch("b", "x")})
	require.NoError(t, first[0].Err)
	require.False(t, first[0].Receipt.Repeated)
	require.Equal(t, audit.Outcome{Receipt: audit.Receipt{IDs: first[0].Receipt.IDs, Repeated: true}}, first[1])
	require.ErrorIs(t, first[2].Err, audit.ErrKeyReused)
	require.NoError(t, first[3].Err)
	require.Equal(t, 4, count(t, pool, "SELECT count(*) FROM audit_logs"))

	// Another server, at another time.
	second := postgres.NewDB(pool).WriteBatches(t.Context(), []audit.Batch{batch("b", "x"), batch("a", "z"), batch("c", "x")})
	require.Equal(t, audit.Receipt{IDs: first[3].Receipt.IDs, Repeated: true}, second[0].Receipt)
	require.ErrorIs(t, second[1].Err, audit.ErrKeyReused)
	require.False(t, second[2].Receipt.Repeated)
	require.Equal(t, 6, count(t, pool, "SELECT count(*) FROM audit_logs"))

	// Another user's key is another one, and so is another log's.
	other := batch("a", "x")
	other.Once.UserID = id(2)
	connection := audit.Batch{Connections: []audit.ConnectionEvent{connect(1, 0), web("app")}, Once: once("a", "x")}
	third := db.WriteBatches(t.Context(), []audit.Batch{other, connection})
	require.False(t, third[0].Receipt.Repeated)
	require.False(t, third[1].Receipt.Repeated)
	require.Len(t, third[1].Receipt.IDs, 2)
	again := db.WriteBatches(t.Context(), []audit.Batch{connection})
	require.Equal(t, audit.Receipt{IDs: third[1].Receipt.IDs, Repeated: true}, again[0].Receipt)
	require.Equal(t, 2, count(t, pool, "SELECT count(*) FROM connection_logs"))

	// What is expired is as if it had not been, and is removed.
	exec(t, pool, "UPDATE ingested_batches SET expires_at = now() - interval '1 second'")
	fourth := db.WriteBatches(t.Context(), []audit.Batch{batch("a", "new")})
	require.NoError(t, fourth[0].Err)
	require.False(t, fourth[0].Receipt.Repeated)
	require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM ingested_batches"))
}

func TestConcurrentRepeatsAreWrittenOnce(t *testing.T) {
	pool := migrated(t)
	db := postgres.NewDB(pool)
	var wg sync.WaitGroup
	receipts := make([][]uuid.UUID, 8)
	for i := range receipts {
		wg.Go(func() {
			out := db.WriteBatches(t.Context(), []audit.Batch{{Audit: []audit.Event{event("x")}, Once: once("k", "x")}})
			if out[0].Err == nil {
				receipts[i] = out[0].Receipt.IDs
			}
		})
	}
	wg.Wait()
	for _, ids := range receipts {
		require.Len(t, ids, 1)
		require.Equal(t, receipts[0], ids)
	}
	require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM audit_logs"))
}

func TestBadBatchFailsAlone(t *testing.T) {
	pool := migrated(t)
	bad := event("bad")
	bad.Diff = []byte(`[]`) // the table demands an object
	out := postgres.NewDB(pool).WriteBatches(t.Context(), []audit.Batch{
		{Audit: []audit.Event{event("good")}}, {Audit: []audit.Event{event("half"), bad}, Once: once("k", "")}, {Audit: []audit.Event{event("good")}},
	})
	require.NoError(t, out[0].Err)
	require.Error(t, out[1].Err)
	require.NoError(t, out[2].Err)
	require.Equal(t, 2, count(t, pool, "SELECT count(*) FROM audit_logs WHERE resource_target = 'good'"))
	require.Equal(t, 2, count(t, pool, "SELECT count(*) FROM audit_logs"))
	require.Zero(t, count(t, pool, "SELECT count(*) FROM ingested_batches"), "a batch that was not written may come again")
}

var place = audit.Place{
	OrganizationID: orgA, WorkspaceOwnerID: uuid.UUID{15: 7}, WorkspaceID: uuid.UUID{15: 8},
	WorkspaceName: "dev", AgentName: "main", Type: "ssh", IP: netip.MustParsePrefix("10.0.0.1/32"),
}

func connect(connection byte, minute int) audit.ConnectionEvent {
	return audit.ConnectionEvent{ConnectionID: id(connection), Time: start.Add(time.Duration(minute) * time.Minute), Place: place}
}

func disconnect(connection byte, minute int, code *int32, reason string) audit.ConnectionEvent {
	e := connect(connection, minute)
	e.Disconnect, e.Code, e.DisconnectReason = true, code, reason
	return e
}

func web(slug string) audit.ConnectionEvent {
	e := audit.ConnectionEvent{Time: start, Place: place, UserAgent: "curl", UserID: id(1), SlugOrPort: slug, Code: new(int32(200))}
	e.Place.Type = "workspace_app"
	return e
}

func writeConnections(t *testing.T, pool *pgxpool.Pool, events ...audit.ConnectionEvent) []uuid.UUID {
	t.Helper()
	out := postgres.NewDB(pool).WriteBatches(t.Context(), []audit.Batch{{Connections: events}})
	require.NoError(t, out[0].Err)
	require.Len(t, out[0].Receipt.IDs, len(events))
	return out[0].Receipt.IDs
}

type connectionRow struct {
	ID             uuid.UUID
	ConnectTime    time.Time
	DisconnectTime *time.Time
	Reason         *string
	Code           *int32
	Type           string
}

func connectionRows(t *testing.T, pool *pgxpool.Pool, connection byte) []connectionRow {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT id, connect_time, disconnect_time, disconnect_reason, code, type FROM connection_logs
		WHERE connection_id = $1`, id(connection))
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[connectionRow])
	require.NoError(t, err)
	for i := range all {
		all[i].ConnectTime = all[i].ConnectTime.UTC()
		if at := all[i].DisconnectTime; at != nil {
			all[i].DisconnectTime = new(at.UTC())
		}
	}
	return all
}

func TestDisconnectsInAnyOrder(t *testing.T) {
	pool := migrated(t)
	end := start.Add(5 * time.Minute)
	want := func(id uuid.UUID) []connectionRow {
		return []connectionRow{{id, start, &end, new("bye"), new(int32(0)), "ssh"}}
	}
	bye := func(connection byte) audit.ConnectionEvent { return disconnect(connection, 5, new(int32(0)), "bye") }
	ids := writeConnections(t, pool, connect(1, 0), bye(1), bye(1))
	require.Equal(t, ids[0], ids[2])
	require.Equal(t, want(ids[0]), connectionRows(t, pool, 1))

	// Each in its own request, the disconnect first, and again with less.
	ids = writeConnections(t, pool, bye(2))
	require.Equal(t, []connectionRow{{ids[0], end, &end, new("bye"), new(int32(0)), "ssh"}}, connectionRows(t, pool, 2))
	require.Equal(t, ids, writeConnections(t, pool, disconnect(2, 6, nil, "")))
	require.Equal(t, ids, writeConnections(t, pool, disconnect(2, 7, new(int32(255)), "lost")))
	require.Equal(t, ids, writeConnections(t, pool, connect(2, 0)))
	require.Equal(t, ids, writeConnections(t, pool, connect(2, 1)))
	require.Equal(t, want(ids[0]), connectionRows(t, pool, 2))

	// Another agent of the workspace is another session.
	gpu := connect(2, 0)
	gpu.Place.AgentName = "gpu"
	require.NotEqual(t, ids, writeConnections(t, pool, gpu))

	// Web connections are rows of their own.
	ids = writeConnections(t, pool, web("app"), connect(3, 0), web("app"))
	require.NotEqual(t, ids[0], ids[2])
	require.Equal(t, 2, count(t, pool, `SELECT count(*) FROM connection_logs WHERE slug_or_port = 'app' AND code = 200 AND user_agent = 'curl'
		AND user_id = $1 AND num_nulls(connection_id, disconnect_time, disconnect_reason) = 3`, id(1)))

	// A session that retention took comes back with what is told of it then.
	purge(t, pool, "DELETE FROM connection_logs WHERE connection_id = $1", id(1))
	writeConnections(t, pool, bye(1))
	require.Len(t, connectionRows(t, pool, 1), 1)
	writeConnections(t, pool, bye(1))
	require.Len(t, connectionRows(t, pool, 1), 1)
}

// Writers at once, each with its own order and with repeats, make the rows that the
// events make one after the other.
func TestConnectionsFromSeveralWriters(t *testing.T) {
	pool := migrated(t)
	r := rand.New(rand.NewPCG(1, 2))
	var events []audit.ConnectionEvent
	want := map[byte]*audit.SessionState{}
	for range 600 {
		connection := byte(1 + r.IntN(40))
		e := connect(connection, r.IntN(50))
		if r.IntN(2) == 0 {
			e = disconnect(connection, r.IntN(50), nil, []string{"", "a", "b"}[r.IntN(3)])
			if r.IntN(2) == 0 {
				e.Code = new(int32(r.IntN(3)))
			}
		}
		e.Place.Type = []string{"ssh", "vscode"}[r.IntN(2)]
		events = append(events, e)
		if want[connection] == nil {
			want[connection] = &audit.SessionState{}
		}
		want[connection].Add(e)
	}
	db := postgres.NewDB(pool)
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		mine := slices.Clone(events)
		r.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		wg.Go(func() {
			for part := range slices.Chunk(mine, 37+i) {
				for _, o := range db.WriteBatches(t.Context(), []audit.Batch{{Connections: part}, {Connections: part[:5:5]}}) {
					if o.Err != nil {
						errs[i] = o.Err
					}
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, len(want), count(t, pool, "SELECT count(*) FROM connection_logs"))
	for connection, s := range want {
		rows := connectionRows(t, pool, connection)
		require.Len(t, rows, 1)
		expected := connectionRow{ID: rows[0].ID, ConnectTime: s.ConnectTime(), Code: s.Code, Type: s.Place.Type}
		if !s.DisconnectedAt.IsZero() {
			expected.DisconnectTime = &s.DisconnectedAt
		}
		if s.Reason != "" {
			expected.Reason = &s.Reason
		}
		require.Equal(t, expected, rows[0])
	}
	require.Zero(t, count(t, pool, `SELECT count(*) FROM connection_sessions AS s
		WHERE NOT EXISTS (SELECT FROM connection_logs AS l WHERE l.id = s.id AND l.connect_time = s.connect_time)`))
}

func TestRegistryOfResources(t *testing.T) {
	pool := migrated(t)
	db := postgres.NewDB(pool)
	of := func(minute int, action, name string, status int32) audit.Event {
		e := event(name)
		e.ResourceID, e.Time, e.Action, e.StatusCode = id(9), start.Add(time.Duration(minute)*time.Minute), action, status
		return e
	}
	owned := of(3, "update", "", 200)
	owned.ResourceOwnerID = id(1)
	events := []audit.Event{
		of(1, "create", "first", 201), of(2, "write", "second", 200), owned, of(4, "delete", "", 500), of(5, "write", "tried", 403),
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 5 {
		exec(t, pool, "DELETE FROM resources")
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		at := r.IntN(len(events))
		for _, part := range [][]audit.Event{events[:at], events[at:]} {
			for i := range part {
				part[i].ID = uuid.New()
			}
			require.NoError(t, db.WriteBatches(t.Context(), []audit.Batch{{Audit: part}})[0].Err)
		}
		require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM resources WHERE kind = 'template' AND id = $1 AND name = 'second' AND owner_id = $2 AND NOT deleted",
			id(9), id(1)))
	}
	deleted := func(want bool, e audit.Event) {
		t.Helper()
		require.NoError(t, db.WriteBatches(t.Context(), []audit.Batch{{Audit: []audit.Event{e}}})[0].Err)
		var is bool
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT deleted FROM resources").Scan(&is))
		require.Equal(t, want, is)
	}
	deleted(true, of(6, "delete", "", 204))
	deleted(true, of(7, "write", "second", 200))
	deleted(true, of(2, "create", "second", 201))
	deleted(false, of(8, "create", "second", 201)) // again, as a member can be

	known, err := db.ResourceKinds(t.Context(), append([]string{"unheard_of"}, auditquery.ResourceTypes...))
	require.NoError(t, err)
	require.ElementsMatch(t, auditquery.ResourceTypes, known)
	exec(t, pool, "INSERT INTO resource_kinds (name, display_name) VALUES ('invoice', 'invoice')")
	known, err = db.ResourceKinds(t.Context(), []string{"invoice", "unheard_of"})
	require.NoError(t, err)
	require.Equal(t, []string{"invoice"}, known)
}

func TestLogsOfOtherWritersAreRegistered(t *testing.T) {
	pool := migrated(t)
	exec(t, pool, `INSERT INTO audit_logs (time, resource_type, resource_id, resource_target, action, status_code) VALUES
		($1, 'user', $2, 'old', 'create', 201), ($1::timestamptz + interval '1 hour', 'user', $2, 'new', 'delete', 204)`, start, id(5))
	exec(t, pool, `INSERT INTO connection_logs (connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type, connection_id)
		VALUES ($1, $2, $3, $4, 'dev', 'main', 'ssh', $5)`, start, orgA, place.WorkspaceOwnerID, place.WorkspaceID, id(6))
	exec(t, pool, "SELECT register_resources(), register_connection_sessions()")
	require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM resources WHERE name = 'new' AND deleted"))
	writeConnections(t, pool, disconnect(6, 1, new(int32(0)), ""))
	rows := connectionRows(t, pool, 6)
	require.Len(t, rows, 1)
	require.Equal(t, start, rows[0].ConnectTime)
	require.Equal(t, int32(0), *rows[0].Code)
}

func TestWritesNeedTheDatabase(t *testing.T) {
	pool := migrated(t)
	exec(t, pool, "DROP TABLE resources")
	e := event("x")
	e.ResourceID = id(1)
	out := postgres.NewDB(pool).WriteBatches(t.Context(), []audit.Batch{{Audit: []audit.Event{e}}, {Audit: []audit.Event{event("y")}}})
	for _, o := range out {
		require.ErrorContains(t, o.Err, "keeping the registry of resources")
	}
	require.Zero(t, count(t, pool, "SELECT count(*) FROM audit_logs"), "all or nothing")
}
