package examples

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/httpfilter"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/pgxfilter"
	"github.com/rowfence/rowfence/sqlfilter"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const (
	orgA = "a0000000-0000-4000-8000-00000000000a"
	orgB = "b0000000-0000-4000-8000-00000000000b"
)

const rows = `
TRUNCATE folders, documents RESTART IDENTITY;
INSERT INTO folders VALUES (1, '` + orgA + `'), (2, '` + orgB + `'), (3, NULL);
INSERT INTO documents VALUES
	(1, 1, '` + orgA + `', 'ann', 'one', 10),
	(2, 1, '` + orgA + `', 'bob', 'two', 20),
	(3, 2, '` + orgB + `', 'bob', 'three', 30),
	(4, 2, '` + orgB + `', 'cat', 'four', 40),
	(5, 3, NULL, 'ann', 'five', 50),
	(6, 2, '` + orgA + `', 'ann', 'six', 60);
`

// people are those who ask, with what they see and do. The filter for reading is a
// condition of one organization for ann, of an array for bob, always for root, and never
// for eve: see results.
var people = []struct {
	person  Person
	list    []int64 // of at least 20 words
	shelved []int64
	count   []Total
	renamed int64
	removed int64 // of fewer than 55 words
	copied  int64 // from folder 2
}{
	{
		person: Person{ID: "ann", Role: "member", Orgs: []string{orgA}},
		list:   []int64{2, 6}, shelved: []int64{2},
		count:   []Total{{1, 2, 30}, {2, 1, 60}},
		renamed: 2, removed: 1, copied: 1,
	},
	{
		person: Person{ID: "bob", Role: "member", Orgs: []string{orgA, orgB}},
		list:   []int64{2, 3, 4, 6}, shelved: []int64{2, 3, 4, 6},
		count:   []Total{{1, 2, 30}, {2, 3, 130}},
		renamed: 2, removed: 2, copied: 3,
	},
	{
		person: Person{ID: "root", Role: "admin", Orgs: []string{}},
		list:   []int64{2, 3, 4, 5, 6}, shelved: []int64{2, 3, 4, 5, 6},
		count:   []Total{{1, 2, 30}, {2, 3, 130}, {3, 1, 50}},
		renamed: 6, removed: 5, copied: 3,
	},
	{person: Person{ID: "eve", Role: "member", Orgs: []string{}}},
}

// results are what the filters for reading documents are.
var results = map[string]string{"ann": "when", "bob": "when", "root": "always", "eve": "never"}

func engine(t *testing.T) *rowfence.Engine {
	e, err := NewEngine(t.Context())
	require.NoError(t, err)
	return e
}

func as(ctx context.Context, t *testing.T, e *rowfence.Engine, p Person, action string) context.Context {
	s, err := rowfence.NewSubject(p)
	require.NoError(t, err)
	return rowfence.NewContext(ctx, rowfence.Request{Engine: e, Subject: s, Action: action})
}

// stores are all of them, on one database.
func stores(t *testing.T) (*pgxpool.Pool, map[string]Store) {
	url := pgtest.URL(t)
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	pgxfilter.ForceCustomPlans(config.ConnConfig)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), Tables)
	require.NoError(t, err)

	dsn, err := sqlfilter.CustomPlans(url)
	require.NoError(t, err)
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	// Another driver, which passes no slices.
	other, err := sql.Open("postgres", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	return pool, map[string]Store{
		"sql, lib/pq": NewSQL(other),
		"positional":  Positional{pool},
		"named":       Named{pool},
		"marked":      Marked{pool},
		"generated":   NewGenerated(pool),
		"sql":         NewSQL(db),
		"squirrel":    Squirrel{pool},
		"bun":         Bun{bun.NewDB(stdlib.OpenDBFromPool(pool), pgdialect.New())},
	}
}

func TestStores(t *testing.T) {
	e := engine(t)
	pool, all := stores(t)
	for name, store := range all {
		for _, p := range people {
			t.Run(name+"/"+p.person.ID, func(t *testing.T) {
				reset := func() {
					_, err := pool.Exec(t.Context(), rows)
					require.NoError(t, err)
				}
				reset()
				read := as(t.Context(), t, e, p.person, "read")
				filter, err := rowfence.FilterFrom(read, "document")
				require.NoError(t, err)
				require.Equal(t, results[p.person.ID], filter.Result().String())

				ids, err := store.List(read, 20)
				require.NoError(t, err)
				require.ElementsMatch(t, p.list, ids)
				ids, err = store.Shelved(read, 20)
				require.NoError(t, err)
				require.ElementsMatch(t, p.shelved, ids)
				totals, err := store.Count(read)
				require.NoError(t, err)
				require.ElementsMatch(t, p.count, totals)

				n, err := store.Copy(read, 2, 1)
				require.NoError(t, err)
				require.Equal(t, p.copied, n)
				require.Equal(t, 6+p.copied, count(t, pool, "TRUE"))
				reset()
				n, err = store.Rename(as(t.Context(), t, e, p.person, "update"), "it's new")
				require.NoError(t, err)
				require.Equal(t, p.renamed, n)
				require.Equal(t, p.renamed, count(t, pool, "title = 'it''s new'"))
				n, err = store.Remove(as(t.Context(), t, e, p.person, "delete"), 55)
				require.NoError(t, err)
				require.Equal(t, p.removed, n)
				require.Equal(t, 6-p.removed, count(t, pool, "TRUE"))
			})
		}
	}
}

