package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/demo"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/internal/ingest"
	"github.com/rowfence/rowfence/internal/pglocal"
	"github.com/rowfence/rowfence/internal/postgres"
)

const (
	ingestRows  = 100_000
	batchEvents = 500
	clients     = 16
	copyRows    = 5_000 // as many as the queue's groups have at most
	copyWriters = 2     // as many as the queue has
)

// durable is a migrated database on a PostgreSQL that waits for its disk, as a
// server's does and a test's does not.
func durable(b *testing.B) *pgxpool.Pool {
	b.Helper()
	dir := b.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) { // PostgreSQL may run as another user
		require.NoError(b, os.Chmod(d, 0o755))
	}
	server, err := pglocal.Start(b.Context(), pglocal.Options{DataDir: filepath.Join(dir, "postgres")})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Close()) })
	pool, err := postgres.Open(b.Context(), server.URL())
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	require.NoError(b, postgres.Migrate(b.Context(), pool, slog.New(slog.DiscardHandler)))
	return pool
}

// eventsOf are the demo's audit logs as events, and an ingester's token.
func eventsOf(b *testing.B, pool *pgxpool.Pool) (events []audit.Event, token string) {
	b.Helper()
	result, err := demo.Load(b.Context(), pool, demo.Options{Rows: ingestRows, Seed: 1, Now: time.Now()})
	require.NoError(b, err)
	for _, p := range result.People {
		if p.Name == demo.Ingester {
			token = p.Token
		}
	}
	rows, err := pool.Query(b.Context(), `SELECT coalesce(user_id, $1), coalesce(organization_id, $1), resource_type, coalesce(resource_id, $1),
		resource_target, resource_icon, resource_link, action, diff::text, status_code, additional_fields::text, coalesce(request_id, $1), ip,
		coalesce(user_agent, ''), coalesce(build_reason, '') FROM audit_logs ORDER BY time, id`, uuid.Nil)
	require.NoError(b, err)
	events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e audit.Event, err error) {
		var diff, additional string
		var ip *netip.Prefix
		err = row.Scan(&e.UserID, &e.OrganizationID, &e.ResourceType, &e.ResourceID, &e.ResourceTarget, &e.ResourceIcon, &e.ResourceLink,
			&e.Action, &diff, &e.StatusCode, &additional, &e.RequestID, &ip, &e.UserAgent, &e.BuildReason)
		if ip != nil {
			e.IP = *ip
		}
		e.Diff, e.AdditionalFields = []byte(diff), []byte(additional)
		return e, err
	})
	require.NoError(b, err)
	require.Len(b, events, ingestRows)
	return events, token
}

// bodies are the events as clients send them, in batches.
func bodies(b *testing.B, events []audit.Event) [][]byte {
	b.Helper()
	var out [][]byte
	for part := range slices.Chunk(events, batchEvents) {
		list := make([]map[string]any, len(part))
		for i, e := range part {
			m := map[string]any{"resource_type": e.ResourceType, "action": e.Action, "status_code": e.StatusCode, "resource_target": e.ResourceTarget,
				"resource_icon": e.ResourceIcon, "resource_link": e.ResourceLink, "diff": json.RawMessage(e.Diff),
				"additional_fields": json.RawMessage(e.AdditionalFields), "user_agent": e.UserAgent, "time": time.Now()}
			for name, id := range map[string]uuid.UUID{"user_id": e.UserID, "organization_id": e.OrganizationID, "resource_id": e.ResourceID, "request_id": e.RequestID} {
				if id != uuid.Nil {
					m[name] = id
				}
			}
			if e.IP.IsValid() {
				m["ip"] = e.IP.Addr()
			}
			if e.BuildReason != "" {
				m["build_reason"] = e.BuildReason
			}
			list[i] = m
		}
		body, err := json.Marshal(list)
		require.NoError(b, err)
		out = append(out, body)
	}
	return out
}

