package examples

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/examples/documents"
	"github.com/rowfence/rowfence/pgxfilter"
)

//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate

// Generated runs what sqlc generates from queries.sql. The connections that the code
// gets put the filters in, so that a query without a marker does not run.
type Generated struct{ queries *documents.Queries }

var _ Store = Generated{}

// NewGenerated is a Generated on a pool.
func NewGenerated(db *pgxpool.Pool) Generated {
	return Generated{documents.New(pgxfilter.Authorize(db))}
}

// List is that of a Store.
func (g Generated) List(ctx context.Context, words int64) ([]int64, error) {
	return g.queries.List(ctx, words)
}

// Shelved is that of a Store.
func (g Generated) Shelved(ctx context.Context, words int64) ([]int64, error) {
	return g.queries.Shelved(ctx, words)
}

// Count is that of a Store.
func (g Generated) Count(ctx context.Context) ([]Total, error) {
	rows, err := g.queries.Count(ctx)
	if err != nil {
		return nil, err
	}
	var out []Total
	for _, row := range rows {
		out = append(out, Total{Folder: row.FolderID, Documents: row.Documents, Words: row.Words})
	}
	return out, nil
}

// Rename is that of a Store.
func (g Generated) Rename(ctx context.Context, title string) (int64, error) {
	return g.queries.Rename(ctx, title)
}

// Remove is that of a Store.
func (g Generated) Remove(ctx context.Context, words int64) (int64, error) {
	return g.queries.Remove(ctx, words)
}

// Copy is that of a Store.
func (g Generated) Copy(ctx context.Context, source, target int64) (int64, error) {
	return g.queries.Copy(ctx, documents.CopyParams{Source: source, Target: target})
}

// Ping asks for nothing that needs a filter, and says so in its query.
func (g Generated) Ping(ctx context.Context) error {
	_, err := g.queries.Ping(ctx)
	return err
}