func count(t *testing.T, pool *pgxpool.Pool, condition string) (n int64) {
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM documents WHERE "+condition).Scan(&n))
	return n
}

// Without a request nothing is seen or done, whatever the library.
func TestStoresFailClosed(t *testing.T) {
	pool, all := stores(t)
	_, err := pool.Exec(t.Context(), rows)
	require.NoError(t, err)
	for name, store := range all {
		t.Run(name, func(t *testing.T) {
			ids, err := store.List(t.Context(), 0)
			require.ErrorIs(t, err, rowfence.ErrNoRequest)
			require.Empty(t, ids)
			ids, err = store.Shelved(t.Context(), 0)
			require.ErrorIs(t, err, rowfence.ErrNoRequest)
			require.Empty(t, ids)
			totals, err := store.Count(t.Context())
			require.ErrorIs(t, err, rowfence.ErrNoRequest)
			require.Empty(t, totals)
			for _, change := range []func() (int64, error){
				func() (int64, error) { return store.Rename(t.Context(), "new") },
				func() (int64, error) { return store.Remove(t.Context(), 1000) },
				func() (int64, error) { return store.Copy(t.Context(), 1, 2) },
			} {
				n, err := change()
				require.ErrorIs(t, err, rowfence.ErrNoRequest)
				require.Zero(t, n)
			}
			require.EqualValues(t, 6, count(t, pool, "title <> 'new'"))
		})
	}
	for _, db := range sqlStores(all) {
		require.ErrorIs(t, db.db.QueryRowContext(t.Context(), "SELECT 1 WHERE /* authorize: document */ FALSE").Scan(new(int)), rowfence.ErrNoRequest)
	}
	// A query that says that it needs no filter runs; one on connections that put none in
	// selects nothing, since FALSE is in the place of it.
	require.NoError(t, NewGenerated(pool).Ping(t.Context()))
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM documents AS d WHERE /* authorize: document as d */ FALSE").Scan(&n))
	require.Zero(t, n)
}

// sqlStores are those on database/sql.
func sqlStores(all map[string]Store) (out []SQL) {
	for _, store := range all {
		if s, ok := store.(SQL); ok {
			out = append(out, s)
		}
	}
	return out
}

func TestHandler(t *testing.T) {
	pool, _ := stores(t)
	handler := Handler(engine(t), NewGenerated(pool), func(r *http.Request) (*rowfence.Subject, error) {
		user := r.Header.Get("X-User")
		if user == "mallory" {
			return nil, errors.New("the session store: secret")
		}
		for _, p := range people {
			if p.person.ID == user {
				return rowfence.NewSubject(p.person)
			}
		}
		return nil, httpfilter.ErrUnauthenticated
	}, slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		user, method, target string
		status               int
		want                 string
	}{
		{"ann", "GET", "/documents", 200, "[1,2]"},
		{"bob", "GET", "/documents", 200, "[1,2,3,4,6]"},
		{"root", "GET", "/documents", 200, "[1,2,3,4,5,6]"},
		{"eve", "GET", "/documents", 200, "null"},
		{"ann", "GET", "/totals", 200, `[{"Folder":1,"Documents":2,"Words":30},{"Folder":2,"Documents":1,"Words":60}]`},
		{"ann", "PATCH", "/documents?title=new", 200, "2"},
		{"eve", "DELETE", "/documents?words=100", 200, "0"},
		{"ann", "DELETE", "/documents?words=100", 200, "2"},
		{"ann", "DELETE", "/documents?words=x", 400, "words is no number"},
		{"", "GET", "/documents", 401, "Unauthorized"},
		{"mallory", "GET", "/documents", 500, "Internal Server Error"},
	} {
		_, err := pool.Exec(t.Context(), rows)
		require.NoError(t, err)
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.target, nil)
		r.Header.Set("X-User", c.user)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, c.status, w.Code, c)
		require.Equal(t, c.want, strings.TrimSpace(w.Body.String()), c)
	}
}

// The generated code is that of queries.sql, with every marker: sqlc drops comments that
// fill a line.
func TestGeneratedKeepsMarkers(t *testing.T) {
	written, err := os.ReadFile("queries.sql")
	require.NoError(t, err)
	generated, err := os.ReadFile("documents/queries.sql.go")
	require.NoError(t, err)
	require.Equal(t, 8, strings.Count(string(written), "/* authorize: "))
	require.Equal(t, 8, strings.Count(string(generated), "/* authorize: "))
}

// What docs/services.md shows is code that runs here.
func TestDocumentShowsTheExamples(t *testing.T) {
	document, err := os.ReadFile("../docs/services.md")
	require.NoError(t, err)
	files, err := filepath.Glob("*.*")
	require.NoError(t, err)
	var code strings.Builder
	for _, name := range append(files, "../README.md") {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		code.WriteString(undent(string(text)))
	}
	blocks := strings.Split(string(document), "\n```")
	shown := 0
	for i := 1; i < len(blocks); i += 2 {
		_, block, _ := strings.Cut(blocks[i], "\n")
		require.Contains(t, code.String(), undent(block+"\n"))
		shown++
	}
	require.Positive(t, shown)
}

// undent is a text with no white space in front of its lines.
func undent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}
