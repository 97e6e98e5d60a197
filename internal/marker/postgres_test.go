package marker

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/sqlgen"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const place = "/* authorize: mine */ TRUE"

// Two markers around hostile strings, names and comments: whatever PostgreSQL runs has
// both of them replaced, and none where it sees none.
func TestPostgreSQLReadsTheSame(t *testing.T) {
	db := pgtest.New(t)
	piece := rapid.SampledFrom([]string{`'`, `''`, `\`, `\'`, `\\`, `"`, `$`, `$$`, `$a$`, "$é$", "$€$", "\n", "\r", " ", "--", "/*", "*/", "/", "a", "e'", "E", "é", "1"})
	content := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "content"), "") })
	literal := rapid.Custom(func(t *rapid.T) string {
		c := content.Draw(t, "of a literal")
		switch rapid.IntRange(0, 8).Draw(t, "kind") {
		case 0:
			return "E'" + c + "'"
		case 1:
			return "$$" + c + "$$"
		case 2:
			return "$a$" + c + "$a$"
		case 3:
			return "1 /*" + c + "*/"
		case 4:
			return "1 --" + c + "\n"
		case 5:
			return "1 AS \"" + c + "\""
		case 6:
			return "E'" + c + "' -- '\n'" + content.Draw(t, "of the next line") + "'"
		case 7:
			return "$€$" + c + "$€$"
		default:
			return "'" + c + "'"
		}
	})
	agreed := 0
	rapid.Check(t, func(t *rapid.T) {
		query := "SELECT " + place + ", " + strings.Join(rapid.SliceOfN(literal, 1, 3).Draw(t, "literals"), ", ") + ", " + place
		asWritten, err := ends(context.Background(), db, query)
		if err != nil {
			return // not valid, whatever is in the places
		}
		never := func(Marker) (sqlgen.Filter, error) { return sqlgen.Never(), nil }
		rewritten, _, err := Replace(query, nil, never)
		if err != nil { // the last marker is in a comment or the like
			require.NotEqual(t, true, asWritten[1], "PostgreSQL runs %q", query)
			return
		}
		have, err := ends(context.Background(), db, rewritten)
		require.NoError(t, err, "%q became %q", query, rewritten)
		for i, v := range asWritten {
			if v == true {
				require.Equal(t, false, have[i], "%q became %q", query, rewritten)
			} else {
				require.Equal(t, v, have[i], "%q became %q", query, rewritten)
			}
		}
		agreed++
	})
	require.Positive(t, agreed)
}

// ends are the first and last columns of the query's row.
func ends(ctx context.Context, db *pgxpool.Pool, query string) ([2]any, error) {
	rows, err := db.Query(ctx, query, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return [2]any{}, err
	}
	values, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err != nil {
		return [2]any{}, err
	}
	return [2]any{values[0], values[len(values)-1]}, nil
}
