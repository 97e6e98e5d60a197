package examples

import (
	"context"

	"github.com/Masterminds/squirrel"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence"
)

// Squirrel builds its queries with squirrel, to which a filter is a condition like any
// other. Its connections were made as those of Positional.
type Squirrel struct{ DB *pgxpool.Pool }

var _ Store = Squirrel{}

// dollar is squirrel with PostgreSQL's placeholders.
var dollar = squirrel.StatementBuilder.PlaceholderFormat(squirrel.Dollar)

func (s Squirrel) query(ctx context.Context, b squirrel.Sqlizer) (pgx.Rows, error) {
	text, args, err := b.ToSql()
	if err != nil {
		return nil, err
	}
	return s.DB.Query(ctx, text, args...)
}

func (s Squirrel) ids(ctx context.Context, b squirrel.Sqlizer) ([]int64, error) {
	rows, err := s.query(ctx, b)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

func (s Squirrel) affected(ctx context.Context, b squirrel.Sqlizer) (int64, error) {
	text, args, err := b.ToSql()
	if err != nil {
		return 0, err
	}
	tag, err := s.DB.Exec(ctx, text, args...)
	return tag.RowsAffected(), err
}

// List is that of a Store.
func (s Squirrel) List(ctx context.Context, words int64) ([]int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return nil, err
	}
	return s.ids(ctx, dollar.Select("d.id").From("documents AS d").
		Where(squirrel.GtOrEq{"d.words": words}).Where(document.As("d")).OrderBy("d.id"))
}

// Shelved is that of a Store.
func (s Squirrel) Shelved(ctx context.Context, words int64) ([]int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return nil, err
	}
	folder, err := rowfence.FilterFrom(ctx, "folder")
	if err != nil {
		return nil, err
	}
	return s.ids(ctx, dollar.Select("d.id").From("documents AS d").Join("folders AS f ON f.id = d.folder_id").
		Where(squirrel.And{squirrel.GtOrEq{"d.words": words}, document.As("d"), folder.As("f")}).OrderBy("d.id"))
}

// Count is that of a Store.
func (s Squirrel) Count(ctx context.Context) ([]Total, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return nil, err
	}
	rows, err := s.query(ctx, dollar.Select("folder_id", "count(*)", "sum(words)::bigint").From("documents").
		Where(document).GroupBy("folder_id").OrderBy("folder_id"))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Total])
}

// Rename is that of a Store.
func (s Squirrel) Rename(ctx context.Context, title string) (int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return 0, err
	}
	return s.affected(ctx, dollar.Update("documents").Set("title", title).Where(document))
}

// Remove is that of a Store.
func (s Squirrel) Remove(ctx context.Context, words int64) (int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return 0, err
	}
	return s.affected(ctx, dollar.Delete("documents").Where(squirrel.Lt{"words": words}).Where(document))
}

// Copy is that of a Store.
func (s Squirrel) Copy(ctx context.Context, source, target int64) (int64, error) {
	document, err := rowfence.FilterFrom(ctx, "document")
	if err != nil {
		return 0, err
	}
	visible := squirrel.Select().Column("?::bigint", target).Columns("d.org_id", "d.owner_id", "d.title", "d.words").
		From("documents AS d").Where(squirrel.Eq{"d.folder_id": source}).Where(document.As("d"))
	return s.affected(ctx, dollar.Insert("documents").
		Columns("folder_id", "org_id", "owner_id", "title", "words").Select(visible))
}
