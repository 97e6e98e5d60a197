package rowfence_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/rego"
)

// counted counts what an engine does.
type counted struct {
	hits, bound, compiled, decided, reloaded, failed atomic.Int64
}

func (c *counted) add(to *atomic.Int64, err error) {
	to.Add(1)
	if err != nil {
		c.failed.Add(1)
	}
}

func (c *counted) FilterHit(string)                                    { c.hits.Add(1) }
func (c *counted) FilterBound(_ string, _ time.Duration, err error)    { c.add(&c.bound, err) }
func (c *counted) TemplateCompiled(_ string, _ time.Duration, e error) { c.add(&c.compiled, e) }
func (c *counted) Decided(_ string, n int, _ time.Duration, _ error)   { c.decided.Add(int64(n)) }
func (c *counted) Reloaded(_ time.Duration, err error)                 { c.add(&c.reloaded, err) }

const logSchema = `
params: {input.subject.id: text, data.authz.orgs: set(text)}
resources:
  log:
    table: logs
    fields: {org: {column: org_id, type: uuid}, owner: {column: owner, type: text}}
  other:
    table: others
    fields: {org: {column: org_id, type: uuid}, owner: {column: owner, type: text}, name: {column: name, type: text}}
`

const logPolicy = `package authz

allow if {
	input.action == "read"
	input.object.org in orgs
}

allow if {
	input.action == "delete"
	input.object.owner == input.subject.id
}

allow if {
	input.action == "refused"
	crypto.sha256(input.object.owner) == "x"
}

orgs contains org if some org in input.subject.orgs
`

func newEngine(tb testing.TB, c rowfence.Config) *rowfence.Engine {
	if c.Policies == nil && c.Sources == nil {
		c.Policies = fstest.MapFS{"authz.rego": {Data: []byte(logPolicy)}}
	}
	if c.Schema == nil {
		c.Schema = []byte(logSchema)
	}
	e, err := rowfence.New(context.Background(), c)
	require.NoError(tb, err)
	return e
}

func member(id string, orgs ...string) *rowfence.Subject {
	if orgs == nil {
		orgs = []string{}
	}
	return subject(map[string]any{"id": id, "orgs": orgs})
}

// One template serves all subjects, and one filter each of them.
func TestFilterIsKept(t *testing.T) {
	var m counted
	e := newEngine(t, rowfence.Config{Metrics: &m})
	for range 3 {
		for _, s := range []*rowfence.Subject{member("a", orgA), member("b", orgA, orgB), member("c"), member("d", "me")} {
			_, err := e.Filter(t.Context(), s, "read", "log")
			require.NoError(t, err)
		}
	}
	require.EqualValues(t, 1, m.compiled.Load())
	require.EqualValues(t, 4, m.bound.Load())
	require.EqualValues(t, 8, m.hits.Load())
	require.Zero(t, m.failed.Load())
}

func TestFilterOf(t *testing.T) {
	e := newEngine(t, rowfence.Config{})
	for _, c := range []struct {
		who    *rowfence.Subject
		action string
		want   string
	}{
		{member("a", orgA), "read", "org_id = '" + orgA + "'::uuid"},
		{member("a", orgA, orgB, "me", orgA), "read", "org_id = ANY('{" + orgA + "," + orgB + "}'::uuid[])"},
		{member("a"), "read", "FALSE"},
		{member("a", "me"), "read", "FALSE"},
		{member("a"), "delete", "owner = 'a'"},
		{member("it's"), "delete", "owner = 'it''s'"},
		{member("a"), "write", "FALSE"},
	} {
		f, err := e.Filter(t.Context(), c.who, c.action, "log")
		require.NoError(t, err)
		require.Equal(t, c.want, f.Inline())
	}
}

