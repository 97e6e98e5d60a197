// Package serve is the audit server as a value: it wires storage, policy and
// HTTP together, so that the command and an end-to-end test start the same thing.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/demo"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/internal/ingest"
	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/pglocal"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/policies"
)

const (
	// DefaultListen is the address of a server that is given none.
	DefaultListen = "127.0.0.1:8080"

	// Longer than any request may take.
	drainTimeout = 20 * time.Second
	// PostgreSQL may be starting beside us.
	connectTimeout  = 30 * time.Second
	connectInterval = 500 * time.Millisecond

	// cursorKey is what the key of cursors is called in the database.
	cursorKey = "cursors"
)

// Config says how a server runs.
type Config struct {
	// DatabaseURL is a PostgreSQL to use. Without one a private PostgreSQL is
	// started, whose data is in DataDir.
	DatabaseURL string
	// MaintenanceURL is the same database for the owner of its tables, who migrates
	// and maintains it. Empty is DatabaseURL; without that it is not used.
	MaintenanceURL string
	// MaintainEvery is how often the logs are maintained, as Maintain says, at first
	// when the server is ready; 0 is never.
	MaintainEvery time.Duration
	Maintain      maintain.Config
	// Listen is the TCP address; port 0 picks a free one. Empty is DefaultListen.
	Listen string
	// DataDir is the directory that is kept from run to run. It is created when
	// something is to be written there, and needed then.
	DataDir string
	// Demo asks for demo data, unless the database has them.
	Demo bool
	// Rows is the number of audit logs in the demo data; 0 is their default.
	Rows int
	// Progress is told how the loading of demo data gets on. Nil discards it.
	Progress io.Writer
	// Log is the server's. Nil discards it.
	Log *slog.Logger
}

// Main is a server. It runs once.
type Main struct {
	config Config
	log    *slog.Logger

	stop    context.CancelFunc
	stopped context.Context // done once Close was called
	ready   chan struct{}
	ended   chan struct{}
	once    sync.Once
	addr    string // set before ready is closed
	people  []demo.Person
	others  string // how to come by other demo data
	url     string // of the database
	err     error  // set before ended is closed
}

// New is a server that does not run yet.
func New(config Config) *Main {
	if config.Listen == "" {
		config.Listen = DefaultListen
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Progress == nil {
		config.Progress = io.Discard
	}
	m := &Main{config: config, log: config.Log, ready: make(chan struct{}), ended: make(chan struct{})}
	m.stopped, m.stop = context.WithCancel(context.Background())
	return m
}

// Ready is closed once the server answers requests. It stays open if Run fails
// before that.
func (m *Main) Ready() <-chan struct{} { return m.ready }

// Addr is the address that the server listens on, "" before it is ready.
func (m *Main) Addr() string {
	select {
	case <-m.ready:
		return m.addr
	default:
		return ""
	}
}

// Run runs the server until ctx ends or Close is called. Then it takes no new
// requests, finishes those that it has, and returns nil. Everything it started
// has ended when it returns.
func (m *Main) Run(ctx context.Context) error {
	err := errors.New("the server has run already")
	m.once.Do(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(m.stopped, cancel)()
		m.err = m.run(ctx)
		err = m.err
		close(m.ended)
	})
	return err
}

// Close ends Run, waits for it, and returns its error. A server that did not
// run never will.
func (m *Main) Close() error {
	m.stop()
	m.once.Do(func() { close(m.ended) })
	<-m.ended
	return m.err
}

func (m *Main) run(ctx context.Context) (err error) {
	// First, so that a port in use is told before minutes of loading. Who asks
	// too early waits for the answer.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", m.config.Listen)
	if err != nil {
		return m.unlessStopped(ctx, fmt.Errorf("listening on %s: %w", m.config.Listen, err))
	}
	defer listener.Close() // when it was served it is closed already
	m.warnOfDemo(ctx, listener)
	url, closeDatabase, err := m.database(ctx)
	if err != nil {
		return m.unlessStopped(ctx, err)
	}
	defer func() { err = errors.Join(err, closeDatabase()) }()
	m.url = url
	pool, err := postgres.Open(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	owner := pool
	if m.config.MaintenanceURL != "" && m.config.DatabaseURL != "" {
		if owner, err = postgres.Open(ctx, m.config.MaintenanceURL); err != nil {
			return fmt.Errorf("for maintenance: %w", err)
		}
		defer owner.Close()
	}
	handler, queue, err := m.prepare(ctx, pool, owner)
	if err != nil {
		return m.unlessStopped(ctx, err)
	}
	// After the requests, whose events are written by then.
	defer func() { err = errors.Join(err, m.flush(queue)) }()
	endMaintenance, err := m.maintain(ctx, owner)
	if err != nil {
		return m.unlessStopped(ctx, err)
	}
	defer endMaintenance()
	m.addr = listener.Addr().String()
	m.log.InfoContext(ctx, "listening", "address", m.addr)
	m.introduce()
	return m.serve(ctx, httpapi.NewHTTPServer(handler, m.log), listener)
}

// unlessStopped is nil for an error of a server that was told to stop before it
// was ready: whatever it was doing was interrupted. Not every such error is the
// context's; PostgreSQL says that a user cancelled the statement.
func (m *Main) unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	m.log.InfoContext(ctx, "stopped before it was ready")
	return nil
}

