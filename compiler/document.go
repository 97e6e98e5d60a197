package compiler

import (
	"encoding/json"
	"fmt"
	"maps"
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
	// of a node that is the same in all documents
	fixed    bool // whatever the input has in its place
	made     value
	whole    ast.Value
	settled  bool // whole is its known part
	children map[string]*node
}

// document is the input with the row's document in it: the tree of what is there,
// the known part for OPA, and the references that are unknown.
type document struct {
	root   *node
	known  ast.Value
	names  map[string]bool  // of the table and its columns
	rules  []*Param         // that are parameters
	values map[*Param]value // of them, but for sets, which are looped over
	asked  map[*Param]bool  // of them, those whose value the translation reads
}

// isTaken reports whether the resource's table, or a column of it, has the name.
func (d *document) isTaken(name string) bool { return d.names[name] }

// derived is the parameter that a reference to a rule is to; nil where there is none.
func (d *document) derived(ref ast.Ref) *Param {
	for _, p := range d.rules {
		if ref.HasPrefix(p.Path) {
			return p
		}
	}
	return nil
}

// layout is what the documents of a resource have in common, whatever the input.
type layout struct {
	reads    *reading // of the input
	unknowns []ast.Ref
	names    map[string]bool
	rules    []*Param
	values   map[*Param]value
	leaves   []leaf
	base     *node // the leaves, over no input
}

// leaf is a node that lies over an input.
type leaf struct {
	ref  ast.Ref
	node *node
	code Code // of the error where it can't
}

// newLayout is the layout for what is read of the input.
func newLayout(r *Resource, reads []ast.Ref) (*layout, error) {
	l := &layout{reads: &reading{}, names: map[string]bool{baseName(r.Table): true}, values: map[*Param]value{}, base: &node{}}
	for _, ref := range reads {
		l.reads.add(ref[1:])
	}
	lay := func(ref ast.Ref, n *node, code Code) {
		n.fixed = true
		l.leaves = append(l.leaves, leaf{ref, n, code})
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		lay(r.fieldRef(f), fieldNode(f, "", r.Table), CodeInput)
		if f.Const == nil {
			l.names[f.Column.Name] = true
			l.unknowns = append(l.unknowns, r.fieldRef(f))
		}
	}
	for i := range r.Params {
		p := &r.Params[i]
		l.unknowns = append(l.unknowns, p.Path)
		if p.Derived() {
			l.rules = append(l.rules, p)
			continue
		}
		lay(p.Path, &node{param: p}, CodeParam)
	}
	err := l.base.placeAll(l.leaves)
	l.base.settle()
	return l, err
}

// settle makes once what is the same for all documents.
func (n *node) settle() {
	for _, child := range n.children {
		child.settle()
	}
	n.whole, n.settled = n.value(), true
	if n.field != nil || n.param != nil {
		n.made = n.asValue()
	}
}

// reading is what is read of a value.
type reading struct {
	all    bool
	inside map[string]*reading // by key
}

// add adds what stands at a path. One that goes on with a key that is no string reads
// all that is before it.
func (r *reading) add(path ast.Ref) {
	for _, key := range path {
		name, ok := key.Value.(ast.String)
		if !ok {
			break
		}
		if r.inside == nil {
			r.inside = map[string]*reading{}
		}
		if r.inside[string(name)] == nil {
			r.inside[string(name)] = &reading{}
		}
		r, path = r.inside[string(name)], path[1:]
	}
	r.all = true
}

// of is what is read of the value at a key; nil where nothing is.
func (r *reading) of(key *ast.Term) *reading {
	if r.all {
		return r
	}
	name, ok := key.Value.(ast.String)
	if !ok {
		return nil
	}
	return r.inside[string(name)]
}

// cut is the part of a value that is read: more of it where a path goes into an array.
func (r *reading) cut(v ast.Value) ast.Value {
	obj, ok := v.(ast.Object)
	if !ok || r.all {
		return v
	}
	out := ast.NewObjectWithCapacity(len(r.inside))
	obj.Foreach(func(k, v *ast.Term) {
		switch inside := r.of(k); {
		case inside == nil:
		case inside.all:
			out.Insert(k, v)
		default:
			out.Insert(k, ast.NewTerm(inside.cut(v.Value)))
		}
	})
	return out
}

// document lays the resource's row document, and its parameters, over what an input has
// at the references that are read: what the input says where a field or parameter
// stands does not count. Other parts of the input below the root stay known.
func (l *layout) document(input ast.Object) (*document, error) {
	d := &document{names: l.names, rules: l.rules, values: l.values, asked: map[*Param]bool{}}
	var ok bool
	if d.root, ok = l.base.over(input, l.reads); !ok {
		d.root = &node{known: l.reads.cut(input)}
		if err := d.root.placeAll(l.leaves); err != nil { // which says what is wrong
			return nil, err
		}
	}
	d.known = d.root.value()
	return d, nil
}

