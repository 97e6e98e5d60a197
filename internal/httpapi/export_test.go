package httpapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/httpapi"
)

// listen serves the handler of the config as the program does, and is its address.
func listen(t *testing.T, config httpapi.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := httpapi.NewHTTPServer(httpapi.New(config), slog.New(slog.DiscardHandler))
	go server.Serve(listener) //nolint:errcheck // ends with Close
	t.Cleanup(func() { server.Close() })
	return "http://" + listener.Addr().String()
}

func open(t *testing.T, target, token string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	require.NoError(t, err)
	r.Header.Set("Coder-Session-Token", token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	// A connection each, without gzip unless it is asked for.
	resp, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func exportOf(t *testing.T, target, token string) (string, *http.Response) {
	t.Helper()
	resp := open(t, target, token)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	return string(body), resp
}

// lines are the rows of an export as NDJSON, which has to be complete.
func lines(t *testing.T, body string, resp *http.Response) []string {
	t.Helper()
	all := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	rows := all[:len(all)-1]
	require.Equal(t, fmt.Sprintf(`{"export":{"complete":true,"rows":%d}}`, len(rows)), all[len(all)-1])
	require.Equal(t, "true", resp.Trailer.Get("Export-Complete"))
	require.Equal(t, fmt.Sprint(len(rows)), resp.Trailer.Get("Export-Rows"))
	return rows
}

// at is the text in a CSV file of what stands at a path of a row's JSON.
func at(row any, path []string) string {
	for i, key := range path {
		object, ok := row.(map[string]any)
		if !ok {
			return ""
		}
		// The ids of what is joined have columns of their own.
		row = object[key]
		if i == len(path)-1 && row == nil {
			return ""
		}
	}
	switch v := row.(type) {
	case string:
		return v
	case []any:
		if len(v) > 0 {
			if _, ok := v[0].(string); ok {
				return strings.Trim(fmt.Sprint(v...), "[]")
			}
		}
		text, _ := json.Marshal(v)
		return string(text)
	case map[string]any:
		text, _ := json.Marshal(v)
		return string(text)
	default:
		return fmt.Sprint(v)
	}
}

// Both formats have the rows of the list, whole, in its order, for everyone.
func TestExportIsTheList(t *testing.T) {
	a := newAPI(t)
	a.addConnections(t)
	base := listen(t, a.config)
	for _, route := range []string{"/api/v2/audit", "/api/v2/connectionlog"} {
		for _, token := range []string{"ann", "bob", "plain", "two"} {
			for _, q := range []string{"", "organization:a", "username:nobody", "since:100000d", "web"} {
				t.Run(route+" "+token+" "+q, func(t *testing.T) {
					query := "q=" + url.QueryEscape(q)
					var list struct {
						Audits      []json.RawMessage `json:"audit_logs"`
						Connections []json.RawMessage `json:"connection_logs"`
					}
					w := request(a, http.MethodGet, route+"?limit=1000&"+query, token)
					require.Equal(t, http.StatusOK, w.Code)
					require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
					want := append(list.Audits, list.Connections...)

					body, resp := exportOf(t, base+route+"/export?format=ndjson&"+query, token)
					require.Equal(t, "application/x-ndjson; charset=utf-8", resp.Header.Get("Content-Type"))
					require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
					require.NotContains(t, body, "hunter")
					rows := lines(t, body, resp)
					require.Len(t, rows, len(want))
					for i, row := range rows {
						require.Equal(t, string(want[i]), row)
					}

					body, resp = exportOf(t, base+route+"/export?format=csv&"+query, token)
					require.Equal(t, "text/csv; charset=utf-8; header=present", resp.Header.Get("Content-Type"))
					require.Regexp(t, `^attachment; filename="(audit|connectionlog)-\d{8}T\d{6}Z\.csv"$`, resp.Header.Get("Content-Disposition"))
					require.Equal(t, "true", resp.Trailer.Get("Export-Complete"))
					require.Equal(t, fmt.Sprint(len(want)), resp.Trailer.Get("Export-Rows"))
					require.NotContains(t, body, "hunter")
					records, err := csv.NewReader(strings.NewReader(body)).ReadAll()
					require.NoError(t, err)
					require.Len(t, records, len(want)+1)
					for i, record := range records[1:] {
						var row any
						require.NoError(t, json.Unmarshal(want[i], &row))
						for j, cell := range record {
							path := records[0][j]
							if strings.HasSuffix(path, "diff") || strings.HasSuffix(path, "additional_fields") || strings.HasSuffix(path, "roles") {
								if cell != "" {
									require.JSONEq(t, at(row, strings.Split(path, ".")), cell, path)
								}
								continue
							}
							require.Equal(t, at(row, strings.Split(path, ".")), cell, path)
						}
					}
				})
			}
		}
	}
}

func TestExportInGzip(t *testing.T) {
	a := newAPI(t)
	base := listen(t, a.config)
	plain, _ := exportOf(t, base+"/api/v2/audit/export?format=csv", "bob")
	for accepted, zipped := range map[string]bool{
		"gzip": true, "br, GZIP;q=0.5": true, "*": true, "identity": false, "gzip;q=0": false, "*;q=0": false, "gzip;q=0, *": false, "gzip;q=x": false,
	} {
		resp := open(t, base+"/api/v2/audit/export?format=csv", "bob", "Accept-Encoding", accepted)
		require.Equal(t, "Accept-Encoding", resp.Header.Get("Vary"))
		body := io.Reader(resp.Body)
		if zipped {
			require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"), accepted)
			unzipped, err := gzip.NewReader(resp.Body)
			require.NoError(t, err)
			body = unzipped
		} else {
			require.Empty(t, resp.Header.Get("Content-Encoding"), accepted)
		}
		text, err := io.ReadAll(body)
		require.NoError(t, err)
		require.Equal(t, plain, string(text))
		_, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "4", resp.Trailer.Get("Export-Rows"))
	}
}

// What a spreadsheet would run is text to it, and in no way else changed.
func TestExportDefusesFormulas(t *testing.T) {
	a := newAPI(t)
	base := listen(t, a.config)
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1+1": "'-1+1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
		`"=1+1`: `'"=1+1`, ` =1`: `' =1`, `'=1`: `''=1`, "＝1": "'＝1", "-": "'-",
		"\u2003=1": "'\u2003=1", "\u200b=1": "'\u200b=1", "\v=1": "'\v=1", "\x01@x": "'\x01@x", "\u2028+1": "'\u2028+1", "﹦1": "'﹦1", "\u00a0\t1": "'\u00a0\t1",
		"\u2003a": "\u2003a",
		"-17":     "-17", "a=1": "a=1", `say "hi", a;=1`: `say "hi", a;=1`, "": "", "é": "é",
	} {
		a.purge(t, "DELETE FROM audit_logs")
		a.exec(t, `INSERT INTO audit_logs (organization_id, resource_type, resource_target, action, status_code, user_agent)
			VALUES ($1, 'user', $2, 'create', 200, $2)`, orgA, text)
		body, _ := exportOf(t, base+"/api/v2/audit/export?format=csv", "bob")
		records, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(body, "\r\n", "\n"))).ReadAll()
		require.NoError(t, err)
		require.Len(t, records, 2)
		found := 0
		for i, name := range records[0] {
			if name == "resource_target" || name == "user_agent" {
				require.Equal(t, want, records[1][i], "%q", text)
				found++
			}
		}
		require.Equal(t, 2, found)
		// Also where another character separates cells, none begins with a formula.
		for _, cell := range strings.FieldsFunc(body, func(r rune) bool { return r == ',' || r == '\n' }) {
			require.True(t, strings.HasPrefix(cell, `"`) || cell == "\r" || strings.ContainsAny(text, ",\n"), cell)
		}
	}
}

