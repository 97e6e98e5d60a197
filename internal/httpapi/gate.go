package httpapi

import (
	"sync"

	"github.com/google/uuid"
)

// A gate lets so many in at a time, and so many of one caller.
type gate struct {
	all, each int

	mu   sync.Mutex
	in   int
	byID map[uuid.UUID]int
}

func newGate(all, each int) *gate { return &gate{all: all, each: each, byID: map[uuid.UUID]int{}} }

// enter lets the caller in, who has to leave again, unless there are too many.
func (g *gate) enter(caller uuid.UUID) (leave func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in >= g.all || g.byID[caller] >= g.each {
		return nil, false
	}
	g.in++
	g.byID[caller]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.in--
		if g.byID[caller]--; g.byID[caller] == 0 {
			delete(g.byID, caller)
		}
	}, true
}
