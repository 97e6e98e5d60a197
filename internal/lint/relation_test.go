package lint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/lint"
)

const relations = `
params: {input.user: uuid}
resources:
  document:
    table: documents
    fields:
      id: {column: id, type: uuid, not_null: true}
      shares:
        many: {table: shares, join: {document_id: id}, order: id}
        fields:
          kind:  {const: share}
          user:  {column: user_id, type: uuid}
          level: {column: level, type: int, not_null: true}
          state: {column: state, type: enum(state)}
          tags:
            many: {table: tags, join: {share_id: id}}
            fields: {name: {column: name, type: text}}
      org:
        one: {table: orgs, join: {id: org_id}}
        fields: {name: {column: name, type: text}}
      home:
        one: {table: orgs, join: {id: home_id}}
        not_null: true
        fields: {name: {column: name, type: text}}
`

func TestPolicyOfRelations(t *testing.T) {
	for name, c := range map[string]struct {
		rules string
		want  []string
	}{
		"nothing wrong": {`allow if { some s in input.object.shares; s.user == input.user; s.level > 1; s.kind == "share"; some t in s.tags; t.name == "x" }
allow if { count(input.object.shares) > 0; input.object.org == null; input.object.org.name == "x"; input.object.home != null }
allow if { input.object.shares == []; every s in input.object.shares { s.state == "draft" }; input.object.shares[_].tags[_].name == "y" }
allow if { {"user": 1} in input.object.shares; "x" in input.object.org; input.object.shares[0].level == 1 }`, nil},
		"field": {`allow if { some s in input.object.shares; s.levl == 1 }`, []string{
			`p.rego:3:43 warning unknown-field shares.levl: the schema of document lacks input.object.shares[_].levl: it is undefined for every row, unless the input has it (did you mean shares.level?)`}},
		"nested": {`allow if input.object.shares[_].tags[_].nam == "x"`, []string{
			`p.rego:3:10 warning unknown-field shares.tags.nam: the schema of document lacks input.object.shares[_].tags[_].nam: it is undefined for every row, unless the input has it (did you mean shares.tags.name?)`}},
		"of one": {`allow if input.object.org.nam == "x"`, []string{
			`p.rego:3:10 warning unknown-field org.nam: the schema of document lacks input.object.org.nam: it is undefined for every row, unless the input has it (did you mean org.name?)`}},
		"no element": {`allow if input.object.shares.level == 1`, []string{
			`p.rego:3:10 warning unknown-field shares.level: input.object.shares.level is undefined for every row: shares is rows of shares`}},
		"enum": {`allow if { some s in input.object.shares; s.state == "actve" }`, []string{
			`p.rego:3:43 warning never-true document shares.state: input.object.shares[_].state == "actve" can never be true: the type state has no such label (did you mean active?)`}},
		"type": {`allow if { every s in input.object.shares { s.level == "1" } }`, []string{
			`p.rego:3:45 warning never-true document shares.level: input.object.shares[_].level == "1" can never be true: level is an int, a number to the policy`}},
		"constant": {`allow if input.object.shares[_].kind == "shre"`, []string{
			`p.rego:3:10 warning never-true document shares.kind: input.object.shares[_].kind == "shre" can never be true: no resource has this value (did you mean share?)`}},
		"null": {`allow if { input.object.home == null; input.object.shares == null }`, []string{
			`p.rego:3:12 warning never-true document home: input.object.home == null can never be true: home is a row of orgs, not_null`,
			`p.rego:3:39 warning never-true document shares: input.object.shares == null can never be true: shares is rows of shares, an array to the policy`}},
		"whole": {`allow if input.object.org == "x"`, []string{
			`p.rego:3:10 warning never-true document org: input.object.org == "x" can never be true: org is a row of orgs, an object to the policy`}},
	} {
		t.Run(name, func(t *testing.T) {
			var have []string
			for _, f := range findings(t, "package authz\n\n"+c.rules, relations) {
				if f.Severity != lint.Info {
					have = append(have, line(f))
				}
			}
			require.Equal(t, c.want, have)
		})
	}
}

