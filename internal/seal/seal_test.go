package seal_test

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/internal/seal"
)

func TestLeavesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaf := rapid.Custom(func(t *rapid.T) seal.Leaf {
			return seal.Leaf{
				ID:   uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
				Time: time.UnixMicro(rapid.Int64Range(-62135596800_000000, 253402300799_999999).Draw(t, "time")).UTC(),
				Hash: seal.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash")),
			}
		})
		leaves := seal.Leaves(rapid.SliceOf(leaf).Draw(t, "leaves"))
		again, err := seal.ParseLeaves(leaves.Bytes())
		require.NoError(t, err)
		require.Equal(t, append(seal.Leaves{}, leaves...), again)
	})
	_, err := seal.ParseLeaves(make([]byte, 57))
	require.ErrorContains(t, err, "57 bytes")
}

// Rows that differ have different hashes, wherever one value ends and the next
// begins, and whether there is one.
func TestRowsAreHashedApart(t *testing.T) {
	two := []string{"a", "b"}
	seen := map[seal.Hash]string{}
	for _, row := range []struct {
		name    string
		log     string
		columns []string
		values  [][]byte
	}{
		{"plain", "l", two, [][]byte{[]byte("x"), []byte("y")}},
		{"swapped", "l", two, [][]byte{[]byte("y"), []byte("x")}},
		{"shifted", "l", two, [][]byte{[]byte("xy"), []byte("")}},
		{"null", "l", two, [][]byte{[]byte("xy"), nil}},
		{"null first", "l", two, [][]byte{nil, []byte("xy")}},
		{"empty", "l", two, [][]byte{{}, {}}},
		{"nulls", "l", two, [][]byte{nil, nil}},
		{"zero byte", "l", two, [][]byte{{0}, nil}},
		{"one column", "l", two[:1], [][]byte{[]byte("x")}},
		{"other column", "l", []string{"b", "a"}, [][]byte{[]byte("x"), []byte("y")}},
		{"other log", "m", two, [][]byte{[]byte("x"), []byte("y")}},
	} {
		h := seal.NewRowHasher(row.log, row.columns).Hash(row.values)
		require.Empty(t, seen[h], row.name)
		seen[h] = row.name
	}
}

// The encoding is that of rows sealed long ago: it may not change.
func TestHashesStay(t *testing.T) {
	h := seal.NewRowHasher("audit_logs", []string{"id", "ip"}).Hash([][]byte{[]byte("x"), nil})
	require.Equal(t, "af1ed9ab77d39d6171fbbf23e04578045223ac3ed93f7d8dfb6b60a9d0828e66", h.String())
	at := time.Date(2026, 4, 9, 12, 0, 0, 0, time.UTC)
	link, err := seal.Entry{Kind: seal.KindPurge, Log: "audit_logs", Rows: 3, Before: &at, SealedAt: at}.Link(seal.Link{})
	require.NoError(t, err)
	require.Equal(t, `{"n":1,"previous":"`+strings.Repeat("0", 64)+`","kind":"purge","log":"audit_logs","sealed_at":"2026-04-09T12:00:00Z","rows":3,"before":"2026-04-09T12:00:00Z"}`, link.Text)
	require.Equal(t, "7f9056fedbef7882ede521ac91dbfb27ebc1e11b53f9175fc7365976b96a9898", link.Hash.String())
}

func TestLinks(t *testing.T) {
	at := time.Date(2026, 4, 9, 12, 0, 0, 0, time.UTC)
	entry := seal.Entry{Kind: seal.KindPurge, Log: "audit_logs", Before: &at}
	first, err := entry.Link(seal.Link{})
	require.NoError(t, err)
	second, err := entry.Link(first)
	require.NoError(t, err)
	e, err := second.Entry(first)
	require.NoError(t, err)
	require.Equal(t, int64(2), e.N)
	_, err = second.Entry(seal.Link{})
	require.ErrorContains(t, err, "does not follow seal 0")
	changed := second
	changed.Text = strings.Replace(second.Text, "audit", "other", 1)
	_, err = changed.Entry(first)
	require.ErrorContains(t, err, "not that of its hash")
	renumbered := second
	renumbered.N = 3
	_, err = renumbered.Entry(first)
	require.ErrorContains(t, err, "says that it is seal 2")
	entry.Kind = "other"
	odd, err := entry.Link(first)
	require.NoError(t, err)
	_, err = odd.Entry(first)
	require.ErrorContains(t, err, "no known kind")
}

