package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/rowfence/rowfence/internal/audit"
)

const (
	// What was written has to be on disk when it is said to be, also where the
	// database's default is another.
	//
	// All joins are of the rows of a group with large tables by their keys. The time
	// says which partition has a row, but the planner reckons with all of them, and
	// would rather read a small log as a whole to join it.
	beginDurable = "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"

	// A group that met another one's locks in the wrong order, or a change of the
	// tables beneath it, is written again this often.
	writeAttempts = 3

	// IdempotencyKeysKept is how long a batch that comes again is known.
	IdempotencyKeysKept = 24 * time.Hour
)

// WriteBatches writes the batches in one transaction, durably, and says what became
// of each. If the values of one are refused, the others are written without it.
func (db *DB) WriteBatches(ctx context.Context, batches []audit.Batch) []audit.Outcome {
	outcomes, err := db.writeGroup(ctx, batches)
	if err == nil {
		return outcomes
	}
	if len(batches) > 1 && refusesValues(err) {
		outcomes = nil
		for _, b := range batches {
			outcomes = append(outcomes, db.WriteBatches(ctx, []audit.Batch{b})...)
		}
		return outcomes
	}
	return slices.Repeat([]audit.Outcome{{Err: err}}, len(batches))
}

// refusesValues reports whether the database is well and does not take the rows.
func refusesValues(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return false
	}
	switch pgErr.Code[:2] {
	case "22", "23", "54": // data, constraints, limits
		return true
	}
	return false
}

func (db *DB) writeGroup(ctx context.Context, batches []audit.Batch) (outcomes []audit.Outcome, err error) {
	for attempt := 1; ; attempt++ {
		outcomes, err = db.writeOnce(ctx, batches)
		if err == nil || !passes(err) || attempt == writeAttempts {
			return outcomes, err
		}
	}
}

// passes reports whether what was not written may be when it is tried again: it met
// others' locks (class 40), or a partition that was made meanwhile for rows that were
// on their way to the default one, which then breaks a constraint without a name.
func passes(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code[:2] == "40" || pgErr.Code == "23514" && pgErr.ConstraintName == "")
}