// The text does not grow with the subject's organizations.
func TestOneArray(t *testing.T) {
	e := bundled(t)
	text := func(n int) (string, []any) {
		f, err := e.Filter(t.Context(), subject(auditor(n, 1)), "read", "audit_log")
		require.NoError(t, err)
		return f.SQL(1)
	}
	two, _ := text(2)
	thousand, args := text(1000)
	require.Equal(t, two, thousand)
	require.Len(t, args, 1)
}

// Every way not to get a filter gives one that selects nothing.
func TestFilterFailsClosed(t *testing.T) {
	e := newEngine(t, rowfence.Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ask := range map[string]func() (rowfence.Filter, error){
		"no subject": func() (rowfence.Filter, error) { return e.Filter(t.Context(), nil, "read", "log") },
		"no engine": func() (rowfence.Filter, error) {
			return new(rowfence.Engine).Filter(t.Context(), member("a"), "read", "log")
		},
		"no such resource": func() (rowfence.Filter, error) { return e.Filter(t.Context(), member("a"), "read", "lgo") },
		"a parameter's type": func() (rowfence.Filter, error) {
			return e.Filter(t.Context(), subject(map[string]any{"id": 7}), "read", "log")
		},
		"a derived one's": func() (rowfence.Filter, error) {
			return e.Filter(t.Context(), subject(map[string]any{"id": "a", "orgs": []any{1}}), "read", "log")
		},
		"no parameter": func() (rowfence.Filter, error) {
			return e.Filter(t.Context(), subject(map[string]any{}), "read", "log")
		},
		"what is refused": func() (rowfence.Filter, error) { return e.Filter(t.Context(), member("a"), "refused", "log") },
		"an ended context": func() (rowfence.Filter, error) {
			return e.Filter(ended, member("new"), "read", "log")
		},
	} {
		for range 2 { // from the cache, too
			f, err := ask()
			require.Error(t, err, name)
			require.Equal(t, rowfence.Filter{}.Result(), f.Result(), name)
		}
	}
	_, err := rowfence.NewSubject(map[string]any{"f": func() {}})
	require.Error(t, err)
}

// A refused policy is not compiled again for each request.
func TestRefusalIsKept(t *testing.T) {
	var m counted
	e := newEngine(t, rowfence.Config{Metrics: &m})
	for i := range 5 {
		_, err := e.Filter(t.Context(), member(fmt.Sprint(i)), "refused", "log")
		require.Equal(t, "RF3001", string(rowfence.Errors(err)[0].Code))
	}
	require.EqualValues(t, 1, m.compiled.Load())
}

// Those who ask at the same time share one compilation, and one binding each.
func TestSingleFlight(t *testing.T) {
	var m counted
	e := newEngine(t, rowfence.Config{Metrics: &m})
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			f, err := e.Filter(t.Context(), member(fmt.Sprint(i%2), orgA), "read", "log")
			if err != nil || f.Inline() != "org_id = '"+orgA+"'::uuid" {
				t.Error(f, err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, m.compiled.Load())
	require.EqualValues(t, 2, m.bound.Load())
}

// The time is not what it was: nothing of a policy that asks for it is kept.
func TestPolicyThatAsksForTheTime(t *testing.T) {
	at := time.Unix(100, 0)
	e := newEngine(t, rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\nallow if { input.object.owner == input.subject.id; early }\nearly if time.now_ns() < 200000000000")}},
		Schema:   []byte("params: {data.authz.early: bool}\nresources: {log: {table: logs, fields: {owner: {column: owner, type: text}}}}"),
		Now:      func() time.Time { return at },
	})
	f, err := e.Filter(t.Context(), member("a"), "read", "log")
	require.NoError(t, err)
	require.Equal(t, "owner = 'a'", f.Inline())
	at = time.Unix(300, 0)
	f, err = e.Filter(t.Context(), member("a"), "read", "log")
	require.NoError(t, err)
	require.Equal(t, "FALSE", f.Inline())
}

// Allow is what OPA says of one row, and AllowEach of several.
func TestAllow(t *testing.T) {
	var m counted
	e := newEngine(t, rowfence.Config{Metrics: &m})
	objects := []rowfence.Object{
		{Resource: "log", Document: map[string]any{"org": orgA, "owner": "a"}},
		{Resource: "other", Document: struct {
			Org string `json:"org"`
		}{orgB}},
		{Resource: "log", Document: map[string]any{"org": nil, "owner": "b"}},
		{Resource: "log", Document: map[string]any{"org": orgB}},
	}
	who := member("a", orgA, orgB)
	allowed, err := e.AllowEach(t.Context(), who, "read", objects)
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, false, true}, allowed)
	for i, o := range objects {
		one, err := e.Allow(t.Context(), who, "read", o)
		require.NoError(t, err)
		require.Equal(t, allowed[i], one)
	}
	require.EqualValues(t, 8, m.decided.Load())

	for name, o := range map[string]rowfence.Object{
		"no such resource": {Resource: "lgo", Document: map[string]any{}},
		"no object":        {Resource: "log", Document: 7},
		"no JSON":          {Resource: "log", Document: func() {}},
	} {
		allowed, err := e.Allow(t.Context(), who, "read", o)
		require.Error(t, err, name)
		require.False(t, allowed, name)
	}
	_, err = e.Allow(t.Context(), nil, "read", objects[0])
	require.Error(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	one, err := e.Allow(ended, who, "read", objects[0])
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, one)
}

