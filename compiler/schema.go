package compiler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	yamlast "github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	yamltoken "github.com/goccy/go-yaml/token"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// Schema says how rows look to a policy: a row document for each resource.
type Schema struct {
	Resources map[string]*Resource
	Params    []Param // of all resources
}

// Resource is a table and its row document.
type Resource struct {
	Name   string
	Table  string
	Root   ast.Ref // where the document stands, such as input.object
	Fields []Field // sorted by path
	Params []Param // of the schema and of this resource, sorted by path
}

// Field is a part of the row document: a column, a constant, or rows of another table.
type Field struct {
	Path     []string // below the root, or below the row of a relation
	Const    ast.Value
	Column   sqlgen.Column
	Relation *Relation
	Null     ast.Value // what the policy sees where the column is NULL, or no row joins; nil: nothing, the key is missing
	Nanos    bool      // a timestamp is nanoseconds since the epoch, not a string
}

// Param is a value that is known and stays a bind argument: a part of the input, or the
// value of a rule that does not depend on the row.
type Param struct {
	Path ast.Ref // such as input.subject.id or data.authz.readable_orgs
	Type sqlgen.Type
	Set  bool // a rule's value is a set of what Type is an array of

	called, calledDefined string // see name and definedName
}

// Derived reports whether the parameter is the value of a rule.
func (p *Param) Derived() bool { return p.Path.HasPrefix(ast.DefaultRootRef) }

// maxSchema bounds a schema, in bytes: the YAML parser takes time quadratic in how
// deep the text is nested.
const maxSchema = 1 << 20

// ParseSchema reads a schema, in YAML or JSON, of at most 1 MiB. All problems are
// reported at once, as [Errors].
func ParseSchema(text []byte) (*Schema, error) {
	if len(text) > maxSchema {
		return nil, Errors{{Code: CodeSchemaSyntax, Reason: fmt.Sprintf("the schema has %d bytes, and may have %d", len(text), maxSchema)}}
	}
	var file struct {
		Resources map[string]resourceFile `yaml:"resources"`
		Params    map[string]string       `yaml:"params"`
	}
	body, err := parseYAML(text)
	if err == nil && body != nil {
		err = yaml.NodeToValue(body, &file, yaml.Strict())
	}
	if err != nil {
		hint := ""
		if strings.Contains(err.Error(), "[]") {
			hint = `inside {…} an array type needs quotes: type: "text[]"`
		}
		return nil, Errors{{Code: CodeSchemaSyntax, Reason: "the schema is not valid: " + yaml.FormatError(err, false, true), Hint: hint}}
	}
	p := schemaParser{}
	s := &Schema{Resources: map[string]*Resource{}, Params: p.params("params", file.Params)}
	if len(file.Resources) == 0 {
		p.fail(CodeSchemaSyntax, "resources", "the schema has no resources", "write resources: {name: {table: …, root: …, fields: …}}")
	}
	for _, name := range slices.Sorted(maps.Keys(file.Resources)) {
		r := p.resource(name, file.Resources[name])
		r.Params = append(r.Params, s.Params...)
		slices.SortFunc(r.Params, func(a, b Param) int { return a.Path.Compare(b.Path) })
		p.overlaps("resources."+name, r)
		s.Resources[name] = r
	}
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return s, nil
}

// parseYAML reads one YAML document; nil where there is none.
func parseYAML(text []byte) (yamlast.Node, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) > 1 {
		return nil, errors.New("it holds several YAML documents")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, nil
	}
	var check plainValues
	yamlast.Walk(&check, file.Docs[0].Body)
	return file.Docs[0].Body, check.err
}

// plainValues refuses what would be read as something else than it says: a number
// too large for Go becomes a string, and an alias of an alias of an alias a
// document that fills the memory.
type plainValues struct{ err error }

