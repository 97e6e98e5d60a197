package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

const (
	// countCap is where a count stops: more rows are "2,000+" to people.
	countCap = 2000
	// A count that is asked for to the end may take so many times the time.
	exactCountFactor = 8
	// maxLinkBytes bounds the Link header: a search may have 64 KB, and programs in
	// between refuse such headers.
	maxLinkBytes = 4096
)

// searched is a log as a route searches it.
type searched[Row any] struct {
	resource string // as the policy calls it
	log      auditquery.Log
	invalid  string // the message when a search is
	parse    func(context.Context) func(q string) (auditquery.Search, error)
	list     func(context.Context, sqlgen.Filter, sqlgen.Predicate, auditquery.Page) ([]Row, *auditquery.Stop, error)
	count    func(context.Context, sqlgen.Filter, sqlgen.Predicate, audit.Counting) (audit.Count, error)
	place    func(Row) auditquery.Place
	answer   func([]Row, beside) any
}

// beside is what an answer has beside its rows.
type beside struct {
	Count           *int `json:"count,omitempty"` // left out, as the cap, when none was asked for
	CountCap        *int `json:"count_cap,omitempty"`
	CountLowerBound bool `json:"count_lower_bound,omitempty"`
	Incomplete      bool `json:"incomplete,omitempty"`
	// SearchedTo is how far rows were looked at for an incomplete page.
	SearchedTo *time.Time `json:"searched_to,omitempty"`
	NextCursor string     `json:"next_cursor,omitempty"`
	PrevCursor string     `json:"prev_cursor,omitempty"`
}

func (b *beside) counted(c audit.Count) {
	b.Count, b.CountCap, b.CountLowerBound = &c.Rows, &c.Cap, c.LowerBound
}

// authorize says which rows of the resource the subject may read.
func (s *server) authorize(ctx context.Context, subject audit.Subject, resource string) (sqlgen.Filter, error) {
	who, err := s.subjects.of(subject)
	if err != nil {
		return sqlgen.Never(), err
	}
	filter, err := s.authorizer.Filter(ctx, who, "read", resource)
	if err != nil {
		return sqlgen.Never(), fmt.Errorf("authorizing %s: %w", resource, err)
	}
	return filter, nil
}

// condition is what the subject may read of a resource, and what is searched for.
func (s *server) condition(ctx context.Context, subject audit.Subject, resource string, search auditquery.Search, now time.Time) (authorized sqlgen.Filter, found sqlgen.Predicate, err error) {
	authorized, err = s.authorize(ctx, subject, resource)
	if err != nil {
		return sqlgen.Never(), nil, err
	}
	// Who may read nothing is not told that there is anything.
	if authorized.Result() == sqlgen.ResultNever {
		return authorized, sqlgen.False, nil
	}
	resolved, err := s.store.Resolve(ctx, subject.ID, search.Names())
	if err != nil {
		return sqlgen.Never(), nil, err
	}
	resolved.Now = now
	return authorized, search.Predicate(resolved), nil
}

// search answers a search over a log: it lists a page and counts at the same time.
func search[Row any](s *server, in searched[Row]) func(w http.ResponseWriter, r *http.Request, subject audit.Subject) error {
	return func(w http.ResponseWriter, r *http.Request, subject audit.Subject) error {
		scope := auditquery.Scope{Log: in.log, Caller: subject.ID.String()}
		query, err := parseSearch(r.URL.RawQuery, in.invalid, in.parse(r.Context()), s.cursors, scope)
		if err != nil {
			return err
		}
		ctx := r.Context()
		authorized, found, err := s.condition(ctx, subject, in.resource, query.scope.Search, query.now)
		if err != nil {
			return err
		}
		var around beside
		if authorized.Result() == sqlgen.ResultNever {
			if query.count != countNone {
				around.counted(audit.Count{Cap: query.cap()})
			}
			return respond(w, http.StatusOK, in.answer(nil, around))
		}

		var rows []Row
		var searched *auditquery.Stop
		var count audit.Count
		both, ctx := errgroup.WithContext(ctx)
		both.Go(func() (err error) {
			page := query.page
			page.Limit++ // the row beyond tells whether there is another page
			rows, searched, err = in.list(ctx, authorized, found, page)
			return err
		})
		if query.count != countNone {
			both.Go(func() (err error) {
				count, err = in.count(ctx, authorized, found, query.counting(s.countTimeout))
				return err
			})
		}
		if err := both.Wait(); err != nil {
			return err
		}
		seen := max(query.page.Offset, 0) + len(rows)
		rows, pages := auditquery.Beside(query.page, rows, in.place, query.now)
		if searched != nil {
			around.Incomplete = len(rows) < query.page.Limit
			if around.Incomplete {
				around.SearchedTo = new(searched.Time.UTC())
			}
			pages = pages.SearchedTo(query.page, *searched, query.now)
		}
		if query.count != countNone {
			if count.LowerBound && seen > count.Rows && len(rows) > 0 {
				count.Rows = min(seen, count.Cap+1) // so many were seen
			}
			around.counted(count)
		}
		if pages.Older != nil {
			around.NextCursor = s.cursors.Encode(query.scope, *pages.Older)
		}
		if pages.Newer != nil {
			around.PrevCursor = s.cursors.Encode(query.scope, *pages.Newer)
		}
		if link := links(r.URL, query, around); link != "" {
			w.Header().Set("Link", link)
		}
		return respond(w, http.StatusOK, in.answer(rows, around))
	}
}

// links is the Link header (RFC 8288): the pages beside this one, and the first, at
// references relative to the request's, which proxies leave right. It is "" when
// there are none, or when the search is too long for a header.
func links(at *url.URL, query searchQuery, around beside) string {
	params := at.Query()
	first := params.Get("cursor") != "" || query.page.Offset > 0
	params.Del("offset")
	var all []string
	add := func(relation, cursor string) {
		params.Del("cursor")
		if cursor != "" {
			params.Set("cursor", cursor)
		}
		ref := url.URL{Path: at.Path, RawQuery: params.Encode()}
		all = append(all, "<"+ref.String()+`>; rel="`+relation+`"`)
	}
	if around.NextCursor != "" {
		add("next", around.NextCursor)
	}
	if around.PrevCursor != "" {
		add("prev", around.PrevCursor)
	}
	if first {
		add("first", "")
	}
	link := strings.Join(all, ", ")
	if len(link) > maxLinkBytes {
		return ""
	}
	return link
}

// cap is the count's, 0 for none.
func (q searchQuery) cap() int {
	if q.count == countCapped {
		return countCap
	}
	return 0
}

// counting is how to count, where a count may take so long.
func (q searchQuery) counting(limit time.Duration) audit.Counting {
	how := audit.Counting{Cap: countCap, Exact: q.count == countExact, Limit: limit, Within: limit}
	if how.Exact {
		how.Limit *= exactCountFactor
	}
	return how
}

// count is how a request wants its rows counted.
type count string

const (
	countCapped count = "capped"
	countNone   count = "none"
	countExact  count = "exact"
)

func parseCounting(text string) (count, error) {
	switch c := count(text); c {
	case "":
		return countCapped, nil
	case countCapped, countNone, countExact:
		return c, nil
	}
	return "", fmt.Errorf("%s is not capped, none or exact", strconv.Quote(clip(text)))
}
