package compiler

import (
	"context"
	varint "encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/maypok86/otter/v2"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
)

// derivation evaluates the rules that are parameters of a template. What a rule reads
// may be the same for many subjects, as the scope of their tokens is: the values of
// rules that read little are kept, by what they read.
type derivation struct {
	plan        *Plan
	groups      []group
	evaluations sync.Map // of the groups that are evaluated, to *rego.Derivation
}

// group is rules that read the same of the input.
type group struct {
	name   string // no other group of the plan has it
	rules  []ast.Ref
	places []int // of them, among the template's
	reads  []ast.Ref
	kept   bool
}

// derivedValues are values of groups, by what they read.
type derivedValues = otter.Cache[string, []ast.Value]

// The bounds of what a plan keeps.
const (
	maxKept     = 1000 // groups
	maxKeptKey  = 512  // bytes that say what a group reads
	maxKeptSize = 1000 // elements of a value
)

func newDerivedValues() (*derivedValues, error) {
	kept, err := otter.New(&otter.Options[string, []ast.Value]{MaximumSize: maxKept})
	if err != nil {
		return nil, fmt.Errorf("making the cache of derived values: %w", err)
	}
	return kept, nil
}

func (p *Plan) derivation(rules []ast.Ref) *derivation {
	d := &derivation{plan: p}
	byReads := map[string]int{}
	for i, rule := range rules {
		r := p.derivedReads[rule.String()]
		at, ok := byReads[r.name]
		if !ok {
			at = len(d.groups)
			byReads[r.name] = at
			d.groups = append(d.groups, group{reads: r.refs, kept: true})
		}
		g := &d.groups[at]
		g.rules, g.places = append(g.rules, rule), append(g.places, i)
		g.kept = g.kept && !r.asksTime
	}
	for i := range d.groups {
		d.groups[i].name = fmt.Sprint(d.groups[i].rules)
	}
	return d
}

// eval are the values of the rules for an input, in their order; nil for one that is
// undefined.
func (d *derivation) eval(ctx context.Context, input ast.Value, values []ast.Value) error {
	missing := make([]byte, len(d.groups)) // 1 where the values are not kept
	keys := make([]string, len(d.groups))
	count := 0
	for i := range d.groups {
		g := &d.groups[i]
		keys[i] = g.key(input)
		var have []ast.Value
		if keys[i] != "" {
			have, _ = d.plan.kept.GetIfPresent(keys[i])
		}
		if have == nil {
			missing[i] = 1
			count += len(g.rules)
			continue
		}
		g.put(values, have)
	}
	if count == 0 {
		return nil
	}
	got, err := d.evaluation(missing).Eval(ctx, input)
	if err != nil {
		return err
	}
	for i := range d.groups {
		if missing[i] == 0 {
			continue
		}
		g := &d.groups[i]
		mine := got[:len(g.rules):len(g.rules)]
		got = got[len(g.rules):]
		g.put(values, mine)
		if keys[i] != "" && !slices.ContainsFunc(mine, large) {
			d.plan.kept.Set(keys[i], mine)
		}
	}
	return nil
}

func (g *group) put(values, mine []ast.Value) {
	for i, at := range g.places {
		values[at] = mine[i]
	}
}

// evaluation is that of the groups that miss, one after the other.
func (d *derivation) evaluation(missing []byte) *rego.Derivation {
	if have, ok := d.evaluations.Load(string(missing)); ok {
		return have.(*rego.Derivation)
	}
	var rules []ast.Ref
	for i, m := range missing {
		if m == 1 {
			rules = append(rules, d.groups[i].rules...)
		}
	}
	made, _ := d.evaluations.LoadOrStore(string(missing), d.plan.query.Derive(rules))
	return made.(*rego.Derivation)
}

// key is one that says all that the group reads of an input; "" where nothing is kept
// of it.
func (g *group) key(input ast.Value) string {
	if !g.kept {
		return ""
	}
	k := exactKey{text: append(make([]byte, 0, 256), g.name...)}
	k.limit = len(k.text) + maxKeptKey
	for _, ref := range g.reads {
		v, err := input.Find(ref[1:])
		if err != nil {
			v = nil
		}
		if k.add(v); k.long {
			return ""
		}
	}
	return string(k.text)
}

// exactKey is a text that is another one for values that a policy can tell from each
// other: it tells 1 from 1.0.
type exactKey struct {
	text  []byte
	limit int
	long  bool // the text would be longer than limit
}

func (k *exactKey) add(v ast.Value) {
	if k.long {
		return
	}
	switch v := v.(type) {
	case nil:
		k.text = append(k.text, '-')
	case ast.Null:
		k.text = append(k.text, '0')
	case ast.Boolean:
		if v {
			k.text = append(k.text, 't')
		} else {
			k.text = append(k.text, 'f')
		}
	case ast.Number:
		if k.size('n', len(v)) {
			k.text = append(k.text, v...)
		}
	case ast.String:
		if k.size('s', len(v)) {
			k.text = append(k.text, v...)
		}
	case *ast.Array:
		if k.size('a', v.Len()) {
			for i := range v.Len() {
				k.add(v.Elem(i).Value)
			}
		}
	case ast.Set:
		if k.size('u', v.Len()) {
			v.Foreach(func(e *ast.Term) { k.add(e.Value) })
		}
	case ast.Object:
		if k.size('o', v.Len()) {
			v.Foreach(func(key, e *ast.Term) { k.add(key.Value); k.add(e.Value) })
		}
	default:
		k.long = true
	}
}

// size adds how many bytes or elements follow, unless they are too many.
func (k *exactKey) size(kind byte, size int) bool {
	if k.long = len(k.text)+size > k.limit; !k.long {
		k.text = varint.AppendUvarint(append(k.text, kind), uint64(size))
	}
	return !k.long
}

// large reports whether a value is too large to be kept.
func large(v ast.Value) bool {
	switch v := v.(type) {
	case ast.String:
		return len(v) > maxKeptSize
	case *ast.Array:
		return v.Len() > maxKeptSize
	case ast.Set:
		return v.Len() > maxKeptSize
	case ast.Object:
		return v.Len() > maxKeptSize
	default:
		return false
	}
}