// An object's document may say more than a row does, and a rule that is a parameter may
// read that: it has a value of its own for each object.
func TestAllowEachOfWhatDocumentsSay(t *testing.T) {
	e := newEngine(t, rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\nallow if { input.object.owner in owners; not locked }\nowners contains input.subject.id if input.object.kind == \"log\"\nlocked if input.object.lock")}},
		Schema:   []byte("params: {data.authz.owners: set(text), data.authz.locked: bool}\nresources: {log: {table: logs, fields: {kind: {const: log}, owner: {column: owner, type: text}}}}"),
	})
	objects := []rowfence.Object{
		{Resource: "log", Document: map[string]any{"owner": "a"}},
		{Resource: "log", Document: map[string]any{"owner": "a", "lock": true}},
		{Resource: "log", Document: map[string]any{"owner": "b"}},
	}
	allowed, err := e.AllowEach(t.Context(), member("a"), "read", objects)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, false}, allowed)
	for i, o := range objects {
		one, err := e.Allow(t.Context(), member("a"), "read", o)
		require.NoError(t, err)
		require.Equal(t, allowed[i], one)
	}
}

// A subject is shared by all who ask for it: nothing is put into it, and no document over
// it.
func TestPathsOfTheInputStandApart(t *testing.T) {
	for _, c := range []struct{ subject, action, want string }{
		{"input.subject", "input.subject.action", "one inside the other"},
		{"input.action.by", "input.action", "one inside the other"},
		{"input.who", "input.who", "one inside the other"},
		{"input.object", "input.action", "where rows of the resource"},
		{"input.object.subject", "input.action", "where rows of the resource"},
		{"input.subject", "input.object.action", "where rows of the resource"},
	} {
		_, err := rowfence.New(t.Context(), rowfence.Config{
			Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\nallow if input.object.owner == \"a\"")}},
			Schema:   []byte("resources: {log: {table: logs, fields: {owner: {column: owner, type: text}}}}"),
			Subject:  c.subject, Action: c.action,
		})
		require.ErrorContains(t, err, c.want, "%s, %s", c.subject, c.action)
	}
}

// What one subject lacks refuses no other one: the refusal would be kept for both.
func TestRefusalIsOfTheTemplate(t *testing.T) {
	e := newEngine(t, rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\nallow if admin\nadmin if input.subject.admin")}},
		Schema:   []byte("params: {data.authz.admin: bool}\nresources: {log: {table: logs, fields: {owner: {column: owner, type: text}}}}"),
	})
	for _, c := range []struct {
		who  any
		want string
	}{{map[string]any{}, "FALSE"}, {map[string]any{"admin": true}, "TRUE"}, {map[string]any{"admin": false}, "FALSE"}} {
		f, err := e.Filter(t.Context(), subject(c.who), "read", "log")
		require.NoError(t, err)
		require.Equal(t, c.want, f.Inline())
	}
}

