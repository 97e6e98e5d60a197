package postgres

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// ErrLimit is why a statement was given up, and not the request.
var ErrLimit = errors.New("the time limit of a statement has passed")

// LimitStatement limits the statement behind it in the same batch, to so many
// milliseconds.
const LimitStatement = "SELECT set_config('statement_timeout', $1, true)"

// noLimit is for a statement that has the time of the request, and the role's own
// statement_timeout, of which another limit takes the place.
const noLimit = time.Duration(math.MaxInt64)

// limitGrace is how much longer PostgreSQL may take to give a statement up. What it does
// before, without a limit, is to describe a new one, which a lock can keep it from.
const limitGrace = 500 * time.Millisecond

const queryCanceled = "57014"

// A pageReader is a pool or a connection.
type pageReader interface {
	rowsOf
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Within asks for rows, and has PostgreSQL give the statement up when it has taken as
// long as the limit: the error is [ErrLimit] then. A limit of less than a millisecond
// has passed.
//
// A context that ends would do the same by a request to cancel. That comes by another
// connection, and on a busy machine it may come to the next statement of this one,
// whosever that is: so it is the last resort, and the connection is not used again (see
// [abandoning]).
func Within(ctx context.Context, in pageReader, limit time.Duration, text string, args []any, read func(pgx.Rows) error) (err error) {
	if limit < time.Millisecond {
		return ErrLimit
	}
	if limit == noLimit {
		rows, err := in.Query(ctx, text, args...)
		if err != nil {
			return err
		}
		return read(rows)
	}
	whole := ctx
	ctx, cancel := context.WithTimeoutCause(whole, limit+limitGrace, ErrLimit)
	defer cancel()
	batch := &pgx.Batch{}
	batch.Queue(LimitStatement, strconv.FormatInt(limit.Milliseconds(), 10))
	batch.Queue(text, args...)
	results := in.SendBatch(ctx, batch)
	defer func() {
		if ended := results.Close(); err == nil {
			err = ended
		}
		var refused *pgconn.PgError
		canceled := ctx.Err() != nil || errors.As(err, &refused) && refused.Code == queryCanceled
		if err != nil && whole.Err() == nil && canceled {
			err = ErrLimit
		}
	}()
	if _, err := results.Exec(); err != nil {
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	return read(rows)
}

// abandoning cancels what a connection does when its context ends. PostgreSQL may be
// told so late that it has begun the next statement: the connection is marked, and the
// pool closes it.
type abandoning struct {
	pgconn.CancelRequestContextWatcherHandler
}

// The key of the mark, in a connection's own data.
const abandoned = "abandoned"

func abandon(conn *pgconn.PgConn) ctxwatch.Handler {
	return &abandoning{pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelTimeout}}
}

// HandleUnwatchAfterCancel marks the connection.
func (a *abandoning) HandleUnwatchAfterCancel() {
	a.CancelRequestContextWatcherHandler.HandleUnwatchAfterCancel()
	a.Conn.CustomData()[abandoned] = true
}

// usable reports whether the pool may give out the connection.
func usable(_ context.Context, conn *pgx.Conn) (bool, error) {
	_, is := conn.PgConn().CustomData()[abandoned]
	return !is, nil
}
