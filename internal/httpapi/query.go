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
	params, err := readParams(rawQuery)
	if err != nil {
		return searchQuery{}, err
	}
	query := searchQuery{scope: scope, now: searchTime()}
	query.scope.Search, err = params.search(invalid, parse)
	if err != nil {
		return searchQuery{}, err
	}
	searchRefused := params.refused.Validations != nil
	number := func(name string, most int64) int {
		n, err := parseCount(params.once(name), most)
		if err != nil {
			params.refuse(name, "Query param %q must be a valid 32-bit positive integer: %s", name, err)
		}
		return n
	}
	query.page = auditquery.Page{Limit: number("limit", maxLimit), Offset: number("offset", maxOffset)}
	if query.page.Limit == 0 {
		query.page.Limit = defaultLimit
	}
	if query.count, err = parseCounting(params.once("count")); err != nil {
		params.refuse("count", "Query param %q has invalid value: %s", "count", err)
	}
	// Whether a cursor is one of the search can't be told of a search that is none.
	if text := params.once("cursor"); text != "" && !searchRefused {
		cursor, err := cursors.Decode(query.scope, text)
		if err != nil {
			params.refuse("cursor", "Query param %q %s", "cursor", err)
		}
		if query.page.Offset > 0 {
			params.refuse("offset", "Query param %q can not be given with a cursor", "offset")
		}
		query.page.From, query.page.Newer, query.page.Offset, query.now = &cursor.From, cursor.Newer, cursor.Skip, cursor.Now
	}
	if err := params.check("q", "limit", "offset", "cursor", "count"); err != nil {
		return searchQuery{}, err
	}
	return query, nil
}

// searchTime is what since: counts back from in a search that begins.
func searchTime() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// params are the parameters of a request, and what is wrong with them.
type params struct {
	values  url.Values
	refused apiError
}

func readParams(rawQuery string) (*params, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, &apiError{
			Status:  http.StatusBadRequest,
			Message: "The URL's query can't be read: it has a stray % or ;.",
		}
	}
	return &params{values, apiError{Status: http.StatusBadRequest, Message: "Query parameters have invalid values."}}, nil
}

func (p *params) refuse(field, format string, args ...any) {
	p.refused.Validations = append(p.refused.Validations, validation{Field: field, Detail: fmt.Sprintf(format, args...)})
}

// once is the value of a parameter that may be given once, "" if it is not.
func (p *params) once(name string) string {
	if len(p.values[name]) > 1 {
		p.refuse(name, "Query param %q must be given once", name)
	}
	return p.values.Get(name)
}

// search reads q. The error is one of the server.
func (p *params) search(invalid string, parse func(q string) (auditquery.Search, error)) (auditquery.Search, error) {
	search, err := parse(p.once("q"))
	if err == nil {
		return search, nil
	}
	var problems auditquery.Problems
	if !errors.As(err, &problems) {
		return auditquery.Search{}, fmt.Errorf("reading the search: %w", err)
	}
	p.refused.Message = invalid
	for _, problem := range problems {
		p.refused.Validations = append(p.refused.Validations,
			validation{problem.Field, problem.Detail, &position{problem.Element, problem.Offset, problem.Length}})
	}
	return auditquery.Search{}, nil
}

// check refuses others than the known parameters. The error is an *apiError with
// all that was refused.
func (p *params) check(known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !slices.Contains(known, name) {
			p.refuse(clip(name), "%q is not a valid query param", clip(name))
		}
	}
	if p.refused.Validations != nil {
		return &p.refused
	}
	return nil
}

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
