package postgres

import (
	"context"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/auditquery"
)

// A name comes with what it is compared as, and where it stands for nothing with NULL.
const idsByName = `
SELECT 'username', n, lower(n), id FROM unnest($1::text[]) AS n LEFT JOIN users ON lower(username) = lower(n)
UNION ALL
SELECT 'email', n, lower(n), id FROM unnest($2::text[]) AS n LEFT JOIN users ON lower(email) = lower(n) AND email <> ''
UNION ALL
SELECT 'organization', n, lower(n), id FROM unnest($3::text[]) AS n LEFT JOIN organizations ON lower(name) = lower(n)`

// Texts come last, each once with NULL, so that one that is in no name is known to
// be in none. Of too many users one more than allowed is told.
const idsByText = `
UNION ALL
SELECT 'text', n, '', NULL FROM unnest($4::text[]) AS n
UNION ALL
SELECT 'text', n, '', u.id FROM unnest($4::text[], $5::text[]) AS t(n, pattern)
CROSS JOIN LATERAL (SELECT id FROM users WHERE username ILIKE pattern LIMIT $6) AS u`

// maxTexts is how many texts of a search are looked for among the users before
// the search. More are looked for row by row.
const maxTexts = 20

// Resolve looks up what the names of a search stand for. A name that stands for nothing
// gets an id that nothing has: then it is searched for as a name whose rows the caller
// may not see, and the answer is the same. Otherwise it would be known that no row
// matches, and that all were looked at, of the one and not of the other. Spellings that
// are one name get one id, as they would if somebody had the name.
func (db *DB) Resolve(ctx context.Context, me uuid.UUID, names auditquery.Names) (auditquery.Resolved, error) {
	const doing = "looking up the names of a search"
	r := auditquery.Resolved{
		Me:            me,
		Usernames:     map[string][]uuid.UUID{},
		Emails:        map[string][]uuid.UUID{},
		Organizations: map[string][]uuid.UUID{},
	}
	texts := names.Texts[:min(len(names.Texts), maxTexts)]
	if len(names.Usernames)+len(names.Emails)+len(names.Organizations)+len(texts) == 0 {
		return r, nil
	}
	sql, args := idsByName, []any{names.Usernames, names.Emails, names.Organizations}
	if len(texts) > 0 {
		r.Texts = map[string][]uuid.UUID{}
		patterns := make([]string, len(texts))
		for i, text := range texts {
			patterns[i] = auditquery.LikePattern(text)
		}
		sql += idsByText
		args = append(args, texts, patterns, auditquery.MaxUsersOfText+1)
	}
	rows, err := db.pool.Query(ctx, sql, args...)
	if err != nil {
		return r, queryError(ctx, doing, err)
	}
	defer rows.Close()
	byKind := map[string]map[string][]uuid.UUID{"username": r.Usernames, "email": r.Emails, "organization": r.Organizations, "text": r.Texts}
	type unknown struct{ kind, lower string }
	none := map[unknown]uuid.UUID{}
	for rows.Next() {
		var kind, name, lower string
		var id *uuid.UUID
		if err := rows.Scan(&kind, &name, &lower, &id); err != nil {
			return r, queryError(ctx, doing, err)
		}
		switch key := (unknown{kind, lower}); {
		case id != nil:
			byKind[kind][name] = append(byKind[kind][name], *id)
		case kind == "text":
			byKind[kind][name] = []uuid.UUID{}
		default:
			if _, ok := none[key]; !ok {
				none[key] = uuid.New()
			}
			byKind[kind][name] = []uuid.UUID{none[key]}
		}
	}
	for text, users := range r.Texts {
		if len(users) > auditquery.MaxUsersOfText {
			delete(r.Texts, text)
		}
	}
	return r, queryError(ctx, doing, rows.Err())
}
