package sqlgen

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGeneratorKnowsAllNodes fails when there is a predicate or an expression that
// random predicates never hold.
func TestGeneratorKnowsAllNodes(t *testing.T) {
	drawn := map[string]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		if v.Type().PkgPath() == reflect.TypeFor[Column]().PkgPath() {
			drawn[v.Type().Name()] = true
		}
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			if !v.IsNil() && v.Type() != reflect.TypeFor[*Function]() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		}
	}
	for seed := range 60 {
		for _, p := range batches.Example(seed).preds {
			walk(reflect.ValueOf(&p).Elem())
		}
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "predicate" && f.Name.Name != "expr" {
				continue
			}
			if node, ok := f.Recv.List[0].Type.(*ast.Ident); ok && len(f.Recv.List[0].Names) == 0 {
				require.True(t, drawn[node.Name], "%s: the generator of random predicates has no %s", name, node.Name)
			}
		}
	}
}
