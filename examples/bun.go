package examples

import (
	"context"
	"database/sql"
	"strings"

	"github.com/uptrace/bun"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/sqlgen"
)

// Bun builds its queries with bun. It writes the values into the text, quoted, so that
// PostgreSQL always plans with them.
type Bun struct{ DB *bun.DB }

var _ Store = Bun{}

// where is the filter of a resource as bun takes a condition: a question mark that is no
// placeholder has a backslash, and an array is its text.
func where(ctx context.Context, resource, alias string) (string, []any, error) {
	filter, err := rowfence.FilterFrom(ctx, resource)
	if err != nil {
		return "", nil, err
	}
	text, args, err := filter.As(alias).ToSql()
	if err != nil {
		return "", nil, err
	}
	for i, arg := range args {
		if args[i], err = sqlgen.ArgText(arg); err != nil {
			return "", nil, err
		}
	}
	return strings.ReplaceAll(text, "??", `\?`), args, nil
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// List is that of a Store.
func (b Bun) List(ctx context.Context, words int64) ([]int64, error) {
	document, args, err := where(ctx, "document", "d")
	if err != nil {
		return nil, err
	}
	var ids []int64
	err = b.DB.NewSelect().ColumnExpr("d.id").TableExpr("documents AS d").
		Where("d.words >= ?", words).Where(document, args...).OrderExpr("d.id").Scan(ctx, &ids)
	return ids, err
}

// Shelved is that of a Store.
func (b Bun) Shelved(ctx context.Context, words int64) ([]int64, error) {
	document, args, err := where(ctx, "document", "d")
	if err != nil {
		return nil, err
	}
	folder, more, err := where(ctx, "folder", "f")
	if err != nil {
		return nil, err
	}
	var ids []int64
	err = b.DB.NewSelect().ColumnExpr("d.id").TableExpr("documents AS d").Join("JOIN folders AS f ON f.id = d.folder_id").
		Where("d.words >= ?", words).Where(document, args...).Where(folder, more...).OrderExpr("d.id").Scan(ctx, &ids)
	return ids, err
}

// Count is that of a Store.
func (b Bun) Count(ctx context.Context) ([]Total, error) {
	document, args, err := where(ctx, "document", "d")
	if err != nil {
		return nil, err
	}
	var out []Total
	err = b.DB.NewSelect().ColumnExpr("d.folder_id, count(*) AS documents, sum(d.words)::bigint AS words").
		TableExpr("documents AS d").Where(document, args...).GroupExpr("d.folder_id").OrderExpr("d.folder_id").Scan(ctx, &out)
	return out, err
}

// Rename is that of a Store.
func (b Bun) Rename(ctx context.Context, title string) (int64, error) {
	document, args, err := where(ctx, "document", "d")
	if err != nil {
		return 0, err
	}
	return affected(b.DB.NewUpdate().TableExpr("documents AS d").Set("title = ?", title).Where(document, args...).Exec(ctx))
}

// Remove is that of a Store.
func (b Bun) Remove(ctx context.Context, words int64) (int64, error) {
	document, args, err := where(ctx, "document", "d")
	if err != nil {
		return 0, err
	}
	return affected(b.DB.NewDelete().TableExpr("documents AS d").Where("d.words < ?", words).Where(document, args...).Exec(ctx))
}

// Copy is that of a Store.
func (b Bun) Copy(ctx context.Context, source, target int64) (int64, error) {
	document, args, err := where(ctx, "document", "d")
	if err != nil {
		return 0, err
	}
	visible := b.DB.NewSelect().ColumnExpr("?::bigint, d.org_id, d.owner_id, d.title, d.words", target).
		TableExpr("documents AS d").Where("d.folder_id = ?", source).Where(document, args...)
	return affected(b.DB.NewRaw("INSERT INTO documents (folder_id, org_id, owner_id, title, words) ?", visible).Exec(ctx))
}