var numberForm = regexp.MustCompile(`^[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)

func (c *plainValues) Visit(n yamlast.Node) yamlast.Visitor {
	switch n := n.(type) {
	case *yamlast.StringNode:
		if n.Token.Type == yamltoken.StringType && numberForm.MatchString(n.Value) {
			c.err = fmt.Errorf("[%d:%d] the number %s is too large", n.Token.Position.Line, n.Token.Position.Column, n.Value)
		}
	case *yamlast.AliasNode:
		at := n.GetToken().Position
		c.err = fmt.Errorf("[%d:%d] aliases are not supported", at.Line, at.Column)
	}
	return c
}

// Resource is the resource of the name.
func (s *Schema) Resource(name string) (*Resource, error) {
	if r, ok := s.Resources[name]; ok {
		return r, nil
	}
	return nil, &Error{
		Code:   CodeSchemaResource,
		Reason: fmt.Sprintf("the schema has no resource %q", name),
		Hint:   "it has " + strings.Join(slices.Sorted(maps.Keys(s.Resources)), ", "),
	}
}

type resourceFile struct {
	Table  string                    `yaml:"table"`
	Root   string                    `yaml:"root"`
	Fields map[string]map[string]any `yaml:"fields"`
	Params map[string]string         `yaml:"params"`
}

type schemaParser struct{ errs Errors }

func (p *schemaParser) fail(code Code, where, reason, hint string) {
	p.errs = append(p.errs, &Error{Code: code, Reason: where + ": " + reason, Hint: hint})
}

func (p *schemaParser) resource(name string, f resourceFile) *Resource {
	where := "resources." + name
	r := &Resource{Name: name, Table: f.Table, Params: p.params(where+".params", f.Params)}
	switch err := sqlgen.CheckName(f.Table); {
	case f.Table == "":
		p.fail(CodeSchemaName, where, "table is missing", "")
	case err != nil:
		p.fail(CodeSchemaName, where+".table", err.Error(), "")
	}
	if f.Root == "" {
		f.Root = "input.object"
	}
	root, err := inputRef(f.Root)
	if err != nil {
		p.fail(CodeSchemaRoot, where+".root", err.Error(), "write a path below input, such as input.object")
	}
	r.Root = root
	r.Fields = p.fields(where, f.Fields)
	return r
}

// fields are those of a resource or relation, sorted by path.
func (p *schemaParser) fields(where string, file map[string]map[string]any) []Field {
	var out []Field
	columns := map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(file)) {
		at := where + ".fields." + path
		field, ok := p.field(at, path, file[path])
		if !ok {
			continue
		}
		if field.Column.Name != "" {
			if other, taken := columns[field.Column.Name]; taken {
				p.fail(CodeSchemaColumn, at, fmt.Sprintf("column %q is already field %q", field.Column.Name, other), "a column is one field")
			}
			columns[field.Column.Name] = path
		}
		out = append(out, field)
	}
	if len(file) == 0 {
		p.fail(CodeSchemaColumn, where, "it has no fields", "")
	}
	for i, a := range out {
		for _, b := range out[i+1:] {
			if isPrefix(a.Path, b.Path) {
				p.fail(CodeSchemaName, where+".fields", fmt.Sprintf("field %s stands inside field %s",
					strings.Join(b.Path, "."), strings.Join(a.Path, ".")), "a field is a column or holds other fields, not both")
			}
		}
	}
	return out
}

// overlaps refuses a parameter that stands where another one or a field does: it
// would take the place of the row's document.
func (p *schemaParser) overlaps(where string, r *Resource) {
	for i, a := range r.Params {
		for _, b := range r.Params[i+1:] {
			if b.Path.HasPrefix(a.Path) {
				p.fail(CodeSchemaName, where, fmt.Sprintf("parameter %v stands inside parameter %v", b.Path, a.Path), "")
			}
		}
		for _, f := range r.Fields {
			ref := r.Root
			for _, key := range f.Path {
				ref = ref.Append(ast.StringTerm(key))
			}
			if ref.HasPrefix(a.Path) || a.Path.HasPrefix(ref) {
				p.fail(CodeSchemaName, where, fmt.Sprintf("parameter %v stands where field %s does", a.Path, strings.Join(f.Path, ".")),
					"a parameter is a part of the known input")
			}
		}
	}
}

func isPrefix(a, b []string) bool {
	return len(a) <= len(b) && slices.Equal(a, b[:len(a)])
}

func (p *schemaParser) field(at, path string, f map[string]any) (Field, bool) {
	errs := len(p.errs)
	field := Field{Path: strings.Split(path, ".")}
	if slices.Contains(field.Path, "") {
		p.fail(CodeSchemaName, at, fmt.Sprintf("bad path %q", path), "")
	}
	p.keys(at, f, "a field", "absent", "as", "column", "const", "fields", "many", "not_null", "null", "one", "type")
	if v, ok := f["const"]; ok {
		if len(f) > 1 {
			p.fail(CodeSchemaColumn, at, "a constant has no other keys", "")
		}
		field.Const = p.value(at+".const", v)
		return field, len(p.errs) == errs
	}
	if isRelation(f) {
		field.Relation = p.relation(at, f)
		if !field.Relation.Many {
			p.null(at, f, field.Relation.NotNull, &field.Null)
		}
		return field, len(p.errs) == errs
	}
	p.column(at, f, &field)
	p.null(at, f, field.Column.NotNull, &field.Null)
	return field, len(p.errs) == errs
}

// keys refuses those that are not known.
func (p *schemaParser) keys(at string, f map[string]any, what string, known ...string) {
	for _, k := range slices.Sorted(maps.Keys(f)) {
		if k == "" { // the YAML value null as a key
			p.fail(CodeSchemaSyntax, at, "a key without quotes is null", `write "null" in quotes`)
		} else if !slices.Contains(known, k) {
			p.fail(CodeSchemaSyntax, at, fmt.Sprintf("unknown key %q", k), what+" has "+strings.Join(known, ", "))
		}
	}
}

func (p *schemaParser) column(at string, f map[string]any, field *Field) {
	field.Column.Name = p.text(at, f, "column")
	if field.Column.Name == "" {
		p.fail(CodeSchemaColumn, at, "it has neither column nor const nor many nor one", "")
	} else {
		p.columnName(at+".column", field.Column.Name)
	}
	if _, ok := f["fields"]; ok {
		p.fail(CodeSchemaSyntax, at, "a column has no fields", "fields stand beside many or one")
	}
	t, err := sqlgen.ParseType(p.text(at, f, "type"))
	if _, ok := f["type"]; !ok {
		p.fail(CodeSchemaType, at, "type is missing", "")
	} else if err != nil {
		p.fail(CodeSchemaType, at, err.Error(), "")
	}
	field.Column.Type = t
	field.Column.NotNull = p.flag(at, f, "not_null")
	switch as := p.text(at, f, "as"); {
	case as == "":
	case as != "unix_ns":
		p.fail(CodeSchemaSyntax, at+".as", fmt.Sprintf("unknown form %q", as), "the only other form is unix_ns")
	case t != sqlgen.Type{Kind: sqlgen.KindTimestamptz}:
		p.fail(CodeSchemaSyntax, at+".as", "only a timestamptz can be unix_ns", "")
	default:
		field.Nanos = true
	}
}

func (p *schemaParser) columnName(at, name string) {
	if err := sqlgen.CheckName(name); err != nil {
		p.fail(CodeSchemaName, at, err.Error(), "")
	} else if strings.Contains(name, ".") {
		p.fail(CodeSchemaName, at, fmt.Sprintf("bad name %q: a column is not qualified", name), "")
	}
}

// null reads what the policy sees in the place of NULL.
func (p *schemaParser) null(at string, f map[string]any, notNull bool, null *ast.Value) {
	shown, given := f["null"]
	absent := p.flag(at, f, "absent")
	switch {
	case notNull && absent:
		p.fail(CodeSchemaNull, at, "a column that is not_null can't be absent", "")
	case notNull && given:
		p.fail(CodeSchemaNull, at, `a column that is not_null has no "null"`, "")
	case absent && given:
		p.fail(CodeSchemaNull, at, `it is absent and has a "null"`, "NULL is shown as a missing key or as a value, not both")
	case absent, notNull:
		return
	}
	*null = ast.NullValue
	if given {
		v := p.value(at+".null", shown)
		if !isScalar(v) {
			p.fail(CodeSchemaNull, at+".null", "want a JSON scalar", "")
		}
		*null = v
	}
}

func isScalar(v ast.Value) bool {
	switch v.(type) {
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return true
	default:
		return false
	}
}

func (p *schemaParser) value(at string, v any) ast.Value {
	text, err := json.Marshal(v) // refuses what JSON has not, such as .nan
	if err != nil {
		p.fail(CodeSchemaSyntax, at, fmt.Sprintf("not a JSON value: %v", err), "")
		return ast.NullValue
	}
	out, err := ast.ValueFromReader(bytes.NewReader(text))
	if err != nil {
		p.fail(CodeSchemaSyntax, at, fmt.Sprintf("not a JSON value: %v", err), "")
		return ast.NullValue
	}
	return out
}

func (p *schemaParser) text(at string, f map[string]any, key string) string {
	v, ok := f[key]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		p.fail(CodeSchemaSyntax, at+"."+key, fmt.Sprintf("want text, have %v", v), "")
	}
	return s
}

func (p *schemaParser) flag(at string, f map[string]any, key string) bool {
	v, ok := f[key]
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		p.fail(CodeSchemaSyntax, at+"."+key, fmt.Sprintf("want true or false, have %v", v), "")
	}
	return b
}

func (p *schemaParser) params(where string, m map[string]string) []Param {
	var out []Param
	for _, path := range slices.Sorted(maps.Keys(m)) {
		param, err := Param{}, error(nil)
		if param.Path, err = inputRef(path); err != nil {
			if param.Path, err = pathBelow(ast.DefaultRootRef, path); err != nil {
				p.fail(CodeSchemaName, where, fmt.Sprintf("%q is no path below input, and no rule", path),
					"a parameter is a path below input, such as input.subject.id, or a rule, such as data.authz.readable_orgs")
				continue
			}
		}
		text := m[path]
		if set := setForm.FindStringSubmatch(text); set != nil && param.Derived() {
			param.Set, text = true, set[1]+"[]"
		}
		if param.Type, err = sqlgen.ParseType(text); err != nil {
			p.fail(CodeSchemaType, where+"."+path, err.Error(), "")
			continue
		}
		param.called, param.calledDefined = param.name(), param.definedName()
		out = append(out, param)
	}
	return out
}

// setForm is the type of a rule whose value is a set.
var setForm = regexp.MustCompile(`^set\((.+)\)$`)

// inputRef reads a path below input whose parts are all constant.
func inputRef(s string) (ast.Ref, error) { return pathBelow(ast.InputRootRef, s) }

// pathBelow reads a path below a root whose parts are all keys.
func pathBelow(root ast.Ref, s string) (ast.Ref, error) {
	ref, err := ast.ParseRef(s)
	if err != nil || !ref.HasPrefix(root) || len(ref) < 2 || !ref.IsGround() {
		return nil, fmt.Errorf("%q is no path below %v", s, root)
	}
	for _, t := range ref[1:] {
		if _, ok := t.Value.(ast.String); !ok {
			return nil, fmt.Errorf("%q is no path below %v: its parts are keys", s, root)
		}
	}
	return ref, nil
}
