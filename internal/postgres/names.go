package postgres

import (
	"context"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/auditquery"
)

const idsByName = `
SELECT 'username', n, id FROM unnest($1::text[]) AS n JOIN users ON lower(username) = lower(n)
UNION ALL
SELECT 'email', n, id FROM unnest($2::text[]) AS n JOIN users ON lower(email) = lower(n) AND email <> ''
UNION ALL
SELECT 'organization', n, id FROM unnest($3::text[]) AS n JOIN organizations ON lower(name) = lower(n)`

// Resolve looks up what the names of a search stand for. Names that stand for
// nothing are missing from the result.
func (db *DB) Resolve(ctx context.Context, me uuid.UUID, names auditquery.Names) (auditquery.Resolved, error) {
	const doing = "looking up the names of a search"
	r := auditquery.Resolved{
		Me:            me,
		Usernames:     map[string][]uuid.UUID{},
		Emails:        map[string][]uuid.UUID{},
		Organizations: map[string][]uuid.UUID{},
	}
	if len(names.Usernames)+len(names.Emails)+len(names.Organizations) == 0 {
		return r, nil
	}
	rows, err := db.pool.Query(ctx, idsByName, names.Usernames, names.Emails, names.Organizations)
	if err != nil {
		return r, queryError(ctx, doing, err)
	}
	defer rows.Close()
	byKind := map[string]map[string][]uuid.UUID{"username": r.Usernames, "email": r.Emails, "organization": r.Organizations}
	for rows.Next() {
		var kind, name string
		var id uuid.UUID
		if err := rows.Scan(&kind, &name, &id); err != nil {
			return r, queryError(ctx, doing, err)
		}
		byKind[kind][name] = append(byKind[kind][name], id)
	}
	return r, queryError(ctx, doing, rows.Err())
}
