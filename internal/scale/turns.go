package scale

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// Limits bound what is measured.
type Limits struct {
	// Cap is how long a statement may take: then it is stopped.
	Cap time.Duration
	// FixedCap is the same for the statement with fixed conditions, which is asked once.
	FixedCap time.Duration
	// Budget is how long a way is measured for.
	Budget time.Duration
	// Times is how many times at most.
	Times int
}

// A way is one of several to ask the same; those of one group are variants, of
// which the quickest counts.
type way struct {
	group  string
	before func(ctx context.Context) error // is not measured
	run    func(ctx context.Context) error

	times []time.Duration
	spent time.Duration
	over  bool // it took longer than the cap
}

const (
	// leastTimes is how often a way is measured at least, unless it is slow.
	leastTimes = 5
	slow       = time.Second
)

// hopeless is how many times the time of the quickest of its group a way takes
// that is not measured any more.
const hopeless = 3

// turns measures the ways, each once a round, in an order that is drawn: whichever comes
// behind one that reads a lot finds the processor's caches full of that.
func turns(ctx context.Context, limits Limits, ways []*way) error {
	order, draw := slices.Clone(ways), rand.New(rand.NewPCG(seed, 0))
	for round := 0; ; round++ {
		measured := false
		draw.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, w := range order {
			if w.done(limits, ways) {
				continue
			}
			measured = true
			if err := w.turn(ctx, limits, round == 0); err != nil {
				return err
			}
		}
		if !measured {
			return nil
		}
	}
}

func (w *way) done(limits Limits, ways []*way) bool {
	enough := len(w.times) >= leastTimes && w.spent >= limits.Budget
	if w.over || enough || len(w.times) >= limits.Times || w.spent >= slow {
		return true
	}
	for _, other := range ways {
		if other != w && other.group == w.group && len(other.times) > 2 && len(w.times) > 2 && w.least() > hopeless*other.least() {
			return true
		}
	}
	return false
}

// turn runs the way once. The first time is to warm what is cached, unless it takes
// as long as there is.
func (w *way) turn(ctx context.Context, limits Limits, first bool) error {
	if err := w.before(ctx); err != nil {
		return err
	}
	start := time.Now()
	err := w.run(ctx)
	took := time.Since(start)
	if err != nil {
		if !stopped(err) {
			return err
		}
		w.over = true
	}
	if first && took < slow && !w.over {
		return nil
	}
	w.times = append(w.times, took)
	w.spent += took
	return nil
}

func (w *way) least() time.Duration { return slices.Min(w.times) }

// A Figure is what was measured of a way, in milliseconds.
type Figure struct {
	Median float64 `json:"p50"`
	High   float64 `json:"p99"`
	Times  int     `json:"times"`
	Over   bool    `json:"over,omitempty"` // it was stopped at the cap, which the figures are
	// Looked is how many rows were looked at, but for those of statements that were
	// given up.
	Looked float64 `json:"looked,omitempty"`
}

func (w *way) figure() Figure {
	sorted := slices.Clone(w.times)
	slices.Sort(sorted)
	at := func(f float64) float64 {
		i := min(int(f*float64(len(sorted))), len(sorted)-1)
		return float64(sorted[i].Microseconds()) / 1000
	}
	return Figure{Median: at(0.5), High: at(0.99), Times: len(sorted), Over: w.over}
}

// best is the quickest of a group.
func best(ways []*way, group string) (found *way) {
	for _, w := range ways {
		if w.group == group && (found == nil || w.figure().Median < found.figure().Median) {
			found = w
		}
	}
	return found
}
