// Package maintain keeps the logs in order: partitions for the months to come,
// seals, retention. A server does it now and then, the command maintain once.
//
// The steps come in this order because each needs the one before: rows are sealed
// before they are purged, and a checkpoint is of what was purged as well.
package maintain

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
)

const (
	// DefaultAhead is how many months are partitioned ahead of this one.
	DefaultAhead = 3
	// DefaultEvery is how often a server maintains the logs.
	DefaultEvery = 5 * time.Minute
	// rowsOfPurge are deleted in one transaction.
	rowsOfPurge = 10_000
	// mostPurged are deleted one by one in one run of a server, which others of its
	// steps wait for.
	mostPurged = 1_000_000
)

// Config says what is done.
type Config struct {
	// How long rows are kept, by their time; 0 is for ever.
	AuditRetention, ConnectionRetention time.Duration
	// Ahead is how many months are partitioned ahead of this one.
	Ahead int
	// Split asks for the rows that were there before the log had partitions to be
	// copied into months, at most SplitRows of each log a run (0: all). It takes
	// their space a second time until it is done.
	Split     bool
	SplitRows int64
	// Key signs checkpoints; nil for none.
	Key ed25519.PrivateKey
	// CheckpointFile has each checkpoint appended, a line of JSON; "" for none.
	CheckpointFile string
	// MostPurged bounds the rows that are deleted one by one in a run, 0 for none.
	MostPurged int64
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
	// Progress is told how a run gets on. Nil discards it.
	Progress io.Writer
}

// A Report says what a run did.
type Report struct {
	// Whether another session was at it: then nothing was done.
	Busy bool         `json:"busy"`
	Logs []*LogReport `json:"logs"`
	// Checkpoint that was made: the last one if the chain did not grow.
	Checkpoint *seal.Checkpoint `json:"checkpoint,omitempty"`
	// Idempotency keys that had expired, and were removed.
	Keys     int64         `json:"keys"`
	Duration time.Duration `json:"duration_ns"`
}

// A LogReport is that of one log.
type LogReport struct {
	Log    string              `json:"log"`
	Months postgres.MonthsMade `json:"months"`
	Split  *postgres.Split     `json:"split,omitempty"`
	Sealed postgres.Sealed     `json:"sealed"`
	// What was purged, and whether rows are left that should be.
	Purges     []postgres.Purge `json:"purges"`
	PurgedRows int64            `json:"purged_rows"`
	More       bool             `json:"more"`
	// What was kept of purged rows, and is forgotten: of connection logs the sessions,
	// of audit logs the resources that were deleted.
	Forgotten int64 `json:"forgotten"`
}

func (c Config) retention(t postgres.LogTable) time.Duration {
	if t == postgres.AuditLogTable {
		return c.AuditRetention
	}
	return c.ConnectionRetention
}

// Check says what is wrong with the configuration.
func (c Config) Check() error {
	for _, r := range []struct {
		name string
		d    time.Duration
	}{{"audit", c.AuditRetention}, {"connection", c.ConnectionRetention}} {
		if r.d < 0 || r.d > 0 && r.d < time.Hour {
			return fmt.Errorf("a retention of %s for the %s log: want 0, which is for ever, or an hour and more", r.d, r.name)
		}
	}
	if c.Ahead < 1 || c.Ahead > 120 {
		return fmt.Errorf("%d months ahead: want 1 to 120", c.Ahead)
	}
	if c.CheckpointFile != "" && c.Key == nil {
		return errors.New("a checkpoint file needs a signing key")
	}
	return nil
}

