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
	// servedLimit is how long a page may take that an index may serve, before as many
	// rows are looked at.
	servedLimit = 250 * time.Millisecond
)

// errPageLimit is why a page's statement was given up, and not the request.
var errPageLimit = errors.New("the time limit of a page's statement has passed")

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
//  1. Of one organization, or all, and no other condition: from the index that has
//     them in order.
//  2. Among the newest rows of the log, whose organization and conditions are tested
//     in passing: several organizations or all, unless an index serves the search.
//  3. Of several organizations and no other condition: the newest of each.
//  4. As the planner thinks best, within a time: what an index serves.
//  5. Among the newest rows that a budget pays for, of the whole log, or of each
//     organization. The page may then end before it is full: searched is where.
func (s pageSource[Row]) page(ctx context.Context, q rowsOf, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (rows []Row, searched *auditquery.Place, err error) {
	shape := auditquery.ShapeOf(s.log, authorized, search)
	among := shape.Several && !shape.Tested || (shape.Several || shape.All) && shape.Tested && !shape.Served
	if among && page.Offset <= 0 {
		text, args, ok := auditquery.Newest(s.log, authorized, search, page, newestRows, 1)
		if !ok {
			return nil, nil, nil
		}
		if rows, err = s.read(ctx, q, fmt.Sprintf(s.whole, text), args); err != nil || len(rows) >= page.Limit {
			return rows, nil, err
		}
	}
	if !shape.Tested || shape.Served {
		text, args, ok := s.statement(authorized, search, page)
		if !ok {
			return nil, nil, nil
		}
		if !shape.Tested {
			rows, err = s.read(ctx, q, text, args)
			return rows, nil, err
		}
		bounded, cancel := context.WithTimeoutCause(ctx, servedLimit, errPageLimit)
		rows, err = s.read(bounded, q, text, args)
		cancel()
		if !errors.Is(err, errPageLimit) {
			return rows, nil, err
		}
	}
	return s.walk(ctx, q, shape, authorized, search, page)
}

// statement is that of the page as a whole.
func (s pageSource[Row]) statement(authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (text string, args []any, ok bool) {
	shape := auditquery.ShapeOf(s.log, authorized, search)
	// What is skipped is skipped in the index; otherwise rows come with their keys.
	if page.Offset > 0 || shape.Several && !shape.Tested {
		text, args, ok = auditquery.Keys(s.log, authorized, search, page, 1)
		return fmt.Sprintf(s.ofKeys, text, ""), args, ok
	}
	text, args, ok = auditquery.Rows(s.log, authorized, search, page, 1)
	return fmt.Sprintf(s.whole, text), args, ok
}

func (s pageSource[Row]) read(ctx context.Context, q rowsOf, text string, args []any) ([]Row, error) {
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return nil, queryError(ctx, s.doing, err)
	}
	all, err := pgx.CollectRows(rows, s.scan)
	return all, queryError(ctx, s.doing, err)
}

// walk looks at no more rows than there is a budget for. Of several organizations
// the newest rows of the log are looked at, and if these are not enough the newest
// of each: the page is of what came further.
func (s pageSource[Row]) walk(ctx context.Context, q rowsOf, shape auditquery.Shape, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) ([]Row, *auditquery.Place, error) {
	ways := []auditquery.Way{auditquery.ByTime}
	if shape.Several {
		ways = append(ways, auditquery.ByOrganization)
	}
	var keys []auditquery.Place
	var searched *auditquery.Place
	for i, way := range ways {
		found, end, err := s.walkBy(ctx, q, way, authorized, search, page)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 || end == nil || further(*end, *searched, page) {
			keys, searched = found, end
		}
		if searched == nil {
			break
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
	return rows, searched, err
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
func (s pageSource[Row]) walkBy(ctx context.Context, q rowsOf, way auditquery.Way, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (keys []auditquery.Place, searched *auditquery.Place, err error) {
	text, args, ok := auditquery.Walk(s.log, authorized, search, page, way, walkBudget, 1)
	if !ok {
		return nil, nil, nil
	}
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return nil, nil, queryError(ctx, s.doing, err)
	}
	var at auditquery.Place
	var beyond bool
	_, err = pgx.ForEachRow(rows, []any{&at.ID, &at.Time, &beyond}, func() error {
		switch {
		case searched != nil: // behind where it ended
		case beyond:
			searched = new(at.Next(page))
		default:
			keys = append(keys, at)
		}
		return nil
	})
	return keys, searched, queryError(ctx, s.doing, err)
}
