package auditquery_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/auditquery"
)

var cursorKey = []byte(strings.Repeat("k", auditquery.MinCursorKeyBytes))

func newCursors(t testing.TB, key []byte) auditquery.Cursors {
	t.Helper()
	c, err := auditquery.NewCursors(key)
	require.NoError(t, err)
	return c
}

func requireRefused(t testing.TB, err error) {
	t.Helper()
	var refused *auditquery.CursorError
	require.True(t, errors.As(err, &refused), "%v", err)
	require.NotEmpty(t, refused.Error())
}

var someCursor = auditquery.Cursor{
	From: auditquery.Place{Time: time.Date(2026, 4, 9, 1, 2, 3, 456789000, time.UTC), ID: nth(7)},
	Now:  time.Date(2026, 4, 10, 0, 0, 0, 1000, time.UTC),
}

func TestCursors(t *testing.T) {
	cursors := newCursors(t, cursorKey)
	of := auditquery.Scope{Log: auditquery.AuditLogs(), Search: parse(t, "since:1h action:login"), Caller: "ann"}
	for i, newer := range []bool{false, true, false} {
		want := someCursor
		want.Newer, want.Skip = newer, i<<40
		text := cursors.Encode(of, want)
		require.Regexp(t, "^[A-Za-z0-9_-]+$", text)
		got, err := cursors.Decode(of, text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		// The same search, written in another way.
		again := of
		again.Search = parse(t, "ACTION:login since:60m")
		_, err = cursors.Decode(again, text)
		require.NoError(t, err)
		again.Log = of.Log.In("audit_logs_2026_04")
		_, err = cursors.Decode(again, text)
		require.NoError(t, err)
	}
	text := cursors.Encode(of, someCursor)
	for name, other := range map[string]auditquery.Scope{
		"log":        {Log: auditquery.ConnectionLogs(), Search: of.Search, Caller: of.Caller},
		"search":     {Log: of.Log, Search: parse(t, "since:1h action:logout"), Caller: of.Caller},
		"no search":  {Log: of.Log, Caller: of.Caller},
		"caller":     {Log: of.Log, Search: of.Search, Caller: "bob"},
		"no caller":  {Log: of.Log, Search: of.Search},
		"everything": {},
	} {
		_, err := cursors.Decode(other, text)
		require.Error(t, err, name)
		requireRefused(t, err)
	}
	_, err := newCursors(t, []byte(strings.Repeat("K", 32))).Decode(of, text)
	requireRefused(t, err)
	_, err = auditquery.Cursors{}.Decode(of, auditquery.Cursors{}.Encode(of, someCursor))
	requireRefused(t, err)

	raw, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	skipping := someCursor
	skipping.Skip = 1
	long, err := base64.RawURLEncoding.DecodeString(cursors.Encode(of, skipping))
	require.NoError(t, err)
	// Without what it skips it is not signed.
	_, err = cursors.Decode(of, base64.RawURLEncoding.EncodeToString(append(slices.Clone(long[:len(raw)-32]), long[len(long)-32:]...)))
	requireRefused(t, err)
	for i := range raw {
		for bit := range 8 {
			changed := slices.Clone(raw)
			changed[i] ^= 1 << bit
			_, err := cursors.Decode(of, base64.RawURLEncoding.EncodeToString(changed))
			requireRefused(t, err)
		}
	}
	for _, other := range []string{"", "x", text[1:], text + "=", text + "A", strings.Repeat("A", len(text)), strings.Repeat("é", len(text)/2), " " + text[1:], text[:10] + "\n" + text[10:]} {
		_, err := cursors.Decode(of, other)
		requireRefused(t, err)
	}
	_, err = auditquery.NewCursors(cursorKey[1:])
	require.ErrorContains(t, err, "at least 32 bytes, not 31")
}

// What is bound to a cursor must not run together: the caller "ab" of "c" is not
// "a" of "bc".
func TestCursorsKeepPartsApart(t *testing.T) {
	cursors := newCursors(t, cursorKey)
	of := auditquery.Scope{Log: auditquery.AuditLogs(), Search: parse(t, `resource_target:x`), Caller: "abc"}
	text := cursors.Encode(of, someCursor)
	_, err := cursors.Decode(auditquery.Scope{Log: of.Log, Search: parse(t, `resource_target:xa`), Caller: "bc"}, text)
	requireRefused(t, err)
}

func FuzzDecodeCursor(f *testing.F) {
	cursors := newCursors(f, cursorKey)
	of := auditquery.Scope{Log: auditquery.AuditLogs(), Search: parse(f, "action:login"), Caller: "ann"}
	good := cursors.Encode(of, someCursor)
	f.Add(good)
	f.Add(cursors.Encode(auditquery.Scope{Log: of.Log, Caller: "ann"}, someCursor))
	f.Add("")
	f.Add(good[:len(good)-1] + "_")
	f.Add(strings.ToUpper(good))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := cursors.Decode(of, text)
		if err != nil {
			requireRefused(t, err)
			require.Zero(t, got)
			return
		}
		require.Equal(t, text, cursors.Encode(of, got))
	})
}