// Run does everything once. The report says what was done up to an error.
func Run(ctx context.Context, pool *pgxpool.Pool, c Config) (report Report, err error) {
	if err := c.Check(); err != nil {
		return report, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	begun := time.Now()
	report.Logs = []*LogReport{}
	m, err := postgres.StartMaintenance(ctx, pool)
	if errors.Is(err, postgres.ErrMaintained) {
		report.Busy = true
		return report, nil
	}
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	defer func() { report.Duration = time.Since(begun) }()
	var locked error
	for _, t := range postgres.LogTables {
		l := &LogReport{Log: t.Name, Purges: []postgres.Purge{}}
		report.Logs = append(report.Logs, l)
		if err := c.runLog(ctx, m, t, l, &locked); err != nil {
			return report, errors.Join(locked, err)
		}
	}
	if report.Checkpoint, err = c.checkpoint(ctx, m); err != nil {
		return report, errors.Join(locked, err)
	}
	report.Keys, err = c.repeat(func() (int64, error) { return m.ForgetBatches(ctx, rowsOfPurge) })
	return report, errors.Join(locked, err)
}

// unlessLocked is the error of a step, unless others held a lock that it needs: that
// is kept, and the other steps are done. An export may hold one for hours, during which
// rows are to be sealed all the same.
func unlessLocked(err error, locked *error) error {
	if !postgres.Locked(err) {
		return err
	}
	*locked = errors.Join(*locked, err)
	return nil
}

func (c Config) runLog(ctx context.Context, m *postgres.Maintenance, t postgres.LogTable, l *LogReport, locked *error) (err error) {
	now, before := c.Now(), time.Time{}
	if keep := c.retention(t); keep > 0 {
		before = now.Add(-keep)
	}
	l.Months, err = m.MakeMonths(ctx, t, now, before, c.Ahead)
	if err := unlessLocked(err, locked); err != nil {
		return err
	}
	if c.Split {
		split, err := m.Split(ctx, t, c.SplitRows, c.meter(t, "copied"))
		l.Split = &split
		if err := unlessLocked(err, locked); err != nil {
			return err
		}
	}
	if l.Sealed, err = m.Seal(ctx, t, c.meter(t, "sealed")); err != nil {
		return err
	}
	if !before.IsZero() {
		if err := unlessLocked(c.purge(ctx, m, t, before, l), locked); err != nil {
			return err
		}
		forget := m.ForgetResources
		if t == postgres.ConnectionLogTable {
			forget = m.ForgetSessions
		}
		l.Forgotten, err = c.repeat(func() (int64, error) { return forget(ctx, before, rowsOfPurge) })
		if err != nil {
			return err
		}
	}
	if !l.changedPartitions() {
		return nil
	}
	return unlessLocked(m.Analyze(ctx, t), locked)
}

// changedPartitions is whether the log has others now.
func (l LogReport) changedPartitions() bool {
	dropped := slices.ContainsFunc(l.Purges, func(p postgres.Purge) bool { return p.Partition != "" })
	return dropped || len(l.Months.Partitions) > 0 || l.Split != nil && len(l.Split.Partitions) > 0
}

// repeat does a batch after the other, until there is nothing left of it or it is
// enough for one run.
func (c Config) repeat(batch func() (int64, error)) (total int64, err error) {
	for {
		n, err := batch()
		total += n
		if err != nil || n < rowsOfPurge || c.MostPurged > 0 && total >= c.MostPurged {
			return total, err
		}
	}
}

func (c Config) purge(ctx context.Context, m *postgres.Maintenance, t postgres.LogTable, before time.Time, l *LogReport) error {
	purges, err := m.PurgePartitions(ctx, t, before)
	l.Purges = append(l.Purges, purges...)
	for _, p := range purges {
		l.PurgedRows += p.Rows
	}
	if err != nil {
		return err
	}
	tell := c.meter(t, "purged")
	for deleted := int64(0); ; {
		if c.MostPurged > 0 && deleted >= c.MostPurged {
			l.More = true
			return nil
		}
		purge, err := m.PurgeBatch(ctx, t, before, rowsOfPurge)
		if err != nil {
			return err
		}
		if purge.Rows == 0 {
			_, err := m.ForgetLeaves(ctx, t, before)
			return err
		}
		deleted += purge.Rows
		l.PurgedRows += purge.Rows
		l.Purges = append(l.Purges, purge)
		tell(l.PurgedRows)
	}
}

// meter tells how many rows of a log a step is done with.
func (c Config) meter(t postgres.LogTable, done string) func(int64) {
	return func(rows int64) { fmt.Fprintf(c.Progress, "%s: %d rows %s\n", t.Name, rows, done) }
}

// checkpoint signs where the chain stands, and writes that where it is kept.
func (c Config) checkpoint(ctx context.Context, m *postgres.Maintenance) (*seal.Checkpoint, error) {
	if c.Key == nil {
		return nil, nil
	}
	checkpoint, err := m.Checkpoint(ctx, c.Key)
	if err != nil || checkpoint.N == 0 {
		return nil, err
	}
	if c.CheckpointFile != "" {
		err = KeepCheckpoints(ctx, m, c.CheckpointFile, checkpoint)
	}
	return &checkpoint, err
}

// Loop runs at once, and then so often, until ctx ends. Servers that were started
// together come to differ in when they do.
func Loop(ctx context.Context, pool *pgxpool.Pool, c Config, every time.Duration, log *slog.Logger) {
	c.MostPurged = mostPurged
	for {
		report, err := Run(ctx, pool, c)
		if ctx.Err() != nil {
			return
		}
		report.log(ctx, log, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(every*3/4 + rand.N(every/2)):
		}
	}
}

// log says what is worth saying of a run.
func (r Report) log(ctx context.Context, log *slog.Logger, err error) {
	for _, l := range r.Logs {
		if len(l.Months.Partitions) > 0 {
			log.InfoContext(ctx, "partitions made", "log", l.Log, "partitions", l.Months.Partitions, "moved", l.Months.Moved)
		}
		if len(l.Months.Left) > 0 {
			log.WarnContext(ctx, "months have too many rows in the default partition to be moved at once", "log", l.Log, "months", l.Months.Left)
		}
		if l.PurgedRows > 0 {
			log.InfoContext(ctx, "rows purged", "log", l.Log, "rows", l.PurgedRows, "more", l.More)
		}
		if l.Sealed.Rows > 0 {
			log.DebugContext(ctx, "rows sealed", "log", l.Log, "rows", l.Sealed.Rows)
		}
	}
	if err != nil {
		log.ErrorContext(ctx, "maintaining the logs", "error", err)
	}
}