// over is the node, over what is read of a value: itself where nothing of that counts. ok
// is false where the value would have to be an object and is none.
func (n *node) over(v ast.Value, r *reading) (out *node, ok bool) {
	if n.fixed || r == nil {
		return n, true
	}
	obj, ok := v.(ast.Object)
	if !ok {
		_, isNull := v.(ast.Null)
		return n, isNull
	}
	if n.children == nil {
		return &node{known: r.cut(v)}, true
	}
	whole := ast.NewObjectWithCapacity(obj.Len() + 1)
	if constants, ok := n.whole.(ast.Object); ok {
		constants.Foreach(whole.Insert)
	}
	out, ok = &node{children: maps.Clone(n.children), whole: whole, settled: true}, true
	obj.Foreach(func(k, v *ast.Term) {
		name, isString := k.Value.(ast.String)
		inside := r.of(k)
		if !isString || inside == nil {
			return
		}
		laid := n.children[string(name)]
		if laid == nil {
			if !inside.all {
				v = ast.NewTerm(inside.cut(v.Value))
			}
			out.children[string(name)] = &node{known: v.Value}
			whole.Insert(k, v)
			return
		}
		over, fits := laid.over(v.Value, inside)
		ok = ok && fits
		if over != laid {
			out.children[string(name)] = over
			whole.Insert(k, ast.NewTerm(over.value()))
		}
	})
	return out, ok
}

// fieldRef is the reference to a field of the row's document.
func (r *Resource) fieldRef(f *Field) ast.Ref {
	ref := r.Root
	for _, key := range f.Path {
		ref = ref.Append(ast.StringTerm(key))
	}
	return ref
}

// inDocument reports whether a reference may lead to what the document of an object
// says, rather than to a constant of the schema.
func (r *Resource) inDocument(ref ast.Ref) bool {
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Const != nil && ref.HasPrefix(r.fieldRef(f)) {
			return false
		}
	}
	return ref.HasPrefix(r.Root) || r.Root.HasPrefix(ref)
}

// unknowns are the references to what the row says.
func (r *Resource) unknowns() []ast.Ref {
	var out []ast.Ref
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Const == nil {
			out = append(out, r.fieldRef(f))
		}
	}
	return out
}

// has reports whether there is something at ref, known or not.
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

// toInput reads an input: an object as Go or OPA has it, or anything that marshals to
// one.
func toInput(input any) (ast.Object, error) {
	switch v := input.(type) {
	case nil:
		return ast.NewObject(), nil
	case ast.Object:
		return v, nil
	case map[string]any:
	default:
		text, err := json.Marshal(input)
		if err != nil {
			return nil, &Error{Code: CodeInput, Reason: fmt.Sprintf("the input does not marshal to JSON: %v", err)}
		}
		if input, err = decodeObject(text); err != nil {
			return nil, err
		}
	}
	err := checkNumbers(input)
	if err == nil {
		var v ast.Value
		if v, err = ast.InterfaceToValue(input); err == nil {
			if obj, ok := v.(ast.Object); ok {
				return obj, nil
			}
		}
	}
	return nil, &Error{Code: CodeInput, Reason: fmt.Sprintf("the input is no JSON value: %v", err)}
}

// placeAll lays leaves over the input, in their order: one may stand inside another.
func (n *node) placeAll(leaves []leaf) error {
	for _, leaf := range leaves {
		own := *leaf.node
		if err := n.place(leaf.ref, &own, leaf.code); err != nil {
			return err
		}
	}
	return nil
}

// placeFields lays the fields of a row's document over the input.
func (n *node) placeFields(r *Resource) error {
	for i := range r.Fields {
		f := &r.Fields[i]
		if err := n.place(r.fieldRef(f), fieldNode(f, "", r.Table), CodeInput); err != nil {
			return err
		}
	}
	return nil
}

// place puts a leaf at a path of the input.
func (n *node) place(ref ast.Ref, leaf *node, code Code) error {
	path := ref[1:]
	for i, t := range path {
		if n.children == nil {
			n.children = map[string]*node{}
			switch known := n.known.(type) {
			case nil, ast.Null:
			case ast.Object:
				known.Foreach(func(k, v *ast.Term) {
					if name, ok := k.Value.(ast.String); ok {
						n.children[string(name)] = &node{known: v.Value}
					}
				})
			default:
				return &Error{Code: code, Reason: fmt.Sprintf("%v is no object in the input, but the schema has %v", ref[:i+1], ref)}
			}
			n.known = nil
		}
		key := string(t.Value.(ast.String))
		if i == len(path)-1 {
			n.children[key] = leaf
			return nil
		}
		if n.children[key] == nil {
			n.children[key] = &node{}
		}
		n = n.children[key]
	}
	return nil
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

// value is the known part of the node; nil where nothing is known.
func (n *node) value() ast.Value {
	if n.settled {
		return n.whole
	}
	if n.children == nil {
		return n.known
	}
	obj := ast.NewObject()
	for k, child := range n.children {
		if v := child.value(); v != nil {
			obj.Insert(ast.StringTerm(k), ast.NewTerm(v))
		}
	}
	return obj
}
