package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

// countCap is where a count stops: more rows are "2,000+" to people.
const countCap = 2000

// authorized are the rows of a resource that the subject may read.
func (s *server) authorized(ctx context.Context, subject audit.Subject, resource string) (sqlgen.Filter, error) {
	who, err := rowfence.NewSubject(subject.Document())
	if err != nil {
		return sqlgen.Never(), err
	}
	filter, err := s.authorizer.Filter(ctx, who, "read", resource)
	if err != nil {
		return sqlgen.Never(), fmt.Errorf("authorizing %s: %w", resource, err)
	}
	return filter, nil
}

// auditLogs answers GET /api/v2/audit.
func (s *server) auditLogs(w http.ResponseWriter, r *http.Request, subject audit.Subject) error {
	query, err := parseSearch(r.URL.RawQuery, "Invalid audit search query.", auditquery.ParseAudit)
	if err != nil {
		return err
	}
	ctx := r.Context()
	authorized, err := s.authorized(ctx, subject, "audit_log")
	if err != nil {
		return err
	}
	answer := auditLogsAnswer{AuditLogs: []auditLog{}, CountCap: countCap}
	// Who may read nothing is not told that there is anything.
	if authorized.Result() == sqlgen.ResultNever {
		return respond(w, http.StatusOK, answer)
	}
	resolved, err := s.store.Resolve(ctx, subject.ID, query.search.Names())
	if err != nil {
		return err
	}
	search := query.search.Predicate(resolved)

	var logs []audit.Log
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		logs, err = s.store.AuditLogs(ctx, authorized, search, query.page)
		return err
	})
	both.Go(func() (err error) {
		answer.Count, err = s.store.CountAuditLogs(ctx, authorized, search, countCap)
		return err
	})
	if err := both.Wait(); err != nil {
		return err
	}
	for _, l := range logs {
		answer.AuditLogs = append(answer.AuditLogs, newAuditLog(l))
	}
	return respond(w, http.StatusOK, answer)
}
