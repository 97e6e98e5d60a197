package httpapi

import (
	"context"
	"sync"
	"time"

	"github.com/rowfence/rowfence/auditquery"
)

const (
	// kindsAge is how long the kinds of resources are taken for known, and
	// kindsAgeRefused how long when a search is refused, perhaps for a new one.
	kindsAge        = 10 * time.Second
	kindsAgeRefused = 100 * time.Millisecond
)

// auditParser reads searches of the audit log with the kinds of resources that the
// registry has, which services add to while the server runs.
type auditParser struct {
	kinds func(context.Context) ([]string, error)

	mu     sync.Mutex
	parser auditquery.AuditParser
	read   time.Time
}

// parse is a parser for a request.
func (p *auditParser) parse(ctx context.Context) func(q string) (auditquery.Search, error) {
	return func(q string) (auditquery.Search, error) {
		parser, err := p.of(ctx, kindsAge)
		if err != nil {
			return auditquery.Search{}, err
		}
		search, refused := parser.Parse(q)
		if refused == nil {
			return search, nil
		}
		if parser, err = p.of(ctx, kindsAgeRefused); err != nil {
			return auditquery.Search{}, err
		}
		return parser.Parse(q)
	}
}

// of is a parser that is no older than age.
func (p *auditParser) of(ctx context.Context, age time.Duration) (auditquery.AuditParser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.read.IsZero() && time.Since(p.read) < age {
		return p.parser, nil
	}
	now := time.Now()
	kinds, err := p.kinds(ctx)
	if err != nil {
		return auditquery.AuditParser{}, err
	}
	p.parser, p.read = auditquery.NewAuditParser(kinds), now
	return p.parser, nil
}