func TestCheckpoints(t *testing.T) {
	private, public, err := seal.NewKey()
	require.NoError(t, err)
	key, err := seal.ParsePrivateKey(private)
	require.NoError(t, err)
	pub, err := seal.ParsePublicKey(public)
	require.NoError(t, err)
	require.Equal(t, key.Public(), pub)
	_, err = seal.ParsePrivateKey(public)
	require.ErrorContains(t, err, "PRIVATE KEY")
	_, err = seal.ParsePublicKey(private)
	require.ErrorContains(t, err, "PUBLIC KEY")

	c := seal.Sign(key, seal.Link{N: 7, Hash: seal.Hash{1}}, time.Now())
	require.NoError(t, c.Verify(nil))
	require.NoError(t, c.Verify(pub))
	require.ErrorContains(t, c.Verify(make(ed25519.PublicKey, ed25519.PublicKeySize)), "another key")
	for _, change := range []func(*seal.Checkpoint){
		func(c *seal.Checkpoint) { c.N++ },
		func(c *seal.Checkpoint) { c.Hash[0]++ },
		func(c *seal.Checkpoint) { c.At = c.At.Add(time.Microsecond) },
		func(c *seal.Checkpoint) { c.Signature = c.Signature[1:] },
		func(c *seal.Checkpoint) { c.PublicKey = nil },
	} {
		changed := c
		change(&changed)
		require.ErrorContains(t, changed.Verify(nil), "signature")
	}
}

// Lines that are no checkpoints are told, and the others are read all the same.
func TestReadCheckpoints(t *testing.T) {
	private, _, err := seal.NewKey()
	require.NoError(t, err)
	key, err := seal.ParsePrivateKey(private)
	require.NoError(t, err)
	c := seal.Sign(key, seal.Link{N: 7, Hash: seal.Hash{1}}, time.Now())
	text, err := json.Marshal(c)
	require.NoError(t, err)
	line := string(text)
	for _, test := range []struct {
		text string
		read int
		bad  []int
		torn bool // the last of them
	}{
		{text: ""},
		{text: line, read: 1},
		{text: "\n" + line + " \n\n" + line + "\n", read: 2},
		{text: line + "\n" + line[:len(line)/2], read: 1, bad: []int{2}, torn: true},
		{text: line + "\n" + line[:1], read: 1, bad: []int{2}, torn: true},
		{text: line + "\n" + line[:len(line)/2] + "\n", read: 1, bad: []int{2}},
		{text: line[:len(line)/2] + "\n" + line + "\n", read: 1, bad: []int{1}},
		{text: line[:5] + line + "\n" + line, read: 1, bad: []int{1}},
		{text: line + line + "\n", bad: []int{1}},
		{text: line + "\nx\n{}}\n" + line + "\n{]", read: 2, bad: []int{2, 3, 5}},
		{text: `{"n": 1, "hash": "00"}`, bad: []int{1}},
	} {
		all, bad, err := seal.ReadCheckpoints(strings.NewReader(test.text))
		require.NoError(t, err)
		require.Len(t, all, test.read, test.text)
		for _, one := range all {
			require.Equal(t, c, one)
		}
		require.Len(t, bad, len(test.bad), test.text)
		for i, one := range bad {
			require.Equal(t, test.bad[i], one.N)
			require.Equal(t, test.torn && i == len(bad)-1, one.Torn, test.text)
			require.Error(t, one.Err)
		}
	}
}