// policyOf allows only the generation's organization.
func policyOf(generation int64) string {
	return fmt.Sprintf("package authz\n\nallow if {\n\tinput.object.owner == \"%d\"\n\tinput.object.org in orgs\n}\n\norgs contains org if some org in input.subject.orgs\n", generation)
}

// generations is a directory of the policy that was written last.
type generations struct{ written *atomic.Int64 }

func (g generations) Open(name string) (fs.File, error) {
	return fstest.MapFS{"authz.rego": {Data: []byte(policyOf(g.written.Load()))}}.Open(name)
}

// TestReloadUnderLoad: once a reload has returned, no call that begins decides by what
// was there before.
func TestReloadUnderLoad(t *testing.T) {
	var written, reloaded atomic.Int64
	e := newEngine(t, rowfence.Config{Policies: generations{&written}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var all sync.WaitGroup
	var asked atomic.Int64
	for i := range 4 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			who := []*rowfence.Subject{member(fmt.Sprint(i), orgA), member("shared", orgA)}
			for n := 0; ctx.Err() == nil; n++ {
				before := reloaded.Load()
				f, err := e.Filter(context.Background(), who[n%2], "read", "log")
				after := written.Load()
				if err != nil {
					t.Error(err)
					return
				}
				var have int64
				if _, err := fmt.Sscanf(f.Inline(), "owner = '%d' AND org_id = '"+orgA+"'::uuid", &have); err != nil || have < before || have > after {
					t.Errorf("a decision of %q between %d and %d", f.Inline(), before, after)
					return
				}
				asked.Add(1)
			}
		})
	}
	for ctx.Err() == nil {
		next := written.Add(1)
		require.NoError(t, e.Reload(t.Context()))
		reloaded.Store(next)
	}
	all.Wait()
	t.Logf("%d decisions, %d reloads", asked.Load(), reloaded.Load())
}

// What does not compile changes nothing.
func TestReloadOfABrokenPolicy(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "authz.rego")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write(logPolicy)
	var m counted
	e := newEngine(t, rowfence.Config{Sources: []rego.Source{rego.Paths(dir)}, Metrics: &m})
	reports := make(chan error, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.NoError(t, e.Watch(ctx, func(err error) { reports <- err }, dir))
	require.Error(t, e.Watch(ctx, nil, filepath.Join(dir, "nothing")))

	ask := func() string {
		f, err := e.Filter(t.Context(), member("a"), "delete", "log")
		require.NoError(t, err)
		return f.Inline()
	}
	require.Equal(t, "owner = 'a'", ask())
	write("package authz\n\nallow if {")
	require.Error(t, <-reports)
	require.Equal(t, "owner = 'a'", ask())
	write("package authz\n\nallow if input.object.owner == \"b\"\n\norgs := set()\n")
	for err := range reports {
		if err == nil {
			break
		}
	}
	require.Equal(t, "owner = 'b'", ask())
	require.Error(t, errors.Join(os.RemoveAll(file), e.Reload(t.Context())))
	require.Equal(t, "owner = 'b'", ask())
}

