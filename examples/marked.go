package examples

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/pgxfilter"
)

// Marked writes its queries whole, with markers where the filters belong, and says
// itself which filters they get. pgxfilter.Filters.Args has PostgreSQL plan each query
// with its values.
type Marked struct{ DB *pgxpool.Pool }

var _ Store = Marked{}

// filters are those of resources.
func filters(ctx context.Context, resources ...string) (pgxfilter.Filters, error) {
	out := pgxfilter.Filters{}
	for _, name := range resources {
		filter, err := rowfence.FilterFrom(ctx, name)
		if err != nil {
			return nil, err
		}
		out[name] = filter
	}
	return out, nil
}

// List is that of a Store.
func (m Marked) List(ctx context.Context, words int64) ([]int64, error) {
	filters, err := filters(ctx, "document")
	if err != nil {
		return nil, err
	}
	rows, err := m.DB.Query(ctx, `SELECT d.id FROM documents AS d
		WHERE d.words >= $1 AND /* authorize: document as d */ FALSE ORDER BY d.id`, filters.Args(words)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Shelved is that of a Store.
func (m Marked) Shelved(ctx context.Context, words int64) ([]int64, error) {
	filters, err := filters(ctx, "document", "folder")
	if err != nil {
		return nil, err
	}
	rows, err := m.DB.Query(ctx, `SELECT d.id FROM documents AS d JOIN folders AS f ON f.id = d.folder_id
		WHERE d.words >= @words AND /* authorize: document as d */ FALSE AND /* authorize: folder as f */ FALSE
		ORDER BY d.id`, filters.Args(pgx.NamedArgs{"words": words})...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Count is that of a Store.
func (m Marked) Count(ctx context.Context) ([]Total, error) {
	filters, err := filters(ctx, "document")
	if err != nil {
		return nil, err
	}
	rows, err := m.DB.Query(ctx, `SELECT folder_id, count(*), sum(words)::bigint FROM documents
		WHERE /* authorize: document */ FALSE GROUP BY folder_id ORDER BY folder_id`, filters.Args()...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Total])
}

// Rename is that of a Store.
func (m Marked) Rename(ctx context.Context, title string) (int64, error) {
	filters, err := filters(ctx, "document")
	if err != nil {
		return 0, err
	}
	tag, err := m.DB.Exec(ctx, "UPDATE documents SET title = $1 WHERE /* authorize: document */ FALSE", filters.Args(title)...)
	return tag.RowsAffected(), err
}

// Remove is that of a Store.
func (m Marked) Remove(ctx context.Context, words int64) (int64, error) {
	filters, err := filters(ctx, "document")
	if err != nil {
		return 0, err
	}
	tag, err := m.DB.Exec(ctx, "DELETE FROM documents WHERE words < $1 AND /* authorize: document */ FALSE", filters.Args(words)...)
	return tag.RowsAffected(), err
}

// Copy is that of a Store.
func (m Marked) Copy(ctx context.Context, source, target int64) (int64, error) {
	filters, err := filters(ctx, "document")
	if err != nil {
		return 0, err
	}
	tag, err := m.DB.Exec(ctx, `INSERT INTO documents (folder_id, org_id, owner_id, title, words)
		SELECT $1, d.org_id, d.owner_id, d.title, d.words FROM documents AS d
		WHERE d.folder_id = $2 AND /* authorize: document as d */ FALSE`, filters.Args(target, source)...)
	return tag.RowsAffected(), err
}
