package rego_test

import (
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/rego"
)

func TestShare(t *testing.T) {
	v, err := ast.ValueFromReader(strings.NewReader(`{
		"a": {"org": [{"negate": false, "n": 1}], "none": [], "not": {}},
		"b": {"org": [{"negate": false, "n": 1}], "none": [], "not": {}},
		"inside": [[{"negate": false, "n": 1}], [{"negate": null, "n": 1}], [{"negate": false}], [{"negate": false, "m": 1}]],
		"as written": {"org": [{"negate": false, "n": 1.0}], "none": [], "not": {}}
	}`))
	require.NoError(t, err)
	text, hash := v.String(), v.Hash()
	rego.Share(v)
	require.Equal(t, text, v.String())
	require.Equal(t, hash, v.Hash())
	at := func(path string) ast.Value {
		found, err := v.Find(ast.MustParseRef("data" + path)[1:])
		require.NoError(t, err)
		return found
	}
	require.Same(t, at(".a"), at(".b"))
	require.Same(t, at(".a.org"), at(".inside[0]"))
	for _, other := range []string{".inside[1]", ".inside[2]", ".inside[3]", `["as written"].org`} {
		require.NotSame(t, at(".a.org"), at(other), other)
	}
	require.Equal(t, "1.0", at(`["as written"].org[0].n`).String())
}

// The hash of a nested array is that of its element: each level may be one below.
func TestShareNested(t *testing.T) {
	const deep = 9000
	nested := func(element string) string { return strings.Repeat("[", deep) + element + strings.Repeat("]", deep) }
	values := []string{nested("1")}
	for i := range 30 {
		values = append(values, nested("1."+strings.Repeat("0", i+1)))
	}
	text := "[" + strings.Join(append(values, values[0]), ",") + "]"
	v, err := ast.ValueFromReader(strings.NewReader(text))
	require.NoError(t, err)
	start := time.Now()
	rego.Share(v)
	require.Less(t, time.Since(start), 5*time.Second) // it took 25
	arr := v.(*ast.Array)
	require.Same(t, arr.Elem(0).Value, arr.Elem(31).Value)
	require.NotSame(t, arr.Elem(0).Value, arr.Elem(30).Value)
}