// fresh are the events with ids and times of their own, as new ones have.
func fresh(events []audit.Event) []audit.Event {
	out := slices.Clone(events)
	for i := range out {
		out[i].ID, out[i].Time = uuid.Must(uuid.NewV7()), time.Now().UTC()
	}
	return out
}

// atOnce calls do for each of the items, some at a time.
func atOnce[T any](ctx context.Context, n int, items []T, do func(context.Context, T) error) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(n)
	for _, item := range items {
		all.Go(func() error { return do(ctx, item) })
	}
	return all.Wait()
}

// BenchmarkIngest writes the same 100,000 rows by COPY and nothing else, by the
// server's queue, and by its API, each into the empty table with all its indexes.
func BenchmarkIngest(b *testing.B) {
	pool := durable(b)
	events, token := eventsOf(b, pool)
	sent := bodies(b, events)
	ctx := b.Context()
	var copied float64
	measure := func(name string, write func(b *testing.B) error) {
		b.Run(name, func(b *testing.B) {
			var total time.Duration
			rounds := 0
			for b.Loop() {
				b.StopTimer()
				_, err := pool.Exec(ctx, "BEGIN; SET LOCAL rowfence.maintenance = 'on'; TRUNCATE audit_logs, resources, ingested_batches; COMMIT")
				require.NoError(b, err)
				_, err = pool.Exec(ctx, "CHECKPOINT")
				require.NoError(b, err)
				b.StartTimer()
				start := time.Now()
				require.NoError(b, write(b))
				total += time.Since(start)
				rounds++
				var n int
				require.NoError(b, pool.QueryRow(ctx, "SELECT count(*) FROM audit_logs").Scan(&n))
				require.Equal(b, ingestRows, n)
			}
			rate := float64(ingestRows*rounds) / total.Seconds()
			b.ReportMetric(rate, "rows/s")
			if name == "copy" {
				copied = rate
			} else if copied > 0 { // -bench may have left it out
				b.ReportMetric(rate/copied, "of-copy")
			}
		})
	}
	measure("copy", func(*testing.B) error {
		return atOnce(ctx, copyWriters, slices.Collect(slices.Chunk(fresh(events), copyRows)), func(ctx context.Context, part []audit.Event) error {
			_, err := pool.CopyFrom(ctx, pgx.Identifier{"audit_logs"}, postgres.AuditColumns, postgres.AuditRows(part))
			return err
		})
	})
	db := postgres.NewDB(pool)
	newQueue := func(b *testing.B) *ingest.Queue {
		q := ingest.NewQueue(db, ingest.Options{})
		b.Cleanup(func() { require.NoError(b, q.Close(context.Background())) })
		return q
	}
	measure("queue", func(b *testing.B) error {
		queue := newQueue(b)
		return atOnce(ctx, clients, slices.Collect(slices.Chunk(fresh(events), batchEvents)), func(ctx context.Context, part []audit.Event) error {
			_, err := queue.Submit(ctx, audit.Batch{Audit: part, Once: &audit.Once{Key: uuid.NewString()}})
			return err
		})
	})
	measure("api", func(b *testing.B) error {
		engine, queue := newEngine(b), newQueue(b)
		h := httpapi.NewHTTPServer(httpapi.New(httpapi.Config{
			Store: db, Authorizer: engine, Decider: engine, Log: slog.New(slog.DiscardHandler),
			Ingester: struct {
				*ingest.Queue
				*postgres.DB
			}{queue, db},
		}), slog.New(slog.DiscardHandler))
		server := httptest.NewServer(h.Handler)
		defer server.Close()
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
		return atOnce(ctx, clients, sent, func(ctx context.Context, body []byte) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/api/v2/audit/events", bytes.NewReader(body))
			if err != nil {
				return err
			}
			r.Header.Set("Coder-Session-Token", token)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", uuid.NewString())
			resp, err := client.Do(r)
			if err != nil {
				return err
			}
			require.Equal(b, http.StatusCreated, resp.StatusCode)
			return resp.Body.Close()
		})
	})
}
