package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/internal/audit"
)

const sessionByToken = `
SELECT s.id, s.expires_at, s.scope, u.id,
	ARRAY(SELECT group_id FROM group_members WHERE user_id = u.id
		UNION SELECT organization_id FROM organization_members WHERE user_id = u.id
		ORDER BY 1)
FROM sessions AS s
JOIN users AS u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.expires_at > now() AND u.status <> 'suspended'`

// A role that is held for the site (organization_id NULL) is one that is known
// everywhere; in an organization it may also be one of the organization's own.
const rolesOfUser = `
WITH held AS (
	SELECT role AS name, NULL::uuid AS organization_id
	FROM users, unnest(roles) AS role
	WHERE id = $1
	UNION
	SELECT role, organization_id
	FROM organization_members, unnest(roles || 'organization-member'::text) AS role
	WHERE user_id = $1
)
SELECT held.name, r.permissions, bool_or(held.organization_id IS NULL),
	coalesce(array_agg(held.organization_id ORDER BY held.organization_id)
		FILTER (WHERE held.organization_id IS NOT NULL), '{}')
FROM held
LEFT JOIN roles AS r ON r.name = held.name
	AND (r.organization_id IS NULL OR r.organization_id = held.organization_id)
GROUP BY held.name, r.id
ORDER BY held.name, r.id`

// Session is the session of a token with all that its subject may do. It is
// [audit.ErrNoSession] if there is none that may be used.
func (db *DB) Session(ctx context.Context, token string) (audit.Session, error) {
	var s audit.Session
	var scope []byte
	err := db.pool.QueryRow(ctx, sessionByToken, audit.TokenHash(token)).
		Scan(&s.ID, &s.ExpiresAt, &scope, &s.Subject.ID, &s.Subject.Groups)
	if errors.Is(err, pgx.ErrNoRows) {
		return audit.Session{}, audit.ErrNoSession
	}
	if err != nil {
		return audit.Session{}, queryError(ctx, "looking up a session", err)
	}
	s.Subject.Scope = audit.Unlimited()
	if scope != nil {
		if s.Subject.Scope, err = audit.ParseScope(scope); err != nil {
			return audit.Session{}, fmt.Errorf("session %s: %w", s.ID, err)
		}
	}
	if s.Subject.Roles, err = db.roles(ctx, s.Subject.ID); err != nil {
		return audit.Session{}, err
	}
	return s, nil
}

func (db *DB) roles(ctx context.Context, user uuid.UUID) ([]audit.Role, error) {
	const doing = "loading the roles of a user"
	rows, err := db.pool.Query(ctx, rolesOfUser, user)
	if err != nil {
		return nil, queryError(ctx, doing, err)
	}
	defer rows.Close()
	var roles []audit.Role
	for rows.Next() {
		var (
			name       string
			definition []byte
			site       bool
			orgs       []uuid.UUID
		)
		if err := rows.Scan(&name, &definition, &site, &orgs); err != nil {
			return nil, queryError(ctx, doing, err)
		}
		// What a role without a definition denied is not known, so its holder
		// gets nothing rather than all the rest.
		if definition == nil {
			return nil, fmt.Errorf("%s: %s has the role %q, which is not defined", doing, user, name)
		}
		var p audit.Permissions
		if err := json.Unmarshal(definition, &p); err != nil {
			return nil, fmt.Errorf("%s: role %q: %w", doing, name, err)
		}
		role := audit.Role{Orgs: orgs, Org: p.Org, Member: p.Member}
		if site {
			role.Site, role.User = p.Site, p.User
		}
		roles = append(roles, role)
	}
	return roles, queryError(ctx, doing, rows.Err())
}
