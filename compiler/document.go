package compiler

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/open-policy-agent/opa/v1/ast"
)

// node is a part of the input as the residual may refer to it: known, a column, a
// parameter, what a modifier puts there, or an object of which some parts are not known.
type node struct {
	known    ast.Value
	field    *Field
	param    *Param
	related  *related
	computed value // by a modifier, of the row
	children map[string]*node
}

// document is the input with the row's document in it: the tree of what is there,
// the known part for OPA, and the references that are unknown.
type document struct {
	root     *node
	known    ast.Value
	unknowns []ast.Ref
	names    map[string]bool // of the table and its columns
	given    []any           // what the input has in the place of each parameter; missing{} for none
}

// missing is what the input has where it has nothing, as opposed to null.
type missing struct{}

// isTaken reports whether the resource's table, or a column of it, has the name.
func (d *document) isTaken(name string) bool { return d.names[name] }

// newDocument lays the resource's row document over the input: where a field of
// the schema stands, what the input says there does not count. Other parts of the
// input below the root stay known.
func newDocument(r *Resource, input any) (*document, error) {
	plain, err := toObject(input)
	if err != nil {
		return nil, err
	}
	d := &document{names: map[string]bool{baseName(r.Table): true}}
	tree := map[string]any{}
	for k, v := range plain {
		tree[k] = v
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		ref := r.Root
		for _, key := range f.Path {
			ref = ref.Append(ast.StringTerm(key))
		}
		if f.Const == nil {
			d.names[f.Column.Name] = true
			d.unknowns = append(d.unknowns, ref)
		}
		if _, err := place(tree, ref, fieldNode(f, "", r.Table), CodeInput); err != nil {
			return nil, err
		}
	}
	for i := range r.Params {
		p := &r.Params[i]
		given, err := place(tree, p.Path, &node{param: p}, CodeParam)
		if err != nil {
			return nil, err
		}
		d.given = append(d.given, given)
		d.unknowns = append(d.unknowns, p.Path)
	}
	d.root, err = newNode(tree)
	if err != nil {
		return nil, &Error{Code: CodeInput, Reason: fmt.Sprintf("the input is no JSON value: %v", err)}
	}
	d.known = d.root.value()
	return d, nil
}

// has reports whether there is something in the input at ref, known or not.
func (d *document) has(ref ast.Ref) bool {
	n := d.root
	for i, key := range ref[1:] {
		if n.children == nil {
			if n.known == nil {
				return true
			}
			_, err := n.known.Find(ref[i+1:])
			return err == nil
		}
		name, ok := key.Value.(ast.String)
		if n = n.children[string(name)]; !ok || n == nil {
			return false
		}
	}
	return true
}

// toObject reads an input: a JSON object as Go has it, or anything that marshals
// to one.
func toObject(input any) (map[string]any, error) {
	switch v := input.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	}
	text, err := json.Marshal(input)
	if err != nil {
		return nil, &Error{Code: CodeInput, Reason: fmt.Sprintf("the input does not marshal to JSON: %v", err)}
	}
	return decodeObject(text)
}

// place puts a leaf into the tree, copying the maps on its way, which are the
// caller's, and returns what was there.
func place(tree map[string]any, ref ast.Ref, leaf *node, code Code) (was any, err error) {
	path := ref[1:]
	for i, t := range path {
		key := string(t.Value.(ast.String))
		if i == len(path)-1 {
			was, given := tree[key]
			if !given {
				was = missing{}
			}
			tree[key] = leaf
			return was, nil
		}
		next := map[string]any{}
		if have := tree[key]; have != nil {
			obj, err := toObject(have) // a struct, perhaps
			if err != nil {
				return nil, &Error{Code: code, Reason: fmt.Sprintf("%v is no object in the input, but the schema has %v", ref[:i+2], ref)}
			}
			for k, sub := range obj {
				next[k] = sub
			}
		}
		tree[key] = next
		tree = next
	}
	return missing{}, nil
}

// newNode turns the tree into nodes: a subtree without a leaf is one known value.
func newNode(v any) (*node, error) {
	if leaf, ok := v.(*node); ok {
		return leaf, nil
	}
	obj, ok := v.(map[string]any)
	if !ok || !holdsNode(obj) {
		if err := checkNumbers(v); err != nil {
			return nil, err
		}
		known, err := ast.InterfaceToValue(v)
		return &node{known: known}, err
	}
	n := &node{children: make(map[string]*node, len(obj))}
	for k, sub := range obj {
		child, err := newNode(sub)
		if err != nil {
			return nil, err
		}
		n.children[k] = child
	}
	return n, nil
}

// checkNumbers refuses numbers that JSON does not have, which only a Go caller can
// pass, and at which OPA panics.
func checkNumbers(v any) error {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v is no JSON number", v)
		}
	case json.Number:
		if !json.Valid([]byte(v)) || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
			return fmt.Errorf("%q is no JSON number", string(v))
		}
	}
	return nil
}

func holdsNode(obj map[string]any) bool {
	for _, v := range obj {
		switch v := v.(type) {
		case *node:
			return true
		case map[string]any:
			if holdsNode(v) {
				return true
			}
		}
	}
	return false
}

// value is the known part of the node; nil where nothing is known.
func (n *node) value() ast.Value {
	switch {
	case n.children != nil:
		obj := ast.NewObject()
		for k, child := range n.children {
			if v := child.value(); v != nil {
				obj.Insert(ast.StringTerm(k), ast.NewTerm(v))
			}
		}
		return obj
	default:
		return n.known
	}
}
