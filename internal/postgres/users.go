package postgres

import (
	"context"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/internal/audit"
)

// The names that people see of roles without a definition are their names.
const usersByID = `
SELECT u.id, u.username, u.name, u.email, u.avatar_url, u.created_at, u.updated_at, u.last_seen_at,
	u.status, u.login_type, u.theme_preference, u.roles,
	ARRAY(SELECT coalesce(nullif(r.display_name, ''), n.name)
		FROM unnest(u.roles) WITH ORDINALITY AS n(name, i)
		LEFT JOIN roles AS r ON r.name = n.name AND r.organization_id IS NULL
		ORDER BY n.i),
	ARRAY(SELECT organization_id FROM organization_members WHERE user_id = u.id ORDER BY 1)
FROM users AS u
WHERE u.id = ANY($1)`

// users are those of the ids that there are, by id; the zero UUID is nobody's.
func users(ctx context.Context, q rowsOf, of []uuid.UUID) (map[uuid.UUID]*audit.User, error) {
	const doing = "loading the users of a log"
	byID := map[uuid.UUID]*audit.User{}
	var ids []uuid.UUID
	for _, id := range of {
		if _, seen := byID[id]; !seen && id != uuid.Nil {
			byID[id] = nil
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return nil, nil
	}
	rows, err := q.Query(ctx, usersByID, ids)
	if err != nil {
		return nil, queryError(ctx, doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		var u audit.User
		var names, displayNames []string
		err := rows.Scan(&u.ID, &u.Username, &u.Name, &u.Email, &u.AvatarURL, &u.CreatedAt, &u.UpdatedAt, &u.LastSeenAt,
			&u.Status, &u.LoginType, &u.ThemePreference, &names, &displayNames, &u.OrganizationIDs)
		if err != nil {
			return nil, queryError(ctx, doing, err)
		}
		u.CreatedAt, u.UpdatedAt, u.LastSeenAt = u.CreatedAt.UTC(), u.UpdatedAt.UTC(), u.LastSeenAt.UTC()
		for i, name := range names {
			u.Roles = append(u.Roles, audit.RoleName{Name: name, DisplayName: displayNames[i]})
		}
		byID[u.ID] = &u
	}
	return byID, queryError(ctx, doing, rows.Err())
}