func TestExportRefusals(t *testing.T) {
	a := newAPI(t)
	for _, route := range []string{"/api/v2/audit/export", "/api/v2/connectionlog/export"} {
		for _, c := range []struct{ query, field, detail string }{
			{"", "format", `Query param "format" has invalid value: "" is not csv or ndjson`},
			{"format=CSV", "format", "is not csv or ndjson"},
			{"format=csv&format=csv", "format", "once"},
			{"format=csv&limit=5", "limit", `"limit" is not a valid query param`},
			{"format=csv&offset=5", "offset", `"offset" is not a valid query param`},
			{"format=csv&cursor=x", "cursor", `"cursor" is not a valid query param`},
			{"format=csv&count=none", "count", `"count" is not a valid query param`},
			{"format=csv&q=a:b:c", "q", "can only contain 1 ':'"},
			{"format=csv&q=%ff", "q", "UTF-8"},
			{"format=csv&q=" + strings.Repeat("x", 1<<20), "q", "at most"},
		} {
			w := request(a, http.MethodGet, route+"?"+c.query, "bob")
			require.Equal(t, http.StatusBadRequest, w.Code, clip(c.query))
			got := refused(t, w)
			require.Len(t, got.Validations, 1)
			require.Equal(t, c.field, got.Validations[0].Field)
			require.Contains(t, got.Validations[0].Detail, c.detail)
			require.Empty(t, w.Header().Get("Content-Disposition"))
		}
		require.Equal(t, http.StatusUnauthorized, request(a, http.MethodGet, route+"?format=csv", "old").Code)
		w := request(a, http.MethodPost, route+"?format=csv", "bob")
		require.Equal(t, http.StatusMethodNotAllowed, w.Code)
		w = request(a, http.MethodHead, route+"?format=csv", "bob")
		require.Equal(t, http.StatusOK, w.Code)
		require.NotEmpty(t, w.Header().Get("Content-Disposition"))
		require.Zero(t, w.Body.Len())
	}
}

