package rowfence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// Config says what an [Engine] decides by.
type Config struct {
	Policies fs.FS          // Rego files and data documents; see rego.FS
	Sources  []rego.Source  // further policies
	Schema   []byte         // the schema, YAML
	Query    string         // the rule that allows; DefaultQuery when empty
	Data     map[string]any // a further data document

	// Subject and Action are where they stand in the policy's input: paths below
	// input. DefaultSubject and DefaultAction when empty.
	Subject, Action string

	// Now is the instant that time.now_ns says; time.Now when nil. The filters of a
	// policy that asks for the time are not kept.
	Now func() time.Time

	// CacheBytes bounds the memory of the filters that are kept, about;
	// DefaultCacheBytes when 0. Each is kept for CacheFor after it was made;
	// DefaultCacheFor when 0.
	CacheBytes int
	CacheFor   time.Duration
	// Templates bounds how many templates are kept; DefaultTemplates when 0.
	Templates int
	// Timeout bounds the making of a filter, which goes on for others when who asked
	// first gives up; DefaultTimeout when 0.
	Timeout time.Duration

	// Metrics is told what the engine does. Nil discards it.
	Metrics Metrics
}

// The defaults of a [Config].
const (
	DefaultSubject    = "input.subject"
	DefaultAction     = "input.action"
	DefaultCacheBytes = 64 << 20
	DefaultCacheFor   = time.Hour
	DefaultTemplates  = 1000
	DefaultTimeout    = 10 * time.Second
)

// Engine makes filters, and decides on objects, by a policy and a schema. It is safe for
// concurrent use.
type Engine struct {
	config  Config
	sources []rego.Source
	schema  *compiler.Schema
	subject ast.Ref
	action  ast.Ref

	current atomic.Pointer[state]
	loading sync.Mutex // one reload at a time
}

// state is what an engine decides by until it is reloaded: all that is kept of one
// policy goes with it.
type state struct {
	query *rego.Query
	plans map[string]planned // by resource
	// asksTime says that the policy asks for the time: nothing is kept.
	asksTime  bool
	filters   *filterCache
	templates *templateCache
}

// planned is a resource's plan, or why there is none.
type planned struct {
	plan *compiler.Plan
	err  error
}

// New loads and compiles the policies and reads the schema.
func New(ctx context.Context, c Config) (*Engine, error) {
	schema, err := compiler.ParseSchema(c.Schema)
	if err != nil {
		return nil, err
	}
	e := &Engine{config: c.withDefaults(), sources: c.Sources, schema: schema}
	if c.Policies != nil {
		e.sources = append([]rego.Source{rego.FS(c.Policies)}, e.sources...)
	}
	if c.Data != nil {
		e.sources = append(e.sources, rego.Data(c.Data))
	}
	if e.subject, err = inputPath("Subject", e.config.Subject); err != nil {
		return nil, err
	}
	if e.action, err = inputPath("Action", e.config.Action); err != nil {
		return nil, err
	}
	if err := e.checkPaths(); err != nil {
		return nil, err
	}
	s, err := e.load(ctx)
	if err != nil {
		return nil, err
	}
	e.current.Store(s)
	return e, nil
}

