package postgres

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

// Rows are fetched by the keys of the page, which is MATERIALIZED so that the
// planner can't pull wide rows or the join below the page's order. Each by itself,
// which the LIMIT sees to: the time says which partition has the row, but the
// planner reckons with all of them, and would rather read a small log as a whole.
// They are MATERIALIZED too, so that nothing is joined to each by itself.
const auditLogsOfPage = `
WITH page AS MATERIALIZED (%s), found AS MATERIALIZED (
	SELECT l.* FROM page CROSS JOIN LATERAL (SELECT * FROM audit_logs AS l WHERE l.id = page.id AND l.time = page.time%s LIMIT 1) AS l
)` + auditLogColumns + `
FROM found AS l
LEFT JOIN LATERAL (SELECT * FROM organizations AS o WHERE o.id = l.organization_id LIMIT 1) AS o ON TRUE
ORDER BY l.time DESC, l.id DESC`

const (
	auditLogColumns = `
SELECT l.id, l.request_id, l.time, l.organization_id, l.ip, coalesce(l.user_agent, ''),
	l.resource_type, l.resource_id, l.resource_target, l.resource_icon, l.resource_link,
	l.action, l.diff, l.status_code, l.additional_fields, l.user_id,
	o.id, coalesce(o.name, ''), coalesce(o.display_name, ''), coalesce(o.icon, '')`

	// The rows of a page that come with their keys. Their organizations are looked up
	// one by one: joined, a table of all would be made for a handful.
	wholeAuditLogs = auditLogColumns + `
FROM (%s) AS l
LEFT JOIN LATERAL (SELECT * FROM organizations AS o WHERE o.id = l.organization_id LIMIT 1) AS o ON TRUE
ORDER BY l.time DESC, l.id DESC`
)

var auditLogPages = pageSource[audit.Log]{
	log: auditquery.AuditLogs(), time: "time", doing: "listing audit logs", whole: wholeAuditLogs, ofKeys: auditLogsOfPage, scan: scanAuditLog,
}

// AuditLogsStatement is the statement of a page of audit logs by its keys, without
// their users, and its arguments. ok is false when no row can match.
func AuditLogsStatement(authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (text string, args []any, ok bool) {
	return auditLogPages.statement(authorized, search, page)
}

// AuditLogs are the page's rows of those that are both authorized and found,
// newest first, in a handful of queries whatever their number. A page of which
// searched is not nil may not be full, since rows were looked at for long enough:
// the next one is behind that place.
func (db *DB) AuditLogs(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (logs []audit.Log, searched *auditquery.Stop, err error) {
	logs, searched, err = auditLogPages.page(ctx, db.pool, db.limits, authorized, search, page)
	if err != nil {
		return nil, nil, err
	}
	return logs, searched, completeAuditLogs(ctx, db.pool, logs)
}

// auditLogs are the rows of a statement of such columns, with what belongs to them.
func auditLogs(ctx context.Context, q rowsOf, text string, args []any) ([]audit.Log, error) {
	logs, err := auditLogPages.read(ctx, q, text, args)
	if err != nil {
		return nil, err
	}
	return logs, completeAuditLogs(ctx, q, logs)
}

// completeAuditLogs adds the users and what is known of the resources.
func completeAuditLogs(ctx context.Context, q rowsOf, logs []audit.Log) error {
	ids := make([]uuid.UUID, len(logs))
	for i, l := range logs {
		ids[i] = l.UserID
	}
	byID, err := users(ctx, q, ids)
	if err != nil {
		return err
	}
	for i := range logs {
		logs[i].User = byID[logs[i].UserID]
	}
	return describe(ctx, q, logs)
}

func scanAuditLog(row pgx.CollectableRow) (audit.Log, error) {
	var (
		l                                      audit.Log
		request, org, resource, user, joinedID *uuid.UUID
		ip                                     *netip.Prefix
		diff                                   []byte
		joined                                 audit.Organization
	)
	err := row.Scan(&l.ID, &request, &l.Time, &org, &ip, &l.UserAgent,
		&l.ResourceType, &resource, &l.ResourceTarget, &l.ResourceIcon, &l.ResourceLink,
		&l.Action, &diff, &l.StatusCode, &l.AdditionalFields, &user,
		&joinedID, &joined.Name, &joined.DisplayName, &joined.Icon)
	if err != nil {
		return audit.Log{}, err
	}
	l.Time = l.Time.UTC()
	l.RequestID, l.OrganizationID, l.ResourceID, l.UserID = orZero(request), orZero(org), orZero(resource), orZero(user)
	l.IP = orZero(ip)
	if joinedID != nil {
		joined.ID = *joinedID
		l.Organization = &joined
	}
	if l.Diff, err = audit.ParseDiff(diff); err != nil {
		return audit.Log{}, fmt.Errorf("audit log %s: %w", l.ID, err)
	}
	return l, nil
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
