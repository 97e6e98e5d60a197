package rowfence

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// No two keys share a name: those who ask for one would get the filter of the other.
func TestNamesOfKeys(t *testing.T) {
	keys := []filterKey{
		{action: "a", resource: "b"}, {action: "ab"}, {resource: "ab"}, {action: "a\x00b", resource: "c"}, {action: "a", resource: "b\x00c"},
		{action: "1 a", resource: "b"}, {action: "", resource: "1 ab"}, {action: "a", resource: "b", subject: [32]byte{1}},
	}
	seen := map[string]filterKey{}
	for _, k := range keys {
		require.NotContains(t, seen, k.name())
		seen[k.name()] = k
	}
}