// checkPaths refuses paths of which one would take the place of what stands at another:
// an action inside the subject would be a part of it, and the document of a row would
// be laid over what stands below it.
func (e *Engine) checkPaths() error {
	if e.action.HasPrefix(e.subject) || e.subject.HasPrefix(e.action) {
		return fmt.Errorf("the configuration's Action %v and Subject %v stand one inside the other", e.action, e.subject)
	}
	for name, r := range e.schema.Resources {
		if e.subject.HasPrefix(r.Root) || e.action.HasPrefix(r.Root) {
			return fmt.Errorf("the configuration's Subject %v or Action %v stands where rows of the resource %s do, at %v", e.subject, e.action, name, r.Root)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	orString := func(s *string, other string) {
		if *s == "" {
			*s = other
		}
	}
	orString(&c.Query, DefaultQuery)
	orString(&c.Subject, DefaultSubject)
	orString(&c.Action, DefaultAction)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	if c.CacheFor == 0 {
		c.CacheFor = DefaultCacheFor
	}
	if c.Templates == 0 {
		c.Templates = DefaultTemplates
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
	return c
}

// inputPath reads a path of the configuration.
func inputPath(name, path string) (ast.Ref, error) {
	ref, err := ast.ParseRef(path)
	if err != nil || !ref.HasPrefix(ast.InputRootRef) || len(ref) < 2 || !ref.IsGround() {
		return nil, fmt.Errorf("the configuration's %s is %q: want a path such as %s", name, path, DefaultSubject)
	}
	return ref, nil
}

// load reads the policies, and plans each resource.
func (e *Engine) load(ctx context.Context) (*state, error) {
	policy, err := rego.Load(ctx, e.sources...)
	if err != nil {
		return nil, fmt.Errorf("loading policies: %w", err)
	}
	query, err := policy.Prepare(ctx, e.config.Query)
	if err != nil {
		return nil, err
	}
	s := &state{query: query, plans: map[string]planned{}, asksTime: query.AsksTime()}
	for name, r := range e.schema.Resources {
		plan, err := compiler.NewPlan(query, r)
		s.plans[name] = planned{plan, err}
	}
	if s.filters, err = newFilterCache(e.config.CacheBytes, e.config.CacheFor); err != nil {
		return nil, err
	}
	s.templates, err = newTemplateCache(e.config.Templates)
	return s, err
}

// Reload reads the policies and data documents again, from where they were read first.
// Each call that begins after it has returned decides by the new ones. When they do not
// compile, the error says so, and the old ones stay.
func (e *Engine) Reload(ctx context.Context) (err error) {
	e.loading.Lock()
	defer e.loading.Unlock()
	start := time.Now()
	defer func() { e.config.Metrics.Reloaded(time.Since(start), err) }()
	s, err := e.load(ctx)
	if err != nil {
		return fmt.Errorf("reloading, and keeping what was there: %w", err)
	}
	e.current.Store(s)
	return nil
}

// Filter says which rows of the resource the policy allows the subject to take the
// action on. On an error nothing is allowed: the filter that comes with it selects no
// row.
//
// What it says is kept for the next time, until the policies are reloaded. When ctx
// ends, Filter returns its error.
func (e *Engine) Filter(ctx context.Context, subject *Subject, action, resource string) (Filter, error) {
	s, err := e.state()
	if err != nil {
		return sqlgen.Never(), err
	}
	if subject == nil {
		return sqlgen.Never(), errors.New("a filter is for a Subject, made by NewSubject, and there is none")
	}
	if err := ctx.Err(); err != nil {
		return sqlgen.Never(), err
	}
	if s.asksTime {
		return e.bindAt(ctx, s, subject, action, resource)
	}
	key := filterKey{subject.id, action, resource}
	if f, ok := s.filters.get(key); ok {
		e.config.Metrics.FilterHit(resource)
		return f, nil
	}
	return s.filters.make(ctx, e.config.Timeout, key, func(ctx context.Context) (Filter, error) {
		return e.bind(ctx, s, subject, action, resource)
	})
}

func (e *Engine) state() (*state, error) {
	if s := e.current.Load(); s != nil {
		return s, nil
	}
	return nil, errors.New("an Engine is made by New")
}

// plan is that of a resource.
func (e *Engine) plan(s *state, resource string) (*compiler.Plan, error) {
	p, ok := s.plans[resource]
	if !ok {
		_, err := e.schema.Resource(resource)
		return nil, err
	}
	return p.plan, p.err
}

// bind makes a filter of its template, which it makes first where it is not there.
func (e *Engine) bind(ctx context.Context, s *state, subject *Subject, action, resource string) (f Filter, err error) {
	defer func() { err = describe(err, resource) }()
	plan, err := e.plan(s, resource)
	if err != nil {
		return sqlgen.Never(), err
	}
	input, err := e.input(subject, action)
	if err != nil {
		return sqlgen.Never(), err
	}
	t, err := e.template(ctx, s, plan, input, resource)
	if err != nil {
		return sqlgen.Never(), err
	}
	ctx, end := span(ctx, "rowfence.bind", resource)
	defer func() { end(err) }()
	start := time.Now()
	f, err = t.Bind(ctx, input)
	e.config.Metrics.FilterBound(resource, time.Since(start), err)
	return f.Rendered(), err
}

// template is that of an input.
func (e *Engine) template(ctx context.Context, s *state, plan *compiler.Plan, input ast.Object, resource string) (*compiler.Template, error) {
	key, err := plan.Key(input)
	if err != nil {
		return nil, err
	}
	return s.templates.get(ctx, e.config.Timeout, templateKey{resource, key}, func(ctx context.Context) (t *compiler.Template, err error) {
		ctx, end := span(ctx, "rowfence.compile", resource)
		defer func() { end(err) }()
		start := time.Now()
		t, err = plan.Template(ctx, input)
		e.config.Metrics.TemplateCompiled(resource, time.Since(start), err)
		return t, err
	})
}

// bindAt is bind for the present, with nothing that was kept.
func (e *Engine) bindAt(ctx context.Context, s *state, subject *Subject, action, resource string) (f Filter, err error) {
	defer func() { err = describe(err, resource) }()
	plan, err := e.plan(s, resource)
	if err != nil {
		return sqlgen.Never(), err
	}
	input, err := e.input(subject, action)
	if err != nil {
		return sqlgen.Never(), err
	}
	ctx, end := span(ctx, "rowfence.compile", resource)
	defer func() { end(err) }()
	start := time.Now()
	f, err = plan.At(s.query.At(e.config.Now())).Filter(ctx, input)
	e.config.Metrics.TemplateCompiled(resource, time.Since(start), err)
	return f, err
}

// describe says what an error was met in.
func describe(err error, resource string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("compiling the filter of %s: %w", resource, err)
}

// input is what the policy sees of a subject and an action.
func (e *Engine) input(subject *Subject, action string) (ast.Object, error) {
	input := ast.NewObject()
	if err := put(input, e.subject[1:], subject.value); err != nil {
		return nil, err
	}
	return input, put(input, e.action[1:], ast.String(action))
}

// put puts a value at a path of an object, which nobody else has yet.
func put(obj ast.Object, path ast.Ref, v ast.Value) error {
	for len(path) > 1 {
		inner := obj.Get(path[0])
		if inner == nil {
			inner = ast.NewTerm(ast.NewObject())
			obj.Insert(path[0], inner)
		}
		next, ok := inner.Value.(ast.Object)
		if !ok {
			return fmt.Errorf("the input has no object at %v", path[0])
		}
		obj, path = next, path[1:]
	}
	obj.Insert(path[0], ast.NewTerm(v))
	return nil
}

// Compile is the filter of a resource for an input of any form, such as
// {"action": "read", "subject": {…}}, made anew at each call. On an error nothing is
// allowed: the filter that comes with it selects no row.
func (e *Engine) Compile(ctx context.Context, resource string, input any) (Filter, error) {
	s, err := e.state()
	if err != nil {
		return sqlgen.Never(), err
	}
	plan, err := e.plan(s, resource)
	if err != nil {
		return sqlgen.Never(), err
	}
	f, err := plan.At(s.query.At(e.config.Now())).Filter(ctx, input)
	return f, describe(err, resource)
}

// Explain is [Engine.Compile] with every stage on the way to it. trace, when it is
// not nil, is told of each simplification that fired.
func (e *Engine) Explain(ctx context.Context, resource string, input any, trace func(sqlgen.Step)) (*compiler.Compilation, error) {
	s, err := e.state()
	if err != nil {
		return nil, err
	}
	plan, err := e.plan(s, resource)
	if err != nil {
		return nil, err
	}
	c, err := plan.At(s.query.At(e.config.Now())).Explain(ctx, input, trace)
	return c, describe(err, resource)
}