// database is the URL to connect to, and what to close at the end.
func (m *Main) database(ctx context.Context) (url string, closing func() error, err error) {
	if m.config.DatabaseURL != "" {
		return m.config.DatabaseURL, func() error { return nil }, nil
	}
	if m.config.DataDir == "" {
		return "", nil, errors.New("a database URL, or a data directory for a private PostgreSQL, is needed")
	}
	m.log.InfoContext(ctx, "starting a private PostgreSQL", "data_dir", m.config.DataDir)
	server, err := pglocal.Start(ctx, pglocal.Options{DataDir: filepath.Join(m.config.DataDir, "postgres"), Log: m.log})
	if err != nil {
		return "", nil, err
	}
	m.others = "for others use another --data-dir, or stop this server and remove " + server.Home()
	return server.URL(), server.Close, nil
}

// prepare brings the database up to date and makes the handler of requests, and the
// queue of the events that it takes.
func (m *Main) prepare(ctx context.Context, pool, owner *pgxpool.Pool) (http.Handler, *ingest.Queue, error) {
	if err := m.connect(ctx, pool); err != nil {
		return nil, nil, err
	}
	// A role that may not migrate can still serve what is migrated already.
	if ready := postgres.NewDB(pool).Ready(ctx); ready != nil {
		if err := postgres.Migrate(ctx, owner, m.log); err != nil {
			return nil, nil, err
		}
	}
	if m.config.Demo {
		if err := m.loadDemo(ctx, owner); err != nil {
			return nil, nil, err
		}
	}
	engine, err := rowfence.New(ctx, rowfence.Config{
		Policies: policies.FS,
		Schema:   policies.Schema(),
		Query:    policies.Entrypoint,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("compiling the bundled policy: %w", err)
	}
	db := postgres.NewDB(pool)
	key, err := db.Key(ctx, cursorKey)
	if err != nil {
		return nil, nil, err
	}
	cursors, err := auditquery.NewCursors(key)
	if err != nil {
		return nil, nil, err
	}
	queue := ingest.NewQueue(db, ingest.Options{})
	return httpapi.New(httpapi.Config{
		Store: db, Authorizer: engine, Cursors: cursors, Log: m.log, Decider: engine, Ingester: events{queue, db}, Closing: ctx,
	}), queue, nil
}

// events is where events go, and what is known of them.
type events struct {
	*ingest.Queue
	*postgres.DB
}

// flush writes what is left of the events whose clients did not wait.
func (m *Main) flush(queue *ingest.Queue) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := queue.Close(ctx); err != nil {
		return fmt.Errorf("writing the last events: %w", err)
	}
	return nil
}

// maintain maintains the logs until ctx ends. The function that it returns waits
// for the end of that.
func (m *Main) maintain(ctx context.Context, owner *pgxpool.Pool) (wait func(), err error) {
	if m.config.MaintainEvery <= 0 {
		return func() {}, nil
	}
	may, err := postgres.MayMaintain(ctx, owner)
	if err != nil {
		return nil, err
	}
	if !may {
		m.log.WarnContext(ctx, "this server's role does not own the logs: partitions, seals and retention are left to rowfence maintain")
		return func() {}, nil
	}
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(ended)
		maintain.Loop(ctx, owner, m.config.Maintain, m.config.MaintainEvery, m.log)
	}()
	return func() { cancel(); <-ended }, nil
}

// connect waits until the database answers.
func (m *Main) connect(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for waiting := false; ; waiting = true {
		err := pool.Ping(ctx)
		if err == nil {
			return nil
		}
		if !postgres.Temporary(err) {
			return fmt.Errorf("connecting to the database: %w", err)
		}
		if !waiting {
			m.log.InfoContext(ctx, "waiting for the database", "for", connectTimeout)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connecting to the database: %w (%w)", err, ctx.Err())
		case <-time.After(connectInterval):
		}
	}
}

// serve answers requests until ctx ends, and drains those that are running.
func (m *Main) serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	close(m.ready)
	select {
	case err := <-failed:
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	m.log.InfoContext(ctx, "shutting down")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("draining requests: %w", err), server.Close())
	}
	return nil
}
