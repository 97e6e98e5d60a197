package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		name, events, want string
		ok                 bool
	}{
		{
			name: "pass",
			events: `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"T"}
{"Action":"output","Package":"a","Test":"T","Output":"=== RUN   T\n"}
{"Action":"pass","Package":"a","Test":"T"}
{"Action":"skip","Package":"a","Test":"S"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a"}
{"Action":"start","Package":"b"}
{"Action":"output","Package":"b","Output":"?   \tb\t[no test files]\n"}
{"Action":"skip","Package":"b"}
`,
			want: "ok  \ta\t0.1s\n?   \tb\t[no test files]\n1 passed, 0 failed, 1 skipped in 1 packages\n",
			ok:   true,
		},
		{
			name: "fail",
			events: `{"Action":"start","Package":"a"}
{"Action":"output","Package":"a","Test":"T","Output":"    why\n"}
{"Action":"fail","Package":"a","Test":"T"}
{"Action":"output","Package":"a","Output":"FAIL\n"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}
{"Action":"fail","Package":"a"}
`,
			want: "    why\nFAIL\ta\t0.1s\nFAIL\nfailed: a T\n0 passed, 1 failed, 0 skipped in 1 packages\n",
		},
		{
			name: "panic",
			events: `{"Action":"start","Package":"a"}
{"Action":"pass","Package":"a","Test":"S"}
{"Action":"output","Package":"a","Test":"T","Output":"panic: x\n"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}
{"Action":"fail","Package":"a"}
`,
			want: "FAIL\ta\t0.1s\npanic: x\nfailed: a\n1 passed, 1 failed, 0 skipped in 1 packages\n",
		},
		{
			name: "build failure",
			events: `{"ImportPath":"a","Action":"build-output","Output":"a.go:1:1: syntax error\n"}
{"ImportPath":"a","Action":"build-fail"}
{"Action":"start","Package":"a"}
{"Action":"output","Package":"a","Output":"FAIL\ta [build failed]\n"}
{"Action":"fail","Package":"a","FailedBuild":"a"}
`,
			want: "a.go:1:1: syntax error\nFAIL\ta [build failed]\nno test ran\nfailed: a\n0 passed, 1 failed, 0 skipped in 1 packages\n",
		},
		{
			name:   "cut off",
			events: `{"Action":"start","Package":"a"}` + "\n" + `{"Action":"pass","Package":"a","Test":"S"}` + "\nsignal: killed",
			want:   "signal: killedfailed: a\n1 passed, 1 failed, 0 skipped in 1 packages\n",
		},
		{
			name: "nothing",
			want: "no test ran\n0 passed, 0 failed, 0 skipped in 0 packages\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			require.NoError(t, s.read(strings.NewReader(c.events)))
			ok := s.finish()
			require.Equal(t, c.want, out.String())
			require.Equal(t, c.ok, ok)
		})
	}
}

func TestDivide(t *testing.T) {
	require.Equal(t, [][]string{{"-race", "./..."}, {"-C", "peer", "./..."}}, divide([]string{"-race", "./...", "--", "-C", "peer", "./..."}))
	require.Equal(t, [][]string{{"./sqlgen"}}, divide([]string{"./sqlgen"}))
}