// What stands at a watched path may be behind a link, and may be replaced as a whole.
func TestWatchOfWhatIsReplaced(t *testing.T) {
	top := t.TempDir()
	in := func(names ...string) string { return filepath.Join(append([]string{top}, names...)...) }
	write := func(generation int64, names ...string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(in(names...)), 0o700))
		require.NoError(t, os.WriteFile(in(names...), []byte(policyOf(generation)), 0o600))
	}
	point := func(link, target string) {
		require.NoError(t, os.Symlink(target, in("new link")))
		require.NoError(t, os.Rename(in("new link"), in(link)))
	}
	for name, c := range map[string]struct {
		watched string
		before  func()
		changes []func()
	}{
		"a directory": {"a", func() { write(0, "a", "p.rego") }, []func(){
			func() { write(1, "a", "p.rego") },
			func() { // another one in its place
				write(2, "a2", "p.rego")
				require.NoError(t, errors.Join(os.Rename(in("a"), in("a0")), os.Rename(in("a2"), in("a"))))
			},
			func() { write(3, "a", "p.rego") },
			func() {
				require.NoError(t, os.RemoveAll(in("a")))
				write(4, "a", "p.rego")
			},
			func() { require.NoError(t, os.Rename(in("a", "p.rego"), in("a", "q.rego"))); write(5, "a", "q.rego") },
		}},
		"a link": {"b", func() { write(0, "b0", "p.rego"); point("b", "b0") }, []func(){
			func() { write(1, "b0", "p.rego") },
			func() { write(2, "b1", "p.rego"); point("b", "b1") },
			func() { write(3, "b1", "p.rego") },
		}},
		"a link inside": {"c", func() { write(0, "c", "..0", "p.rego"); point("c/..data", "..0"); point("c/p.rego", "..data/p.rego") }, []func(){
			func() { write(1, "c", "..1", "p.rego"); point("c/..data", "..1") },
			func() { write(2, "c", "..2", "p.rego"); point("c/..data", "..2") },
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.before()
			e := newEngine(t, rowfence.Config{Policies: os.DirFS(in(c.watched))})
			reports := make(chan error, 1000)
			require.NoError(t, e.Watch(t.Context(), func(err error) { reports <- err }, in(c.watched)))
			for i, change := range c.changes {
				change()
				want := fmt.Sprintf("owner = '%d' AND org_id = '"+orgA+"'::uuid", i+1)
				for have := ""; have != want; {
					select {
					case <-reports: //nolint:errcheck // of an error, too: half of a change was seen
					case <-time.After(10 * time.Second):
						t.Fatalf("change %d is not seen: %s", i+1, have)
					}
					f, err := e.Filter(t.Context(), member("a", orgA), "read", "log")
					require.NoError(t, err)
					have = f.Inline()
				}
			}
		})
	}
}

// The cache stays within its bound, however many ask.
func TestCacheIsBounded(t *testing.T) {
	const bytes = 1 << 20
	e := newEngine(t, rowfence.Config{CacheBytes: bytes})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	_, err := e.Filter(t.Context(), member("a", orgA), "read", "log")
	require.NoError(t, err)
	before := heap()
	for i := range 20_000 {
		_, err := e.Filter(t.Context(), member(fmt.Sprint(i), orgA), "read", "log")
		require.NoError(t, err)
	}
	if grown := int64(heap()) - int64(before); grown > 4*bytes {
		t.Errorf("20,000 subjects took %d bytes", grown)
	}
	runtime.KeepAlive(e)
}

// A condition that a parameter's type settles holds only for values of the type: they
// are looked at, although nothing of the condition is left.
func TestTypeThatSettlesACondition(t *testing.T) {
	e := newEngine(t, rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\n\nallow if {\n\tinput.object.owner != \"\"\n\tlevel < \"a\"\n}\n\nlevel := input.subject.level")}},
		Schema:   []byte("params: {data.authz.level: int}\nresources: {log: {table: logs, fields: {owner: {column: owner, type: text, not_null: true}}}}"),
	})
	f, err := e.Filter(t.Context(), subject(map[string]any{"level": 7}), "read", "log")
	require.NoError(t, err)
	require.Equal(t, "owner <> ''", f.Inline())
	f, err = e.Filter(t.Context(), subject(map[string]any{"level": "z"}), "read", "log")
	require.Equal(t, "RF4002", string(rowfence.Errors(err)[0].Code))
	require.Equal(t, "FALSE", f.Inline())
	f, err = e.Filter(t.Context(), subject(map[string]any{}), "read", "log") // undefined
	require.NoError(t, err)
	require.Equal(t, "FALSE", f.Inline())
}
