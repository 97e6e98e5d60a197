package rego

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/test/cases"
	"github.com/stretchr/testify/require"
)

// The rules of OPA's own test suite, each by itself: what is evaluated directly has the
// value that OPA's evaluation has. Where that ends in an error, nothing is known directly.
func TestDirectAsOPA(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/open-policy-agent/opa").Output()
	require.NoError(t, err)
	suite := cases.MustLoad(strings.TrimSpace(string(out)) + "/v1/test/cases/testdata/v1")
	require.Greater(t, len(suite.Cases), 1000)
	var direct, unsure, interpreted int
	for _, tc := range suite.Cases {
		sources := []Source{}
		for i, m := range tc.Modules {
			sources = append(sources, Module(fmt.Sprintf("m%d.rego", i), m))
		}
		if tc.Data != nil {
			sources = append(sources, Data(*tc.Data))
		}
		p, err := Load(t.Context(), sources...)
		if err != nil {
			continue
		}
		input := ast.Value(ast.NewObject())
		if tc.InputTerm != nil {
			term, err := ast.ParseTerm(*tc.InputTerm)
			if err != nil || !ast.IsConstant(term.Value) {
				continue
			}
			input = term.Value
		} else if tc.Input != nil {
			input, err = ast.InterfaceToValue(*tc.Input)
			require.NoError(t, err)
		}
		d, u, i := agrees(t, tc.Note, p, input)
		direct, unsure, interpreted = direct+d, unsure+u, interpreted+i
	}
	t.Logf("%d rules evaluated directly, %d left to OPA at their input, %d left to it altogether", direct, unsure, interpreted)
	require.Greater(t, direct, 500)
}

// agrees holds each rule without arguments against OPA's evaluation of it.
func agrees(t *testing.T, note string, p *Policy, input ast.Value) (direct, unsure, interpreted int) {
	seen := map[string]bool{}
	for _, m := range p.source.Modules {
		for _, r := range m.Rules {
			ref := r.Ref().GroundPrefix()
			if len(r.Head.Args) > 0 || seen[ref.String()] {
				continue
			}
			seen[ref.String()] = true
			rules, ok := p.direct.compile([]ast.Ref{ref})
			if !ok[0] {
				interpreted++
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := rules.eval(ctx, input)
			if err != nil {
				unsure++
				continue
			}
			direct++
			q := (&Query{policy: p, text: ref.String()}).At(time.Unix(0, 0))
			want, err := q.interpret([]ast.Ref{ref}).eval(ctx, input)
			if err != nil {
				t.Errorf("%s: %v is %v, and OPA's evaluation ends in: %v", note, ref, got[0], err)
				continue
			}
			if fmt.Sprint(want[0]) != fmt.Sprint(got[0]) {
				t.Errorf("%s: %v is %v, and by OPA %v", note, ref, got[0], want[0])
			}
		}
	}
	return direct, unsure, interpreted
}
