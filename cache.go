package rowfence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

// filterKey is what a filter is for.
type filterKey struct {
	subject          [sha256.Size]byte
	action, resource string
}

// name is the key as a text, which no other key has.
func (k filterKey) name() string {
	return fmt.Sprintf("%x %d %s%s", k.subject, len(k.action), k.action, k.resource)
}

// filterCache keeps filters, within a bound of memory.
type filterCache struct {
	kept   *otter.Cache[filterKey, Filter]
	flight singleflight.Group
}

// overhead is about what an entry costs beside its SQL and arguments: the predicate,
// and the cache's own.
const overhead = 1 << 10

func newFilterCache(bytes int, keptFor time.Duration) (*filterCache, error) {
	kept, err := otter.New(&otter.Options[filterKey, Filter]{
		MaximumWeight: uint64(max(bytes, 1)),
		Weigher: func(k filterKey, f Filter) uint32 {
			return uint32(min(overhead+len(k.action)+len(k.resource)+2*f.Size(), math.MaxUint32))
		},
		ExpiryCalculator: otter.ExpiryWriting[filterKey, Filter](keptFor),
	})
	if err != nil {
		return nil, fmt.Errorf("making the cache of filters: %w", err)
	}
	return &filterCache{kept: kept}, nil
}

func (c *filterCache) get(key filterKey) (Filter, bool) { return c.kept.GetIfPresent(key) }

// make makes a filter once, for all who ask for it meanwhile.
func (c *filterCache) make(ctx context.Context, timeout time.Duration, key filterKey, bind func(context.Context) (Filter, error)) (Filter, error) {
	return once(ctx, timeout, &c.flight, key.name(), sqlgen.Never(), func(ctx context.Context) (Filter, error) {
		// It may be there since the caller looked: who made it had ended meanwhile.
		if have, ok := c.kept.GetIfPresent(key); ok {
			return have, nil
		}
		f, err := bind(ctx)
		if err == nil {
			c.kept.Set(key, f)
		}
		return f, err
	})
}

// templateKey is what a template is for.
type templateKey struct {
	resource string
	key      compiler.Key
}

// compiled is a template, or the refusal that there is instead.
type compiled struct {
	template *compiler.Template
	refused  error
}

// templateCache keeps templates, so many of them.
type templateCache struct {
	kept   *otter.Cache[templateKey, compiled]
	flight singleflight.Group
}

func newTemplateCache(size int) (*templateCache, error) {
	kept, err := otter.New(&otter.Options[templateKey, compiled]{MaximumSize: max(size, 1)})
	if err != nil {
		return nil, fmt.Errorf("making the cache of templates: %w", err)
	}
	return &templateCache{kept: kept}, nil
}

// get is the template of a key, made once where it is not there. A policy that is
// refused stays refused.
func (c *templateCache) get(ctx context.Context, timeout time.Duration, key templateKey, compile func(context.Context) (*compiler.Template, error)) (*compiler.Template, error) {
	if have, ok := c.kept.GetIfPresent(key); ok {
		return have.template, have.refused
	}
	name := hex.EncodeToString(key.key[:]) + key.resource
	return once(ctx, timeout, &c.flight, name, nil, func(ctx context.Context) (*compiler.Template, error) {
		if have, ok := c.kept.GetIfPresent(key); ok { // since the caller looked
			return have.template, have.refused
		}
		t, err := compile(ctx)
		if err == nil || Errors(err) != nil && ctx.Err() == nil {
			c.kept.Set(key, compiled{t, err})
		}
		return t, err
	})
}

// once makes a value once for all who ask for it while it is made. Who asked first may
// give up: the work goes on for the others, up to the timeout. none is what comes with
// an error.
func once[T any](ctx context.Context, timeout time.Duration, flight *singleflight.Group, name string, none T, work func(context.Context) (T, error)) (T, error) {
	if err := ctx.Err(); err != nil {
		return none, err
	}
	done := flight.DoChan(name, func() (_ any, err error) {
		defer func() { // it is nobody's goroutine: a panic would end the program
			if r := recover(); r != nil {
				err = fmt.Errorf("stopped: %v", r)
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		return work(ctx)
	})
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case r := <-done:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	}
}