// fill adds so many audit logs.
func (a api) fill(t *testing.T, n int) {
	t.Helper()
	a.exec(t, `INSERT INTO audit_logs (time, organization_id, user_id, resource_type, resource_target, action, status_code, user_agent)
		SELECT '2026-03-01Z'::timestamptz + i / 7 * interval '1 second', CASE WHEN i % 2 = 0 THEN $1 ELSE $2 END::uuid, $3, 'user', 'filled', 'create', 200, repeat('x', 200)
		FROM generate_series(1, $4) AS i`, orgA, orgB, ann, n)
	a.exec(t, "ANALYZE audit_logs")
}

// Errors before the first byte are the usual answers; after it the answer is cut.
func TestExportFailures(t *testing.T) {
	const many = 1000
	for rows, wants := range map[int]int{0: http.StatusInternalServerError, 3: http.StatusInternalServerError, many: http.StatusOK} {
		config := httpapi.Config{Store: stub{exported: rows, list: io.ErrNoProgress}, Authorizer: always{}, Log: slog.New(slog.DiscardHandler)}
		base := listen(t, config)
		for _, format := range []string{"csv", "ndjson"} {
			resp := open(t, base+"/api/v2/audit/export?format="+format, "t")
			require.Equal(t, wants, resp.StatusCode)
			body, err := io.ReadAll(resp.Body)
			require.NotContains(t, string(body), "no progress")
			require.Empty(t, resp.Trailer.Get("Export-Complete"))
			if rows < many {
				require.NoError(t, err)
				require.Empty(t, resp.Header.Get("Content-Disposition"))
				require.Contains(t, string(body), "Internal error.")
				continue
			}
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			if format == "ndjson" {
				require.True(t, strings.HasSuffix(string(body), "\n"+`{"export":{"complete":false,"rows":1000}}`+"\n"), string(body))
			}
		}
	}
}

// A database that fails midway cuts the answer, and what the export held is free.
func TestExportIsCutWhenTheDatabaseFails(t *testing.T) {
	a := newAPI(t)
	a.fill(t, 30_000)
	a.config.MaxExports = 1
	base := listen(t, a.config)
	for _, format := range []string{"csv", "ndjson"} {
		resp := open(t, base+"/api/v2/audit/export?format="+format, "bob")
		body := bufio.NewReader(resp.Body)
		_, err := body.ReadString('\n')
		require.NoError(t, err)
		a.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL")
		rest, err := io.ReadAll(body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Empty(t, resp.Trailer.Get("Export-Complete"))
		require.NotContains(t, string(rest), `"complete":true`)
	}
	require.Eventually(t, func() bool {
		resp := open(t, base+"/api/v2/audit/export?format=csv&q=web", "bob")
		_, err := io.Copy(io.Discard, resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
}

// An export ends, however steadily its client reads.
func TestExportIsCutWhenItTakesTooLong(t *testing.T) {
	a := newAPI(t)
	a.fill(t, 40_000)
	a.config.ExportTimeout = 200 * time.Millisecond
	base := listen(t, a.config)
	resp := open(t, base+"/api/v2/audit/export?format=ndjson", "bob")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	body := make([]byte, 64<<10)
	var err error
	var read []byte
	for err == nil {
		var n int
		n, err = resp.Body.Read(body)
		read = append(read, body[:n]...)
		time.Sleep(20 * time.Millisecond)
	}
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotContains(t, string(read), `"complete":true`)
	a.config.ExportTimeout = time.Nanosecond
	base = listen(t, a.config)
	require.Equal(t, http.StatusServiceUnavailable, open(t, base+"/api/v2/audit/export?format=csv", "bob").StatusCode)
}

func TestExportCutsSlowClients(t *testing.T) {
	a := newAPI(t)
	a.fill(t, 40_000)
	a.config.WriteTimeout = 100 * time.Millisecond
	base := listen(t, a.config)
	resp := open(t, base+"/api/v2/audit/export?format=ndjson", "bob")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Eventually(t, func() bool {
		var open int
		err := a.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL").Scan(&open)
		return err == nil && open == 0
	}, 10*time.Second, 10*time.Millisecond)
	body, err := io.ReadAll(resp.Body)
	require.Error(t, err)
	require.NotContains(t, string(body), `"complete":true`)
}

// As many exports run as may; others are told to come again.
func TestExportsAreBounded(t *testing.T) {
	a := newAPI(t)
	a.config.MaxExports = 3
	base := listen(t, a.config)
	tx, err := a.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	statuses := make(chan int, 3)
	begin := func(token string, running int) {
		go func() {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v2/audit/export?format=csv", nil)
			r.Header.Set("Coder-Session-Token", token)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				statuses <- 0
				return
			}
			_, err = io.Copy(io.Discard, resp.Body)
			if resp.Body.Close(); err != nil || resp.Trailer.Get("Export-Complete") != "true" {
				statuses <- 0
				return
			}
			statuses <- resp.StatusCode
		}()
		require.Eventually(t, func() bool {
			var waiting int
			err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting)
			return err == nil && waiting == running
		}, 10*time.Second, 5*time.Millisecond)
	}
	full := func(token string) {
		resp := open(t, base+"/api/v2/audit/export?format=csv", token)
		require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
		require.Equal(t, "10", resp.Header.Get("Retry-After"))
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), "Too many exports")
	}
	begin("bob", 1)
	begin("two", 2) // another session of bob's
	full("bob")
	begin("ann", 3)
	full("plain")
	require.NoError(t, tx.Rollback(t.Context()))
	for range 3 {
		require.Equal(t, http.StatusOK, <-statuses)
	}
	exportOf(t, base+"/api/v2/audit/export?format=csv", "bob")
}

