package examples

import (
	"context"
	"database/sql"

	"github.com/rowfence/rowfence/sqlfilter"
)

// SQL runs written queries by database/sql, on connections that put the filters in. They
// were made with sqlfilter.CustomPlans.
type SQL struct{ db sqlfilter.DB }

var _ Store = SQL{}

// NewSQL is a SQL on a pool.
func NewSQL(db *sql.DB) SQL { return SQL{sqlfilter.Authorize(db)} }

func (s SQL) ids(ctx context.Context, query string, args ...any) ([]int64, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func (s SQL) affected(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// List is that of a Store.
func (s SQL) List(ctx context.Context, words int64) ([]int64, error) {
	return s.ids(ctx, `SELECT d.id FROM documents AS d
		WHERE d.words >= $1 AND /* authorize: document as d */ FALSE ORDER BY d.id`, words)
}

// Shelved is that of a Store.
func (s SQL) Shelved(ctx context.Context, words int64) ([]int64, error) {
	return s.ids(ctx, `SELECT d.id FROM documents AS d JOIN folders AS f ON f.id = d.folder_id
		WHERE d.words >= $1 AND /* authorize: document as d */ FALSE AND /* authorize: folder as f */ FALSE
		ORDER BY d.id`, words)
}

// Count is that of a Store.
func (s SQL) Count(ctx context.Context) ([]Total, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT folder_id, count(*), sum(words)::bigint FROM documents
		WHERE /* authorize: document */ FALSE GROUP BY folder_id ORDER BY folder_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Total
	for rows.Next() {
		var t Total
		if err := rows.Scan(&t.Folder, &t.Documents, &t.Words); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// Rename is that of a Store.
func (s SQL) Rename(ctx context.Context, title string) (int64, error) {
	return s.affected(ctx, "UPDATE documents SET title = $1 WHERE /* authorize: document */ FALSE", title)
}

// Remove is that of a Store.
func (s SQL) Remove(ctx context.Context, words int64) (int64, error) {
	return s.affected(ctx, "DELETE FROM documents WHERE words < $1 AND /* authorize: document */ FALSE", words)
}

// Copy is that of a Store.
func (s SQL) Copy(ctx context.Context, source, target int64) (int64, error) {
	return s.affected(ctx, `INSERT INTO documents (folder_id, org_id, owner_id, title, words)
		SELECT $1, d.org_id, d.owner_id, d.title, d.words FROM documents AS d
		WHERE d.folder_id = $2 AND /* authorize: document as d */ FALSE`, target, source)
}
