package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
)

// rowsOfIndexes are written to measure what an index costs.
const rowsOfIndexes = 100_000

// What each index of the audit log adds to the writing of a row: time, WAL, and
// space. Rows come in the order of time, into a month that has some already.
func BenchmarkIndexes(b *testing.B) {
	l := logOf(b, "ROWFENCE_STORAGE_ROWS", 200_000)
	rows, err := l.pool.Query(b.Context(), `SELECT replace(i.indexrelid::regclass::text, 'audit_logs_', ''),
			regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', 'USING ')
		FROM pg_index AS i WHERE indrelid = 'audit_logs'::regclass ORDER BY 1`)
	require.NoError(b, err)
	type index struct{ Name, Using string }
	indexes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	require.NoError(b, err)
	exec := func(sql string) {
		_, err := l.pool.Exec(b.Context(), sql)
		require.NoError(b, err)
	}
	exec(fmt.Sprintf("CREATE TABLE source AS SELECT * FROM audit_logs ORDER BY time LIMIT %d", rowsOfIndexes))
	defer exec("DROP TABLE source")
	var bare float64
	for _, i := range append([]index{{"none", ""}}, indexes...) {
		b.Run(i.Name, func(b *testing.B) {
			best, wal, size := 1e9, 1e18, 0.0
			for b.Loop() {
				exec("CREATE TABLE target (LIKE audit_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
				if i.Using != "" {
					exec("CREATE INDEX measured ON target " + i.Using)
				}
				exec("INSERT INTO target SELECT * FROM source LIMIT 1000")
				exec("CHECKPOINT")
				var before, after string
				require.NoError(b, l.pool.QueryRow(b.Context(), "SELECT pg_current_wal_insert_lsn()::text").Scan(&before))
				begun := time.Now()
				exec("INSERT INTO target SELECT (gen_random_uuid()), " + strings.TrimPrefix(columnsButID(b, l), "id, ") + " FROM source")
				best = min(best, time.Since(begun).Seconds())
				require.NoError(b, l.pool.QueryRow(b.Context(), "SELECT pg_current_wal_insert_lsn()::text").Scan(&after))
				var bytes, on float64
				require.NoError(b, l.pool.QueryRow(b.Context(), "SELECT pg_wal_lsn_diff($1::text::pg_lsn, $2::text::pg_lsn)::float8, pg_indexes_size('target')::float8", after, before).Scan(&bytes, &on))
				wal, size = min(wal, bytes), on
				exec("DROP TABLE target")
			}
			if i.Using == "" {
				bare = best
			}
			b.ReportMetric((best-bare)*1e6/rowsOfIndexes, "µs/row-more")
			b.ReportMetric(wal/rowsOfIndexes, "WAL-B/row")
			b.ReportMetric(size/(rowsOfIndexes+1000), "size-B/row")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func columnsButID(b *testing.B, l *log) string {
	b.Helper()
	var columns string
	require.NoError(b, l.pool.QueryRow(b.Context(), `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'source'::regclass AND attnum > 0`).Scan(&columns))
	return columns
}

// storage is a log of its own: what is measured changes it.
var storage = sync.OnceValues(func() (*log, error) {
	return load(context.Background(), pgtest.MustURL(), 200_000)
})

func storageLog(b *testing.B) *log {
	b.Helper()
	l, err := storage()
	require.NoError(b, err)
	return l
}

func BenchmarkSeal(b *testing.B) {
	l := storageLog(b)
	var rows int64
	for b.Loop() {
		b.StopTimer()
		_, err := l.pool.Exec(b.Context(), "BEGIN; SELECT set_config('rowfence.maintenance', 'on', true); DELETE FROM log_seals; COMMIT")
		require.NoError(b, err)
		b.StartTimer()
		report, err := maintain.Run(b.Context(), l.pool, maintain.Config{Ahead: 3})
		require.NoError(b, err)
		for _, l := range report.Logs {
			rows += l.Sealed.Rows
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkVerify(b *testing.B) {
	l := storageLog(b)
	_, err := maintain.Run(b.Context(), l.pool, maintain.Config{Ahead: 3})
	require.NoError(b, err)
	var rows int64
	for b.Loop() {
		report, err := postgres.VerifySeals(b.Context(), l.pool, seal.Options{})
		require.NoError(b, err)
		require.True(b, report.OK)
		rows += report.Rows
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// Deleting the oldest rows of a partition, a transaction of 10,000 each.
func BenchmarkPurgeBatch(b *testing.B) {
	l := storageLog(b)
	_, err := maintain.Run(b.Context(), l.pool, maintain.Config{Ahead: 3})
	require.NoError(b, err)
	m, err := postgres.StartMaintenance(b.Context(), l.pool)
	require.NoError(b, err)
	defer m.Close()
	var rows int64
	for b.Loop() {
		purge, err := m.PurgeBatch(b.Context(), postgres.AuditLogTable, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), 10_000)
		require.NoError(b, err)
		if purge.Rows == 0 {
			b.Fatal("no rows are left: use a shorter -benchtime")
		}
		rows += purge.Rows
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
