package scale

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/demo"
	"github.com/rowfence/rowfence/internal/postgres"
)

const (
	// Organizations is how many there are in the log.
	Organizations = 1000
	seed          = 1
)

// day is where the log ends: always the same, so that the rows are.
var day = time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC)

// A Database is a log of many rows, and who searches it.
type Database struct {
	pool     *pgxpool.Pool
	url      string
	rows     int
	Subjects []Subject
	facts    facts
}

// A Subject is an auditor of the site (orgs is nil) or of some organizations.
type Subject struct {
	Name  string
	Token string // of a session
	orgs  []uuid.UUID
	// middle is the organization in the middle, by rows.
	middle uuid.UUID
}

// facts are what searches ask for, and is in the log.
type facts struct {
	names    map[uuid.UUID]string // of organizations
	large    uuid.UUID
	user     uuid.UUID // who did most in the large organization
	username string
	resource uuid.UUID              // a workspace of the large organization
	rare     string                 // a target that few rows have
	users    map[string][]uuid.UUID // by a text in their names
}

// Open migrates the database and loads as many audit logs into it, unless it has
// them.
func Open(ctx context.Context, url string, rows int, progress io.Writer) (*Database, error) {
	pool, err := postgres.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	d := &Database{pool: pool, url: url, rows: rows}
	if err := d.load(ctx, progress); err != nil {
		pool.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the connections.
func (d *Database) Close() { d.pool.Close() }

func (d *Database) load(ctx context.Context, progress io.Writer) error {
	if err := postgres.Migrate(ctx, d.pool, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	loaded, err := demo.Load(ctx, d.pool, demo.Options{
		Rows: d.rows, Organizations: Organizations, Seed: seed, Now: day, Progress: progress,
	})
	if err != nil {
		return err
	}
	if loaded.Rows != d.rows {
		return fmt.Errorf("the database has %d audit logs, not %d", loaded.Rows, d.rows)
	}
	// Indexes of newer migrations have changed what there is to know.
	if _, err := d.pool.Exec(ctx, "ANALYZE audit_logs"); err != nil {
		return fmt.Errorf("analyzing: %w", err)
	}
	ranked, err := d.rank(ctx)
	if err != nil {
		return err
	}
	if err := d.addSubjects(ctx, ranked); err != nil {
		return err
	}
	return d.learn(ctx, ranked)
}

// rank are the organizations, those of the most rows first.
func (d *Database) rank(ctx context.Context) ([]uuid.UUID, error) {
	rows, err := d.pool.Query(ctx, `SELECT id FROM organizations
		LEFT JOIN (SELECT organization_id AS id, count(*) AS n FROM audit_logs GROUP BY 1) AS sizes USING (id)
		ORDER BY n DESC NULLS LAST, id`)
	if err != nil {
		return nil, fmt.Errorf("counting the logs of organizations: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// auditorOf has the organizations in the order that the server has them in, too: who
// writes SQL does not know which of them have most rows.
func auditorOf(name string, ranked []uuid.UUID) Subject {
	orgs := slices.SortedFunc(slices.Values(ranked), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return Subject{Name: name, orgs: orgs, middle: ranked[len(ranked)/2]}
}

// addSubjects gives each auditor a session: the searches are theirs as the server
// would load them.
func (d *Database) addSubjects(ctx context.Context, ranked []uuid.UUID) error {
	var fifty []uuid.UUID
	for i := 1; i < len(ranked) && len(fifty) < 50; i += len(ranked) / 50 {
		fifty = append(fifty, ranked[i])
	}
	d.Subjects = []Subject{
		{Name: "site", middle: ranked[len(ranked)/2]},
		auditorOf("large", ranked[:1]),
		auditorOf("small", ranked[len(ranked)*9/10:len(ranked)*9/10+1]),
		auditorOf("50 orgs", fifty),
		auditorOf("1000 orgs", ranked),
	}
	tx, err := d.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("adding auditors: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	for i := range d.Subjects {
		s := &d.Subjects[i]
		s.Token = fmt.Sprintf("scale-%d", i)
		var id uuid.UUID
		id[6], id[8] = 0x40, 0x80
		binary.BigEndian.PutUint16(id[14:], uint16(i+1))
		roles := []string{"member"}
		if s.orgs == nil {
			roles = append(roles, "auditor")
		}
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO users (id, username, roles) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, id, s.Token, roles)
		batch.Queue(`INSERT INTO organization_members (organization_id, user_id, roles)
			SELECT o, $2, '{organization-auditor}' FROM unnest($1::uuid[]) AS o ON CONFLICT DO NOTHING`, s.orgs, id)
		batch.Queue(`INSERT INTO sessions (id, token_hash, user_id, expires_at) VALUES ($1, $2, $1, now() + interval '10 years')
			ON CONFLICT DO NOTHING`, id, audit.TokenHash(s.Token))
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("adding auditors: %w", err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("adding auditors: %w", err)
	}
	return nil
}

// learn looks up what is to be searched for.
func (d *Database) learn(ctx context.Context, ranked []uuid.UUID) error {
	f := &d.facts
	f.large, f.names = ranked[0], map[uuid.UUID]string{}
	rows, err := d.pool.Query(ctx, "SELECT id, name FROM organizations")
	if err == nil {
		var id uuid.UUID
		var name string
		_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error { f.names[id] = name; return nil })
	}
	if err != nil {
		return fmt.Errorf("reading organizations: %w", err)
	}
	// Of the newest rows: the whole log would take long to group.
	const newest = "(SELECT * FROM audit_logs WHERE organization_id = $1 ORDER BY time DESC, id DESC LIMIT 100000) AS l"
	err = d.pool.QueryRow(ctx, `SELECT u.id, u.username FROM (SELECT user_id, count(*) AS n FROM `+newest+` GROUP BY 1) AS most
		JOIN users AS u ON u.id = user_id ORDER BY n DESC, u.id LIMIT 1`, f.large).Scan(&f.user, &f.username)
	if err != nil {
		return fmt.Errorf("looking for a user: %w", err)
	}
	err = d.pool.QueryRow(ctx, `SELECT resource_id FROM (SELECT resource_id, count(*) AS n FROM `+newest+`
		WHERE resource_type = 'workspace' GROUP BY 1) AS most ORDER BY n DESC, 1 LIMIT 1`, f.large).Scan(&f.resource)
	if err != nil {
		return fmt.Errorf("looking for a resource: %w", err)
	}
	err = d.pool.QueryRow(ctx, `SELECT resource_target FROM `+newest+` WHERE resource_type = 'user' AND resource_target <> ''
		GROUP BY 1 ORDER BY count(*), 1 LIMIT 1`, f.large).Scan(&f.rare)
	if err != nil {
		return fmt.Errorf("looking for a target: %w", err)
	}
	r, err := postgres.NewDB(d.pool).Resolve(ctx, uuid.Nil, auditquery.Names{Texts: []string{nothing, frequent, f.rare}})
	f.users = r.Texts
	return err
}