func TestCursorsRoundTrip(t *testing.T) {
	cursors := newCursors(t, cursorKey)
	rapid.Check(t, func(t *rapid.T) {
		micro := rapid.Int64Range(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro())
		want := auditquery.Cursor{
			From:  auditquery.Place{Time: time.UnixMicro(micro.Draw(t, "time")).UTC(), ID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))},
			Now:   time.UnixMicro(micro.Draw(t, "now")).UTC(),
			Newer: rapid.Bool().Draw(t, "newer"),
			Skip:  rapid.IntMin(0).Draw(t, "skip"),
		}
		of := auditquery.Scope{Log: auditquery.ConnectionLogs(), Caller: rapid.String().Draw(t, "caller")}
		got, err := cursors.Decode(of, cursors.Encode(of, want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// Rows are numbered from the newest. Pages of every size are walked from one end to
// the other and back, while rows come and go.
func TestBeside(t *testing.T) {
	at := func(n int) auditquery.Place {
		return auditquery.Place{Time: time.UnixMicro(int64(-n)), ID: nth(1)}
	}
	// page is what a log of the rows gives, oldest last.
	page := func(rows []int, p auditquery.Page) []int {
		var found []int
		for _, n := range rows {
			place := at(n)
			switch {
			case p.From == nil:
			case p.Newer && !place.Time.After(p.From.Time) && !(place.Time.Equal(p.From.Time) && place.ID.String() > p.From.ID.String()):
				continue
			case !p.Newer && !place.Time.Before(p.From.Time) && !(place.Time.Equal(p.From.Time) && place.ID.String() < p.From.ID.String()):
				continue
			}
			found = append(found, n)
		}
		found = found[min(p.Offset, len(found)):]
		if p.Newer && p.From != nil {
			return found[max(0, len(found)-p.Limit-1):]
		}
		return found[:min(p.Limit+1, len(found))]
	}
	rows := []int{1, 2, 3, 4, 5, 6, 7}
	for limit := 1; limit <= 8; limit++ {
		var seen [][]int
		ask := auditquery.Page{Limit: limit}
		var beside auditquery.Pages
		var shown []int
		log := rows
		for n := 0; ; n++ {
			shown, beside = auditquery.Beside(ask, page(log, ask), at, someCursor.Now)
			require.Equal(t, n > 0, beside.Newer != nil)
			seen = append(seen, shown)
			if beside.Older == nil {
				break
			}
			require.Equal(t, someCursor.Now, beside.Older.Now)
			log = append([]int{-n}, log...) // a row arrives
			ask = auditquery.Page{Limit: limit, From: &beside.Older.From, Newer: beside.Older.Newer}
		}
		require.Equal(t, rows, slices.Concat(seen...))
		for i := len(seen) - 2; i >= 0; i-- {
			ask = auditquery.Page{Limit: limit, From: &beside.Newer.From, Newer: beside.Newer.Newer}
			shown, beside = auditquery.Beside(ask, page(rows, ask), at, someCursor.Now)
			require.Equal(t, seen[i], shown)
			require.NotNil(t, beside.Older)
			require.Equal(t, i > 0, beside.Newer != nil)
		}
	}

	// Nothing is behind the place: the way back is to the row itself.
	five := at(5)
	shown, beside := auditquery.Beside(auditquery.Page{Limit: 2, From: &five}, nil, at, someCursor.Now)
	require.Empty(t, shown)
	require.Nil(t, beside.Older)
	require.Equal(t, []int{3, 4, 5}, page(rows, auditquery.Page{Limit: 2, From: &beside.Newer.From, Newer: true}))
	shown, beside = auditquery.Beside(auditquery.Page{Limit: 2, From: &five, Newer: true}, nil, at, someCursor.Now)
	require.Empty(t, shown)
	require.Nil(t, beside.Newer)
	require.Equal(t, []int{5, 6, 7}, page(rows, auditquery.Page{Limit: 2, From: &beside.Older.From}))
	// The ends of the ids.
	for _, id := range []uuid.UUID{{}, uuid.Max} {
		p := auditquery.Place{Time: five.Time, ID: id}
		_, beside = auditquery.Beside(auditquery.Page{Limit: 2, From: &p}, nil, at, someCursor.Now)
		_, back := auditquery.Beside(auditquery.Page{Limit: 2, From: &beside.Newer.From, Newer: true}, nil, at, someCursor.Now)
		require.Equal(t, p, back.Older.From)
	}
	// Behind the end by an offset there is no row to begin from.
	_, beside = auditquery.Beside(auditquery.Page{Limit: 2, Offset: 9}, page(rows, auditquery.Page{Limit: 2, Offset: 9}), at, someCursor.Now)
	require.Zero(t, beside)
	_, beside = auditquery.Beside(auditquery.Page{Limit: 2, Offset: 2}, page(rows, auditquery.Page{Limit: 2, Offset: 2}), at, someCursor.Now)
	require.Equal(t, at(3), beside.Newer.From)
	require.Equal(t, at(4), beside.Older.From)
	// The rest of an offset, too.
	_, beside = auditquery.Beside(auditquery.Page{Limit: 2, Offset: 9, From: &five}, nil, at, someCursor.Now)
	require.Zero(t, beside)
	_, beside = auditquery.Beside(auditquery.Page{Limit: 2, Offset: 1, From: &five}, []int{7}, at, someCursor.Now)
	require.Equal(t, at(7), beside.Newer.From)
	require.Nil(t, beside.Older)
}
