package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/sqlgen"
)

const (
	// newestRows is how many of the newest rows are looked at before anything else,
	// where a page is often found among them.
	newestRows = 2000
	// walkBudget is how many rows are looked at for a page that no index serves.
	walkBudget = 20_000
	// What a row costs is up to the search, which may be for hundreds of texts. So many
	// are looked at when more take too long, and so many at least.
	shortWalk = 1000
	leastWalk = 50
)

// pageLimits are how long a statement may take before one that looks at less is tried.
type pageLimits struct {
	ordered  time.Duration // an index has the page in its order
	served   time.Duration // an index may serve the search
	unserved time.Duration // none does: it soon finds a page, or takes long
	walk     time.Duration // each of the statements of a walk, but for the last resort
}

var usualLimits = pageLimits{ordered: 50 * time.Millisecond, served: 250 * time.Millisecond, unserved: 50 * time.Millisecond, walk: time.Second}

// A pageSource is a log as pages are read from it.
type pageSource[Row any] struct {
	log   auditquery.Log
	time  string // the column that orders it
	doing string
	// whole is the statement of a page around that of its rows, ofKeys around that of
	// their keys.
	whole, ofKeys string
	scan          pgx.RowToFunc[Row]
}

// page are the rows of a page, by the first of these ways that gives them, each of
// which looks at a bounded number of rows or takes a bounded time:
//
//  1. Of several organizations, unless an index serves the search: those among the
//     newest rows of the log, whose organizations and conditions are tested in
//     passing. Otherwise as the planner thinks best, which is mostly right: it may
//     walk the log by time for an organization that is large, and quiet of late.
//  2. Where an index has each organization's keys in order: by those. Where the index
//     finds few of each of several organizations, it is the first way. With a condition
//     it has the time of a walk.
//  3. Among the newest rows that a budget pays for, of the whole log, or of each
//     organization. The page may then end before it is full: searched is where.
func (s pageSource[Row]) page(ctx context.Context, q pageReader, limits pageLimits, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (rows []Row, searched *auditquery.Stop, err error) {
	shape := auditquery.ShapeOf(s.log, authorized, search)
	if text, args, ok := s.first(shape, authorized, search, page); ok {
		all := !amongNewest(shape)
		if all {
			rows, err = s.readWithin(ctx, q, limits.of(shape), text, args)
		} else { // the newest rows are bounded as they are
			rows, err = s.read(ctx, q, text, args)
		}
		switch {
		case errors.Is(err, ErrLimit):
		case err != nil || all || len(rows) >= page.Limit:
			return rows, nil, err
		}
	}
	if !shape.Ordered {
		return s.walk(ctx, q, limits.walk, shape, authorized, search, page)
	}
	text, args, ok := s.statement(authorized, search, page)
	if !ok {
		return nil, nil, nil
	}
	if !shape.Tested {
		rows, err = s.read(ctx, q, text, args)
		return rows, nil, err
	}
	// Where few rows of a partition were vacuumed, the planner may yet take the index of
	// the condition, past the rows of all other organizations; and much may be skipped.
	rows, err = s.readWithin(ctx, q, limits.walk, text, args)
	if errors.Is(err, ErrLimit) {
		return s.walk(ctx, q, limits.walk, shape, authorized, search, page)
	}
	return rows, nil, err
}

// first is the statement of the first way, if there is one.
func (s pageSource[Row]) first(shape auditquery.Shape, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (text string, args []any, ok bool) {
	switch {
	case shape.Several && shape.Narrow && shape.Ordered:
		return "", nil, false
	case shape.Several && shape.Narrow:
		return s.statement(authorized, search, page)
	case amongNewest(shape):
		text, args, ok = auditquery.Newest(s.log, authorized, search, page, newestRows, 1)
	case shape.Sorted:
		return s.statement(authorized, search, page)
	case page.Offset <= 0:
		text, args, ok = auditquery.Rows(s.log, authorized, search, page, 1)
	case !shape.Ordered:
		return s.statement(authorized, search, page)
	default: // what is skipped is skipped in the index, and at once
		return "", nil, false
	}
	return fmt.Sprintf(s.whole, text), args, ok
}

// amongNewest reports whether a page is first looked for among the newest rows of the log.
func amongNewest(shape auditquery.Shape) bool {
	return shape.Several && !(shape.Tested && shape.Served)
}

func (l pageLimits) of(shape auditquery.Shape) time.Duration {
	switch {
	case shape.Ordered:
		return l.ordered
	case shape.Served:
		return l.served
	default:
		return l.unserved
	}
}

// statement is that of the page by its keys.
func (s pageSource[Row]) statement(authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (text string, args []any, ok bool) {
	text, args, ok = auditquery.Keys(s.log, authorized, search, page, 1)
	return fmt.Sprintf(s.ofKeys, text, ""), args, ok
}

func (s pageSource[Row]) read(ctx context.Context, q rowsOf, text string, args []any) ([]Row, error) {
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return nil, queryError(ctx, s.doing, err)
	}
	all, err := pgx.CollectRows(rows, s.scan)
	return all, queryError(ctx, s.doing, err)
}

// readWithin is read with a limit of time: the error is ErrLimit when that passed.
func (s pageSource[Row]) readWithin(ctx context.Context, q pageReader, limit time.Duration, text string, args []any) (all []Row, err error) {
	err = Within(ctx, q, limit, text, args, func(rows pgx.Rows) (err error) {
		all, err = pgx.CollectRows(rows, s.scan)
		return err
	})
	return all, queryError(ctx, s.doing, err)
}

// walk looks at no more rows than there is a budget for, and at fewer when a statement
// takes longer than the limit. Of several organizations the newest rows of the log are
// looked at, and if these are not enough the newest of each: the page is of what came
// further.
func (s pageSource[Row]) walk(ctx context.Context, q pageReader, limit time.Duration, shape auditquery.Shape, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) ([]Row, *auditquery.Stop, error) {
	within := func(way auditquery.Way, budget int) ([]auditquery.Place, *auditquery.Stop, error) {
		return s.walkBy(ctx, q, limit, way, authorized, search, page, budget)
	}
	keys, searched, err := within(auditquery.ByTime, walkBudget)
	if errors.Is(err, ErrLimit) {
		keys, searched, err = within(auditquery.ByTime, shortWalk)
	}
	if errors.Is(err, ErrLimit) { // however long it takes: the next page has to begin behind a row
		keys, searched, err = s.walkBy(ctx, q, noLimit, auditquery.ByTime, authorized, search, page, leastWalk)
	}
	if err != nil {
		return nil, nil, err
	}
	if shape.Several && searched != nil {
		found, end, err := within(auditquery.ByOrganization, walkBudget)
		switch {
		case err == nil && (end == nil || further(end.Place, searched.Place, page)):
			keys, searched = found, end
		case err == nil || errors.Is(err, ErrLimit): // what was found is good enough
			searched, err = s.ahead(ctx, q, authorized, search, page, *searched)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if len(keys) == 0 {
		return nil, searched, nil
	}
	ids, times := make([]uuid.UUID, len(keys)), make([]time.Time, len(keys))
	for i, k := range keys {
		ids[i], times[i] = k.ID, k.Time
	}
	rows, err := s.read(ctx, q, fmt.Sprintf(s.ofKeys, fmt.Sprintf(exportedKeys, s.time), ""), []any{ids, times})
	if err == nil && len(rows) < len(keys) && searched == nil {
		// Meanwhile a row was purged, or its session is known to have begun earlier: with
		// one less, the page must not look like the last one.
		searched = &auditquery.Stop{Place: keys[len(keys)-1]}
	}
	return rows, searched, err
}

// ahead moves the end of a walk by time on to the first row behind it of the organizations
// that are asked for: nil if there is none. Where it ended may be at a row that the caller
// may not see.
func (s pageSource[Row]) ahead(ctx context.Context, q rowsOf, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page, end auditquery.Stop) (*auditquery.Stop, error) {
	text, args, ok := auditquery.Ahead(s.log, authorized, search, page, end.Place, 1)
	if !ok {
		return &end, nil
	}
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return nil, queryError(ctx, s.doing, err)
	}
	var at auditquery.Place
	found := false
	_, err = pgx.ForEachRow(rows, []any{&at.ID, &at.Time}, func() error {
		found = true
		return nil
	})
	if err != nil || !found {
		return nil, queryError(ctx, s.doing, err)
	}
	return &auditquery.Stop{Place: at.Stop(page, 1).Place, Skip: end.Skip}, nil
}

// further reports whether a page that ended at a has looked at more than one at b.
func further(a, b auditquery.Place, page auditquery.Page) bool {
	if page.Newer && page.From != nil {
		return a.Time.After(b.Time)
	}
	return a.Time.Before(b.Time)
}

// walkBy are the keys of the rows that are found, and where the walk ended: nil if
// it came to the end of the log, or found enough.
func (s pageSource[Row]) walkBy(ctx context.Context, q pageReader, limit time.Duration, way auditquery.Way, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page, budget int) (keys []auditquery.Place, searched *auditquery.Stop, err error) {
	text, args, ok := auditquery.Walk(s.log, authorized, search, page, way, budget, 1)
	if !ok {
		return nil, nil, nil
	}
	var at auditquery.Place
	var beyond bool
	var nth int
	err = Within(ctx, q, limit, text, args, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&at.ID, &at.Time, &beyond, &nth}, func() error {
			switch {
			case searched != nil: // behind where it ended
			case beyond:
				searched = new(at.Stop(page, nth))
			default:
				keys = append(keys, at)
			}
			return nil
		})
		return err
	})
	return keys, searched, queryError(ctx, s.doing, err)
}
