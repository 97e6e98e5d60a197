// Package examples shows the ways in which a service uses filters: the same six
// statements on two tables, written with each library.
//
//	positional.go  pgx, $1
//	named.go       pgx, @name
//	marked.go      pgx, markers in written queries
//	generated.go   code that sqlc generates from queries.sql, in documents
//	sql.go         database/sql
//	squirrel.go    squirrel
//	bun.go         bun
//	http.go        net/http, in front of any of them
//
// It is a module of its own, so that nobody who imports rowfence gets the dependencies.
package examples

import (
	"context"
	"embed"

	"github.com/rowfence/rowfence"
)

//go:embed policy.rego
var policies embed.FS

//go:embed schema.yaml
var schema []byte

// Tables are the statements that create the tables.
//
//go:embed tables.sql
var Tables string

// NewEngine is an engine for the tables.
func NewEngine(ctx context.Context) (*rowfence.Engine, error) {
	return rowfence.New(ctx, rowfence.Config{Policies: policies, Schema: schema})
}

// Person is who asks, as the policy sees it.
type Person struct {
	ID   string   `json:"id"`
	Role string   `json:"role"`
	Orgs []string `json:"orgs"`
}

// Total is what is in a folder.
type Total struct {
	Folder    int64 `bun:"folder_id"`
	Documents int64
	Words     int64
}

// Store runs the statements. Each takes the request of the context: it sees, changes and
// removes only what the policy allows, and does nothing in a context without one.
type Store interface {
	// List is the documents of at least so many words: a table with an alias.
	List(ctx context.Context, words int64) ([]int64, error)
	// Shelved is List for documents whose folder is to be seen, too: two authorized
	// tables in one query.
	Shelved(ctx context.Context, words int64) ([]int64, error)
	// Count is an aggregate.
	Count(ctx context.Context) ([]Total, error)
	// Rename is an UPDATE, and says how many documents it changed.
	Rename(ctx context.Context, title string) (int64, error)
	// Remove is a DELETE of the documents of fewer words, and says how many it removed.
	Remove(ctx context.Context, words int64) (int64, error)
	// Copy is an INSERT of what a SELECT may see in a folder, and says how many it copied.
	Copy(ctx context.Context, source, target int64) (int64, error)
}
