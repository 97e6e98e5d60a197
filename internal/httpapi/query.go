package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/rowfence/rowfence/auditquery"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// searchQuery is what a search request asks for.
type searchQuery struct {
	search auditquery.Search
	page   auditquery.Page
}

// parseSearch reads the parameters of a search. The error is an *apiError with
// all that is wrong; invalid is its message when the search is.
func parseSearch(rawQuery, invalid string, parse func(q string) (auditquery.Search, error)) (searchQuery, error) {
	params, err := url.ParseQuery(rawQuery)
	if err != nil {
		return searchQuery{}, &apiError{
			Status:  http.StatusBadRequest,
			Message: "The URL's query can't be read: it has a stray % or ;.",
		}
	}
	refused := &apiError{Status: http.StatusBadRequest, Message: "Query parameters have invalid values."}
	add := func(field, format string, args ...any) {
		refused.Validations = append(refused.Validations, validation{field, fmt.Sprintf(format, args...)})
	}
	once := func(name string) string {
		if len(params[name]) > 1 {
			add(name, "Query param %q must be given once", name)
		}
		return params.Get(name)
	}

	var query searchQuery
	query.search, err = parse(once("q"))
	if err != nil {
		var problems auditquery.Problems
		if !errors.As(err, &problems) {
			return searchQuery{}, fmt.Errorf("reading the search: %w", err)
		}
		refused.Message = invalid
		for _, p := range problems {
			add(p.Field, "%s", p.Detail)
		}
	}
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
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if name != "q" && name != "limit" && name != "offset" {
			add(clip(name), "%q is not a valid query param", clip(name))
		}
	}
	if refused.Validations != nil {
		return searchQuery{}, refused
	}
	return query, nil
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
