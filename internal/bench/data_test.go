package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/demo"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/policies"
	"github.com/rowfence/rowfence/sqlgen"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

// everything is a search for nothing in particular.
const everything = sqlgen.Const(true)

// A log is a database of so many audit logs, and three of its organizations: the
// largest, the smallest that is active, and one without a row in half a year.
type log struct {
	pool                  *pgxpool.Pool
	large, small, dormant uuid.UUID
}

var (
	mu   sync.Mutex
	logs = map[int]*log{} // by rows
)

// logOf loads a log of as many rows as the variable says, once.
func logOf(tb testing.TB, variable string, otherwise int) *log {
	tb.Helper()
	rows := otherwise
	if text := os.Getenv(variable); text != "" {
		var err error
		rows, err = strconv.Atoi(text)
		require.NoError(tb, err, variable)
	}
	mu.Lock()
	defer mu.Unlock()
	if logs[rows] == nil {
		l, err := load(context.Background(), pgtest.MustURL(), rows)
		require.NoError(tb, err)
		logs[rows] = l
	}
	return logs[rows]
}

func load(ctx context.Context, url string, rows int) (*log, error) {
	pool, err := postgres.Open(ctx, url) // as the server does; open until the end
	if err != nil {
		return nil, err
	}
	if err := postgres.Migrate(ctx, pool, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	day := time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC)
	if _, err := demo.Load(ctx, pool, demo.Options{Rows: rows, Seed: 1, Now: day}); err != nil {
		return nil, err
	}
	l := &log{pool: pool}
	err = pool.QueryRow(ctx, `
		WITH sizes AS (
			SELECT organization_id, count(*) AS n, max(time) < $1 AS dormant FROM audit_logs
			WHERE organization_id IS NOT NULL GROUP BY organization_id
		)
		SELECT (SELECT organization_id FROM sizes ORDER BY n DESC LIMIT 1),
			(SELECT organization_id FROM sizes WHERE NOT dormant ORDER BY n, 1 LIMIT 1),
			(SELECT organization_id FROM sizes WHERE dormant ORDER BY n, 1 LIMIT 1)`,
		day.AddDate(0, -6, 0)).Scan(&l.large, &l.small, &l.dormant)
	if err != nil {
		return nil, fmt.Errorf("choosing organizations: %w", err)
	}
	return l, nil
}

// newEngine is the server's.
func newEngine(tb testing.TB) *rowfence.Engine {
	tb.Helper()
	engine, err := rowfence.New(tb.Context(), rowfence.Config{
		Policies: policies.FS, Schema: policies.Schema(), Query: policies.Entrypoint,
	})
	require.NoError(tb, err)
	return engine
}

// auditor is the input of an auditor of the organizations, who is a member of
// them besides.
func auditor(orgs ...uuid.UUID) map[string]any {
	read := []audit.Permission{{ResourceType: "audit_log", Action: "read"}, {ResourceType: "connection_log", Action: "read"}}
	all := []audit.Permission{{ResourceType: "*", Action: "*"}}
	return audit.Subject{
		ID:     uuid.UUID{15: 1},
		Groups: orgs,
		Scope:  audit.Unlimited(),
		Roles:  []audit.Role{{User: all}, {Orgs: orgs, Member: all}, {Orgs: orgs, Org: read}},
	}.Input()
}

// filterOf is the compiled filter of an auditor of the organizations.
func filterOf(tb testing.TB, engine *rowfence.Engine, orgs ...uuid.UUID) sqlgen.Filter {
	tb.Helper()
	filter, err := engine.Compile(tb.Context(), "audit_log", auditor(orgs...))
	require.NoError(tb, err)
	return filter
}