func TestSchemaOfRelations(t *testing.T) {
	const good = `
CREATE TYPE state AS ENUM ('active', 'draft');
CREATE TABLE orgs (id uuid PRIMARY KEY, name text, code text);
CREATE TABLE documents (id uuid PRIMARY KEY, org_id uuid, home_id uuid NOT NULL REFERENCES orgs);
CREATE TABLE shares (id uuid, document_id uuid, user_id uuid, level int NOT NULL, state state);
CREATE TABLE tags (share_id uuid, name varchar);
`
	require.Empty(t, compareOn(t, good, relations))

	have := compareOn(t, `
CREATE TYPE state AS ENUM ('active', 'draft');
CREATE TABLE orgs (id uuid, name char(3), code text, version int, UNIQUE (id, version));
CREATE UNIQUE INDEX ON orgs (id) WHERE version = 1;
CREATE UNIQUE INDEX ON orgs (lower(id::text));
CREATE UNIQUE INDEX ON orgs (code) INCLUDE (id);
CREATE TABLE documents (id uuid PRIMARY KEY, org_id uuid, home_id uuid NOT NULL);
CREATE TABLE shares (document_id text, user_id uuid NOT NULL, level int, state state);
`, relations)
	require.Equal(t, []string{
		"error one document home: the schema says not_null, and no foreign key of columns that are NOT NULL sees to it that there is a row of orgs: rows could leak (leave out not_null, or add the foreign key)",
		"error one document home: the schema says one, and nothing in the database keeps two rows of orgs from having the same id: rows could leak (CREATE UNIQUE INDEX ON orgs (id), or use many)",
		"error type document home.name: column name is character, and the schema says text: the policy would see its texts with the spaces that fill them up, and SQL compares without those (ALTER the column to text)",
		"error one document org: the schema says one, and nothing in the database keeps two rows of orgs from having the same id: rows could leak (CREATE UNIQUE INDEX ON orgs (id), or use many)",
		"error type document org.name: column name is character, and the schema says text: the policy would see its texts with the spaces that fill them up, and SQL compares without those (ALTER the column to text)",
		"error join document shares: it joins shares.document_id, which is text, with documents.id, which is uuid: PostgreSQL does not compare them, and the SQL fails when it runs (join columns of one type)",
		"error column document shares: table shares has no column id (it has document_id, user_id, level, state)",
		"error nullable document shares.level: the schema says not_null, and column level can be NULL: rows would leak (leave out not_null, or ALTER TABLE shares ALTER COLUMN level SET NOT NULL)",
		"error table document shares.tags: the database has no table or view tags",
		"warning not-null document shares.user: column user_id is NOT NULL, and the schema does not say so (say not_null: true: the SQL is shorter for it)",
	}, have)

	// A foreign key that may be NULL, that is of other columns, or that is not valid.
	const home = `
resources:
  d:
    table: documents
    fields:
      home: {one: {table: orgs, join: {id: home_id}}, not_null: true, fields: {name: {column: name, type: text}}}
`
	const tables = "CREATE TABLE orgs (id uuid PRIMARY KEY, name text, kind int, UNIQUE (kind, id)); CREATE TABLE documents (other_id uuid, kind int, home_id uuid NOT NULL);"
	for key, ok := range map[string]bool{
		"ALTER TABLE documents ADD FOREIGN KEY (home_id) REFERENCES orgs":                                                                 true,
		"ALTER TABLE documents ADD FOREIGN KEY (home_id) REFERENCES orgs NOT VALID":                                                       false,
		"ALTER TABLE documents ADD FOREIGN KEY (other_id) REFERENCES orgs":                                                                false,
		"ALTER TABLE documents ADD FOREIGN KEY (home_id) REFERENCES orgs; ALTER TABLE documents ALTER home_id DROP NOT NULL":              false,
		"ALTER TABLE documents ADD FOREIGN KEY (kind, home_id) REFERENCES orgs (kind, id)":                                                false, // kind may be NULL
		"ALTER TABLE documents ADD FOREIGN KEY (kind, home_id) REFERENCES orgs (kind, id); ALTER TABLE documents ALTER kind SET NOT NULL": true,
		"ALTER TABLE documents ADD FOREIGN KEY (home_id) REFERENCES orgs; CREATE TABLE more () INHERITS (documents)":                      false,
		"ALTER TABLE documents ADD FOREIGN KEY (home_id) REFERENCES orgs; CREATE TABLE more () INHERITS (orgs)":                           false, // two rows of one id
	} {
		have := compareOn(t, tables+key, home)
		require.Equal(t, ok, len(have) == 0, "%s: %v", key, have)
	}
}
