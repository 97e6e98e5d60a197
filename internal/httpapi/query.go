package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rowfence/rowfence/auditquery"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// searchQuery is what a search request asks for.
type searchQuery struct {
	scope auditquery.Scope // with its search
	page  auditquery.Page
	count count
	now   time.Time // what since: counts back from
}

// parseSearch reads the parameters of a search within a scope that lacks it. The
// error is an *apiError with all that is wrong; invalid is its message when the
// search is.
func parseSearch(rawQuery, invalid string, parse func(q string) (auditquery.Search, error), cursors auditquery.Cursors, scope auditquery.Scope) (searchQuery, error) {
	params, err := url.ParseQuery(rawQuery)
	if err != nil {
		return searchQuery{}, &apiError{
			Status:  http.StatusBadRequest,
			Message: "The URL's query can't be read: it has a stray % or ;.",
		}
	}
	refused := &apiError{Status: http.StatusBadRequest, Message: "Query parameters have invalid values."}
	add := func(field, format string, args ...any) {
		refused.Validations = append(refused.Validations, validation{Field: field, Detail: fmt.Sprintf(format, args...)})
	}
	once := func(name string) string {
		if len(params[name]) > 1 {
			add(name, "Query param %q must be given once", name)
		}
		return params.Get(name)
	}

	query := searchQuery{scope: scope, now: time.Now().UTC().Truncate(time.Microsecond)}
	query.scope.Search, err = parse(once("q"))
	if err != nil {
		var problems auditquery.Problems
		if !errors.As(err, &problems) {
			return searchQuery{}, fmt.Errorf("reading the search: %w", err)
		}
		refused.Message = invalid
		for _, p := range problems {
			refused.Validations = append(refused.Validations, validation{p.Field, p.Detail, &position{p.Element, p.Offset, p.Length}})
		}
	}
	searchRefused := err != nil
	number := func(name string, most int64) int {
		n, err := parseCount(once(name), most)
		if err != nil {
			add(name, "Query param %q must be a valid 32-bit positive integer: %s", name, err)
		}
		return n
	}
	query.page = auditquery.Page{Limit: number("limit", maxLimit), Offset: number("offset", maxOffset)}
	if query.page.Limit == 0 {
		query.page.Limit = defaultLimit
	}
	if query.count, err = parseCounting(once("count")); err != nil {
		add("count", "Query param %q has invalid value: %s", "count", err)
	}
	// Whether a cursor is one of the search can't be told of a search that is none.
	if text := once("cursor"); text != "" && !searchRefused {
		cursor, err := cursors.Decode(query.scope, text)
		if err != nil {
			add("cursor", "Query param %q %s", "cursor", err)
		}
		if query.page.Offset > 0 {
			add("offset", "Query param %q can not be given with a cursor", "offset")
		}
		query.page.From, query.page.Newer, query.now = &cursor.From, cursor.Newer, cursor.Now
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !slices.Contains(searchParams, name) {
			add(clip(name), "%q is not a valid query param", clip(name))
		}
	}
	if refused.Validations != nil {
		return searchQuery{}, refused
	}
	return query, nil
}

// searchParams are the parameters that there are.
var searchParams = []string{"q", "limit", "offset", "cursor", "count"}

const maxOffset = 1<<31 - 1

// parseCount reads a number from 0 to most; "" is 0.
func parseCount(text string, most int64) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	var syntax *strconv.NumError
	switch {
	case errors.As(err, &syntax):
		// The number is quoted by strconv in full.
		return 0, fmt.Errorf("parsing %q: %w", clip(text), syntax.Err)
	case err != nil:
		return 0, err
	case n < 0:
		return 0, fmt.Errorf("%d is negative", n)
	case n > most:
		return 0, fmt.Errorf("%d is more than %d", n, most)
	}
	return int(n), nil
}
