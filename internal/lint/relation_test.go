package lint_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What stands in the rows of other tables may be anything, so far.
func TestRelations(t *testing.T) {
	const schema = `
resources:
  thing:
    table: good
    fields:
      id: {column: u0, type: uuid, not_null: true}
      parts:
        many: {table: parts, join: {thing: u0}}
        fields: {name: {column: name, type: text}}
      org:
        one: {table: orgs, join: {id: u}}
        fields: {name: {column: name, type: text}}
`
	require.Empty(t, findings(t, `package authz

allow if {
	some p in input.object.parts
	p.name == "a"
	input.object.org.name == "b"
	input.object.org != null
	count(input.object.parts) > 0
	input.object.id != "11111111-1111-1111-1111-111111111111"
}
`, schema))
	require.Empty(t, compare(t, schema))
}
