package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
)

// A log of a year without partitions: how long it takes to make it one partition,
// and to split that into months.
func BenchmarkPartitioning(b *testing.B) {
	const rows = 500_000
	for b.Loop() {
		pool, err := postgres.Open(b.Context(), pgtest.URL(b))
		require.NoError(b, err)
		require.NoError(b, postgres.MigrateTo(b.Context(), pool, discard, 10))
		_, err = pool.Exec(b.Context(), fmt.Sprintf(`INSERT INTO audit_logs (time, organization_id, user_id, resource_type, resource_id, resource_target, action, status_code, ip, diff)
			SELECT now() - i * interval '63 seconds', gen_random_uuid(), gen_random_uuid(), 'template', gen_random_uuid(), 'target ' || i, 'create', 200, '10.0.0.1',
				'{"name": {"old": "a", "new": "b", "secret": false}}' FROM generate_series(1, %d) AS i`, rows))
		require.NoError(b, err)
		begun := time.Now()
		require.NoError(b, postgres.Migrate(b.Context(), pool, discard))
		b.ReportMetric(rows/time.Since(begun).Seconds(), "migrated-rows/s")
		m, err := postgres.StartMaintenance(b.Context(), pool)
		require.NoError(b, err)
		begun = time.Now()
		split, err := m.Split(b.Context(), postgres.AuditLogTable, 0, nil)
		require.NoError(b, err)
		require.True(b, split.Done)
		b.ReportMetric(rows/time.Since(begun).Seconds(), "split-rows/s")
		require.NoError(b, m.Close())
		pool.Close()
	}
}
