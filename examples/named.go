package examples

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/pgxfilter"
)

// Named writes its queries with @name. The filters' arguments have names of their own.
// Its connections were made as those of Positional.
type Named struct{ DB *pgxpool.Pool }

var _ Store = Named{}

// condition is the filter of a resource, whose arguments it adds to args.
func condition(ctx context.Context, resource, alias string, args pgx.NamedArgs) (string, error) {
	filter, err := rowfence.FilterFrom(ctx, resource)
	if err != nil {
		return "", err
	}
	return pgxfilter.Named(filter.As(alias), resource, args)
}

// List is that of a Store.
func (n Named) List(ctx context.Context, words int64) ([]int64, error) {
	args := pgx.NamedArgs{"words": words}
	where, err := condition(ctx, "document", "d", args)
	if err != nil {
		return nil, err
	}
	rows, err := n.DB.Query(ctx, "SELECT d.id FROM documents AS d WHERE d.words >= @words AND "+where+" ORDER BY d.id", args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Shelved is that of a Store.
func (n Named) Shelved(ctx context.Context, words int64) ([]int64, error) {
	args := pgx.NamedArgs{"words": words}
	d, err := condition(ctx, "document", "d", args)
	if err != nil {
		return nil, err
	}
	f, err := condition(ctx, "folder", "f", args)
	if err != nil {
		return nil, err
	}
	rows, err := n.DB.Query(ctx, "SELECT d.id FROM documents AS d JOIN folders AS f ON f.id = d.folder_id WHERE d.words >= @words AND "+
		d+" AND "+f+" ORDER BY d.id", args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Count is that of a Store.
func (n Named) Count(ctx context.Context) ([]Total, error) {
	args := pgx.NamedArgs{}
	where, err := condition(ctx, "document", "d", args)
	if err != nil {
		return nil, err
	}
	rows, err := n.DB.Query(ctx, "SELECT d.folder_id, count(*), sum(d.words)::bigint FROM documents AS d WHERE "+where+
		" GROUP BY d.folder_id ORDER BY d.folder_id", args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Total])
}

// Rename is that of a Store.
func (n Named) Rename(ctx context.Context, title string) (int64, error) {
	args := pgx.NamedArgs{"title": title}
	where, err := condition(ctx, "document", "d", args)
	if err != nil {
		return 0, err
	}
	tag, err := n.DB.Exec(ctx, "UPDATE documents AS d SET title = @title WHERE "+where, args)
	return tag.RowsAffected(), err
}

// Remove is that of a Store.
func (n Named) Remove(ctx context.Context, words int64) (int64, error) {
	args := pgx.NamedArgs{"words": words}
	where, err := condition(ctx, "document", "d", args)
	if err != nil {
		return 0, err
	}
	tag, err := n.DB.Exec(ctx, "DELETE FROM documents AS d WHERE d.words < @words AND "+where, args)
	return tag.RowsAffected(), err
}

// Copy is that of a Store.
func (n Named) Copy(ctx context.Context, source, target int64) (int64, error) {
	args := pgx.NamedArgs{"source": source, "target": target}
	where, err := condition(ctx, "document", "d", args)
	if err != nil {
		return 0, err
	}
	tag, err := n.DB.Exec(ctx, `INSERT INTO documents (folder_id, org_id, owner_id, title, words)
		SELECT @target, d.org_id, d.owner_id, d.title, d.words FROM documents AS d WHERE d.folder_id = @source AND `+where, args)
	return tag.RowsAffected(), err
}
