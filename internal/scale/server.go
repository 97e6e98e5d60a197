package scale

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/policies"
	"github.com/rowfence/rowfence/sqlgen"
)

// A querier is a pool, a connection or a transaction.
type querier interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// A recorder is told of the statements that the server's storage sends, so that
// those can be measured and not copies of them.
type recorder struct {
	mu   sync.Mutex
	sent []sent
}

// sent is a statement, how long it was given (0 is without limit), and whether that
// passed.
type sent struct {
	statement
	within  time.Duration
	givenUp bool
}

// TraceQueryStart records the statement if it is of the log.
func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.add(sent{statement: statement{data.SQL, data.Args}})
	return ctx
}

// TraceQueryEnd does nothing.
func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

type limitKey struct{}

// TraceBatchStart makes place for the limit of the statements behind it.
func (r *recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return context.WithValue(ctx, limitKey{}, new(time.Duration))
}

// TraceBatchQuery records a statement that is limited when it has ended.
func (r *recorder) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	within := ctx.Value(limitKey{}).(*time.Duration)
	if data.SQL != postgres.LimitStatement {
		r.add(sent{statement{data.SQL, data.Args}, *within, data.Err != nil})
		return
	}
	n, err := strconv.Atoi(data.Args[0].(string))
	if err != nil {
		panic(err) // it is the storage's own
	}
	*within = time.Duration(n) * time.Millisecond
}

// TraceBatchEnd does nothing.
func (r *recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (r *recorder) add(s sent) {
	if !strings.Contains(s.sql, "audit_logs") {
		return // the users and resources of a page
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, s)
}

func (r *recorder) take() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.sent
	r.sent = nil
	return all
}

// A server is the storage and the engine, as the server has them.
type server struct {
	engine   *rowfence.Engine
	store    *postgres.DB
	recorder *recorder
	pool     *pgxpool.Pool // of the store
}

// capped is a pool whose statements PostgreSQL stops: a request to stop them could be
// taken for one of the next statement.
func capped(ctx context.Context, pool *pgxpool.Pool, within time.Duration) (*pgxpool.Pool, error) {
	config := pool.Config()
	config.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(within.Milliseconds(), 10)
	return pgxpool.NewWithConfig(ctx, config)
}

// stopped reports whether PostgreSQL stopped the statement at the cap.
func stopped(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "57014"
}

func newServer(ctx context.Context, pool *pgxpool.Pool) (*server, error) {
	engine, err := rowfence.New(ctx, rowfence.Config{Policies: policies.FS, Schema: policies.Schema(), Query: policies.Entrypoint})
	if err != nil {
		return nil, fmt.Errorf("compiling the bundled policy: %w", err)
	}
	r := &recorder{}
	config := pool.Config()
	config.ConnConfig.Tracer = r
	traced, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	return &server{engine, postgres.NewDB(traced), r, traced}, nil
}

// filter is what the subject may read, and the subject as the engine knows it.
func (s *server) filter(ctx context.Context, who Subject) (sqlgen.Filter, *rowfence.Subject, error) {
	session, err := s.store.Session(ctx, who.Token)
	if err != nil {
		return sqlgen.Never(), nil, err
	}
	subject, err := rowfence.NewSubject(session.Subject.Document())
	if err != nil {
		return sqlgen.Never(), nil, err
	}
	f, err := s.engine.Filter(ctx, subject, "read", "audit_log")
	return f, subject, err
}

// asked are the statements that the server sends for the list and for the count,
// and how many rows it shows.
func (s *server) asked(ctx context.Context, authorized sqlgen.Filter, of search) (list, count []sent, shown int, err error) {
	parsed, err := auditquery.ParseAudit(of.q)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("%s: %w", of.q, err)
	}
	session, err := s.store.Resolve(ctx, uuid.Nil, parsed.Names())
	if err != nil {
		return nil, nil, 0, err
	}
	found := parsed.Predicate(session)
	how := audit.Counting{Cap: countCap, Limit: time.Second, Within: time.Second}
	// The last time counts, when all that can be is cached: what takes long may be
	// given up for another statement.
	for range 3 {
		s.recorder.take()
		rows, _, err := s.store.AuditLogs(ctx, authorized, found, of.page)
		if err != nil {
			return nil, nil, 0, err
		}
		list, shown = s.recorder.take(), len(rows)
		if _, err := s.store.CountAuditLogs(ctx, authorized, found, how); err != nil {
			return nil, nil, 0, err
		}
		count = s.recorder.take()
	}
	return list, count, shown, nil
}

// again sends what was sent, each within its time.
func again(in querier, all []sent) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for _, s := range all {
			if s.within == 0 {
				if err := read(ctx, in, s.statement); err != nil {
					return err
				}
				continue
			}
			err := postgres.Within(ctx, in, s.within, s.sql, s.args, drain)
			if err != nil && !errors.Is(err, postgres.ErrLimit) {
				return err
			}
		}
		return nil
	}
}

// read sends the statement and reads all rows of the answer.
func read(ctx context.Context, in querier, s statement) error {
	rows, err := in.Query(ctx, s.sql, s.args...)
	if err != nil {
		return err
	}
	return drain(rows)
}

func drain(rows pgx.Rows) error {
	for rows.Next() {
		rows.RawValues()
	}
	rows.Close()
	return rows.Err()
}
