package examples

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence"
)

// Positional writes its queries with $1. The filter's arguments come after its own.
//
// The connections were made with pgxfilter.ForceCustomPlans: a filter may have an array
// for an argument, and pgx prepares what it runs.
type Positional struct{ DB *pgxpool.Pool }

var _ Store = Positional{}

// List is that of a Store.
func (p Positional) List(ctx context.Context, words int64) ([]int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return nil, err
	}
	where, args := document.As("d").SQL(2)
	rows, err := p.DB.Query(ctx, "SELECT d.id FROM documents AS d WHERE d.words >= $1 AND "+where+" ORDER BY d.id",
		append([]any{words}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Shelved is that of a Store.
func (p Positional) Shelved(ctx context.Context, words int64) ([]int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return nil, err
	}
	folder, err := rowfence.FilterFrom(ctx, "folder")
	if err != nil {
		return nil, err
	}
	args := []any{words}
	d, more := document.As("d").SQL(len(args) + 1)
	args = append(args, more...)
	f, more := folder.As("f").SQL(len(args) + 1)
	args = append(args, more...)
	rows, err := p.DB.Query(ctx, "SELECT d.id FROM documents AS d JOIN folders AS f ON f.id = d.folder_id WHERE d.words >= $1 AND "+
		d+" AND "+f+" ORDER BY d.id", args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Count is that of a Store.
func (p Positional) Count(ctx context.Context) ([]Total, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return nil, err
	}
	where, args := document.SQL(1)
	rows, err := p.DB.Query(ctx, "SELECT folder_id, count(*), sum(words)::bigint FROM documents WHERE "+where+
		" GROUP BY folder_id ORDER BY folder_id", args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Total])
}

// Rename is that of a Store.
func (p Positional) Rename(ctx context.Context, title string) (int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return 0, err
	}
	where, args := document.SQL(2)
	tag, err := p.DB.Exec(ctx, "UPDATE documents SET title = $1 WHERE "+where, append([]any{title}, args...)...)
	return tag.RowsAffected(), err
}

// Remove is that of a Store.
func (p Positional) Remove(ctx context.Context, words int64) (int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return 0, err
	}
	where, args := document.SQL(2)
	tag, err := p.DB.Exec(ctx, "DELETE FROM documents WHERE words < $1 AND "+where, append([]any{words}, args...)...)
	return tag.RowsAffected(), err
}

// Copy is that of a Store.
func (p Positional) Copy(ctx context.Context, source, target int64) (int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return 0, err
	}
	where, args := document.As("d").SQL(3)
	tag, err := p.DB.Exec(ctx, `INSERT INTO documents (folder_id, org_id, owner_id, title, words)
		SELECT $1, d.org_id, d.owner_id, d.title, d.words FROM documents AS d WHERE d.folder_id = $2 AND `+where,
		append([]any{target, source}, args...)...)
	return tag.RowsAffected(), err
}
