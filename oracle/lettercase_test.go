package oracle

import (
	"context"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rego"
)

// TestLetterCase holds PostgreSQL's lower and upper of every character that may have a
// case against Go's, which is OPA's. (Of all characters it takes a minute.)
func TestLetterCase(t *testing.T) {
	ctx := context.Background()
	db := pgtest.New(t)
	_, err := db.Exec(ctx, "CREATE TABLE words (t text NOT NULL, lowered text NOT NULL, uppered text NOT NULL)")
	require.NoError(t, err)
	var all []rune
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if utf8.ValidRune(r) && unicode.IsGraphic(r) && !unicode.Is(unicode.Lo, r) {
			all = append(all, r)
		}
	}
	words := 0
	for word := range slices.Chunk(all, 500) {
		words++
		_, err := db.Exec(ctx, "INSERT INTO words VALUES ($1, $2, $3)", string(word), strings.ToLower(string(word)), strings.ToUpper(string(word)))
		require.NoError(t, err)
	}

	schema, err := compiler.ParseSchema([]byte(`
resources:
  word:
    table: words
    root: input.object
    fields:
      t: {column: t, type: text, not_null: true}
      lowered: {column: lowered, type: text, not_null: true}
      uppered: {column: uppered, type: text, not_null: true}
`))
	require.NoError(t, err)
	resource, err := schema.Resource("word")
	require.NoError(t, err)
	policy, err := rego.Load(ctx, rego.Module("policy.rego", `package authz

import rego.v1

allow if {
	lower(input.object.t) == input.object.lowered
	upper(input.object.t) == input.object.uppered
}`))
	require.NoError(t, err)
	query, err := policy.Prepare(ctx, "data.authz.allow")
	require.NoError(t, err)
	compiled, err := compiler.Compile(ctx, query, resource, nil)
	require.NoError(t, err)
	where, args := compiled.Filter.SQL(1)
	var same int
	require.NoError(t, db.QueryRow(ctx, "SELECT count(*) FROM words WHERE "+where, args...).Scan(&same))
	require.Equal(t, words, same)
}