// Rows that are written or removed while an export runs do not change it.
func TestExportIsOfOneInstant(t *testing.T) {
	a := newAPI(t)
	a.fill(t, 30_000)
	base := listen(t, a.config)
	resp := open(t, base+"/api/v2/audit/export?format=ndjson", "bob")
	body := bufio.NewReader(resp.Body)
	first, err := body.ReadString('\n')
	require.NoError(t, err)
	a.purge(t, "DELETE FROM audit_logs WHERE time < '2026-03-01 00:10Z'")
	a.exec(t, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code) VALUES ('2026-03-01Z', 'user', 'late', 'create', 200)`)
	rest, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Len(t, lines(t, first+string(rest), resp), 30_004)
	require.NotContains(t, string(rest), `"late"`)
}

func TestExportEndsWithTheServer(t *testing.T) {
	a := newAPI(t)
	a.fill(t, 30_000)
	closing, shutDown := context.WithCancel(t.Context())
	a.config.Closing, a.config.CloseGrace = closing, 50*time.Millisecond
	base := listen(t, a.config)
	resp := open(t, base+"/api/v2/audit/export?format=ndjson", "bob")
	_, err := bufio.NewReaderSize(resp.Body, 16).ReadString('\n')
	require.NoError(t, err)
	shutDown()
	require.Eventually(t, func() bool {
		var open int
		err := a.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL").Scan(&open)
		return err == nil && open == 0
	}, 10*time.Second, 10*time.Millisecond)
	_, err = io.Copy(io.Discard, resp.Body)
	require.Error(t, err)
}

// Memory does not grow with the rows: the heap at its peak is that of few of them.
func TestExportMemoryIsFlat(t *testing.T) {
	a := newAPI(t)
	base := listen(t, a.config)
	peak := func(rows int, format string) uint64 {
		runtime.GC()
		var stats runtime.MemStats
		var most uint64
		resp := open(t, base+"/api/v2/audit/export?format="+format+"&q=filled", "bob")
		require.Equal(t, http.StatusOK, resp.StatusCode)
		buffer := make([]byte, 64<<10)
		var tail []byte
		for i := 0; ; i++ {
			n, err := resp.Body.Read(buffer)
			tail = append(tail[:0], buffer[:n]...)
			if i%64 == 0 {
				runtime.ReadMemStats(&stats)
				most = max(most, stats.HeapAlloc)
			}
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
		}
		require.Equal(t, fmt.Sprint(rows), resp.Trailer.Get("Export-Rows"))
		if format == "ndjson" && len(tail) > 0 {
			require.True(t, bytes.HasSuffix(tail, []byte("}\n")))
		}
		return most
	}
	a.fill(t, 10_000)
	peak(10_000, "csv") // warms up
	few := map[string]uint64{"csv": peak(10_000, "csv"), "ndjson": peak(10_000, "ndjson")}
	a.fill(t, 190_000)
	for format, before := range few {
		after := peak(200_000, format)
		t.Logf("%s: %.1f MB at the peak for 10,000 rows, %.1f for 200,000", format, float64(before)/1e6, float64(after)/1e6)
		require.Less(t, after, before+16<<20)
	}
}
