package bench

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/metrics"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/internal/postgres"
)

// peakHeap samples the heap until its result is called, which is the most it was.
func peakHeap() func() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	var most uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticks := time.NewTicker(5 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				metrics.Read(sample)
				most = max(most, sample[0].Value.Uint64())
			case <-stop:
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return most
	}
}

// BenchmarkExport exports the whole log over HTTP, to a client that drops it, and
// the logs of the two organizations of an auditor.
func BenchmarkExport(b *testing.B) {
	l := logOf(b, "ROWFENCE_BENCH_ROWS", 1_000_000)
	for _, person := range []string{"site-auditor", "org-auditor"} {
		_, err := l.pool.Exec(b.Context(), `INSERT INTO sessions (token_hash, user_id, expires_at)
			SELECT $1, id, now() + interval '1 day' FROM users WHERE username = $2 ON CONFLICT DO NOTHING`,
			audit.TokenHash("export "+person), person)
		require.NoError(b, err)
	}
	server := httptest.NewServer(httpapi.New(httpapi.Config{
		Store: postgres.NewDB(l.pool), Authorizer: newEngine(b), Log: slog.New(slog.DiscardHandler),
	}))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	for _, c := range []struct{ name, person, format, accept string }{
		{"ndjson", "site-auditor", "ndjson", "identity"},
		{"ndjson-gzip", "site-auditor", "ndjson", "gzip"},
		{"csv", "site-auditor", "csv", "identity"},
		{"csv-2-organizations", "org-auditor", "csv", "identity"},
	} {
		b.Run(c.name, func(b *testing.B) {
			rows, size, peak := 0, int64(0), uint64(0)
			start := time.Now()
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL+"/api/v2/audit/export?format="+c.format, nil)
				require.NoError(b, err)
				r.Header.Set("Coder-Session-Token", "export "+c.person)
				r.Header.Set("Accept-Encoding", c.accept)
				heap := peakHeap()
				resp, err := client.Do(r)
				require.NoError(b, err)
				require.Equal(b, http.StatusOK, resp.StatusCode)
				n, err := io.Copy(io.Discard, resp.Body)
				require.NoError(b, err)
				require.NoError(b, resp.Body.Close())
				peak = max(peak, heap())
				require.Equal(b, "true", resp.Trailer.Get("Export-Complete"))
				exported, err := strconv.Atoi(resp.Trailer.Get("Export-Rows"))
				require.NoError(b, err)
				rows, size = rows+exported, size+n
			}
			took := time.Since(start).Seconds()
			b.ReportMetric(float64(rows)/took, "rows/s")
			b.ReportMetric(float64(rows)/float64(b.N), "rows")
			b.ReportMetric(float64(size)/1e6/took, "MB/s")
			b.ReportMetric(float64(peak)/1e6, "peak-heap-MB")
		})
	}
}