func (db *DB) writeOnce(ctx context.Context, batches []audit.Batch) (outcomes []audit.Outcome, err error) {
	const doing = "writing events"
	tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: beginDurable})
	if err != nil {
		return nil, queryError(ctx, doing, err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // does nothing after a commit
	g := &group{tx: tx, batches: batches, outcomes: make([]audit.Outcome, len(batches))}
	// All groups lock in this order, each in the order of the keys, so that none
	// waits for one that waits for it.
	for _, step := range []struct {
		doing string
		do    func(context.Context) error
	}{
		{"claiming idempotency keys", g.claimKeys},
		{"writing connection logs", g.writeConnections},
		{"writing audit logs", g.writeAudit},
		{"keeping the registry of resources", g.registerResources},
		{"forgetting idempotency keys", g.forgetKeys},
	} {
		if err := step.do(ctx); err != nil {
			return nil, queryError(ctx, step.doing, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, queryError(ctx, doing, err)
	}
	return g.resolve(), nil
}

// A group is batches that are written in one transaction.
type group struct {
	tx       pgx.Tx
	batches  []audit.Batch
	outcomes []audit.Outcome
	fresh    []int       // batches that are to be written
	claimed  []int       // those of them that have a key
	same     map[int]int // batches with the key of an earlier one in this group
}

func logName(b audit.Batch) string {
	if b.Connections != nil {
		return "connection"
	}
	return "audit"
}

const (
	claimKey = `
INSERT INTO ingested_batches AS b (user_id, log, key, fingerprint, ids, expires_at)
VALUES ($1, $2, $3, $4, '{}', now() + $5)
ON CONFLICT (user_id, log, key) DO UPDATE
SET fingerprint = excluded.fingerprint, ids = excluded.ids, expires_at = excluded.expires_at
WHERE b.expires_at <= now()`
	claimedKey = "SELECT fingerprint, ids FROM ingested_batches WHERE user_id = $1 AND log = $2 AND key = $3"
	answerKey  = "UPDATE ingested_batches SET ids = $4 WHERE user_id = $1 AND log = $2 AND key = $3"
	// A few more than are claimed, so that they get fewer, and a few at least.
	forgetExpired = `
DELETE FROM ingested_batches WHERE ctid = ANY(ARRAY(
	SELECT ctid FROM ingested_batches WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))`
)

// claimKeys sorts out the batches that came before.
func (g *group) claimKeys(ctx context.Context) error {
	type claim struct {
		user     uuid.UUID
		log, key string
	}
	first := map[claim]int{}
	g.same = map[int]int{}
	var keyed []int
	for i, b := range g.batches {
		if b.Once == nil {
			g.fresh = append(g.fresh, i)
			continue
		}
		c := claim{b.Once.UserID, logName(b), b.Once.Key}
		if earlier, ok := first[c]; ok {
			g.same[i] = earlier
			continue
		}
		first[c] = i
		keyed = append(keyed, i)
	}
	slices.SortFunc(keyed, func(i, j int) int {
		a, b := g.batches[i], g.batches[j]
		return cmp.Or(
			bytes.Compare(a.Once.UserID[:], b.Once.UserID[:]),
			strings.Compare(logName(a), logName(b)),
			strings.Compare(a.Once.Key, b.Once.Key),
		)
	})
	if keyed == nil {
		return nil
	}
	claims := &pgx.Batch{}
	for _, i := range keyed {
		b := g.batches[i]
		claims.Queue(claimKey, b.Once.UserID, logName(b), b.Once.Key, b.Once.Fingerprint[:], IdempotencyKeysKept).
			Exec(func(tag pgconn.CommandTag) error {
				if tag.RowsAffected() == 1 {
					g.fresh, g.claimed = append(g.fresh, i), append(g.claimed, i)
				}
				return nil
			})
		claims.Queue(claimedKey, b.Once.UserID, logName(b), b.Once.Key).
			QueryRow(func(row pgx.Row) error {
				var fingerprint []byte
				var ids []uuid.UUID
				if err := row.Scan(&fingerprint, &ids); err != nil {
					return err
				}
				g.outcomes[i] = repeated(b, fingerprint, ids)
				return nil
			})
	}
	if err := g.tx.SendBatch(ctx, claims).Close(); err != nil {
		return err
	}
	for _, i := range g.claimed {
		g.outcomes[i] = audit.Outcome{}
	}
	return nil
}

// repeated is the outcome of a batch whose key was claimed by what had the
// fingerprint.
func repeated(b audit.Batch, fingerprint []byte, ids []uuid.UUID) audit.Outcome {
	if !bytes.Equal(fingerprint, b.Once.Fingerprint[:]) {
		return audit.Outcome{Err: audit.ErrKeyReused}
	}
	return audit.Outcome{Receipt: audit.Receipt{IDs: ids, Repeated: true}}
}

// forgetKeys stores the answers of new keys, and removes some of the expired.
func (g *group) forgetKeys(ctx context.Context) error {
	if len(g.claimed) == 0 {
		return nil
	}
	answers := &pgx.Batch{}
	for _, i := range g.claimed {
		b := g.batches[i]
		answers.Queue(answerKey, b.Once.UserID, logName(b), b.Once.Key, g.outcomes[i].Receipt.IDs)
	}
	answers.Queue(forgetExpired, 2*len(g.claimed)+10)
	return g.tx.SendBatch(ctx, answers).Close()
}

// resolve gives the batches whose key an earlier one of the group has what that got.
func (g *group) resolve() []audit.Outcome {
	for i, earlier := range g.same {
		first := g.outcomes[earlier]
		switch {
		case first.Err != nil:
			g.outcomes[i] = first
		default:
			g.outcomes[i] = repeated(g.batches[i], g.batches[earlier].Once.Fingerprint[:], first.Receipt.IDs)
		}
	}
	return g.outcomes
}

// AuditColumns are the columns of [AuditRows].
var AuditColumns = []string{
	"id", "time", "user_id", "organization_id", "resource_type", "resource_id", "resource_target", "resource_icon",
	"resource_link", "action", "diff", "status_code", "additional_fields", "request_id", "ip", "user_agent", "build_reason",
}

func (g *group) writeAudit(ctx context.Context) error {
	events := &auditSource{}
	for _, i := range g.fresh {
		for _, e := range g.batches[i].Audit {
			g.outcomes[i].Receipt.IDs = append(g.outcomes[i].Receipt.IDs, e.ID)
		}
		if b := g.batches[i].Audit; len(b) > 0 {
			events.batches = append(events.batches, b)
		}
	}
	if events.batches == nil {
		return nil
	}
	_, err := g.tx.CopyFrom(ctx, pgx.Identifier{"audit_logs"}, AuditColumns, events)
	return err
}

// AuditRows are the rows of the events, for a COPY.
func AuditRows(events []audit.Event) pgx.CopyFromSource {
	return &auditSource{batches: [][]audit.Event{events}}
}

// auditSource is the rows of the events; a pgx.CopyFromSource.
type auditSource struct {
	batches [][]audit.Event
	at      int
	row     [17]any
}

func (s *auditSource) Err() error { return nil }

func (s *auditSource) Next() bool {
	if len(s.batches) > 0 && s.at == len(s.batches[0]) {
		s.batches, s.at = s.batches[1:], 0
	}
	s.at++
	return len(s.batches) > 0
}

func (s *auditSource) Values() ([]any, error) {
	e := &s.batches[0][s.at-1]
	s.row = [17]any{
		pgtype.UUID{Bytes: e.ID, Valid: true}, e.Time, nullUUID(e.UserID), nullUUID(e.OrganizationID), e.ResourceType, nullUUID(e.ResourceID),
		e.ResourceTarget, e.ResourceIcon, e.ResourceLink, e.Action, e.Diff, e.StatusCode, e.AdditionalFields,
		nullUUID(e.RequestID), orNull(e.IP, e.IP.IsValid()), nullText(e.UserAgent), nullText(e.BuildReason),
	}
	return s.row[:], nil
}

func nullUUID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil} }

func nullText(s string) pgtype.Text { return pgtype.Text{String: s, Valid: s != ""} }

func nullTime(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()}
}

func orNull[T any](v T, valid bool) any {
	if !valid {
		return nil
	}
	return v
}

// newID is the id of a new row. Ids grow with time, so that the index of the primary
// key grows at its end.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

var errMissing = errors.New("a row that is locked is gone")
