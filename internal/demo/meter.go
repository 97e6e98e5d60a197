package demo

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const lineInterval = 5 * time.Second

// A meter shows how far a stage is: a bar on a terminal, else a line now and
// then and one at the end.
type meter struct {
	w           io.Writer
	name, unit  string
	done, total int
	start, told time.Time
	bar         *progressbar.ProgressBar // nil if w is no terminal
}

func newMeter(w io.Writer, name, unit string, total int) *meter {
	now := time.Now()
	m := &meter{w: w, name: name, unit: unit, total: total, start: now, told: now}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		m.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription(name),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString(unit),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionFullWidth(),
		)
	}
	return m
}

func (m *meter) set(done int) {
	m.done = done
	if m.bar != nil {
		_ = m.bar.Set(done) // a bar that can't be drawn is no reason to stop
		return
	}
	if now := time.Now(); now.Sub(m.told) >= lineInterval {
		m.told = now
		m.line()
	}
}

func (m *meter) finish() {
	m.done = m.total
	if m.bar != nil {
		_ = m.bar.Finish()
		fmt.Fprintln(m.w)
		return
	}
	m.line()
}

func (m *meter) line() {
	rate := float64(m.done) / max(time.Since(m.start).Seconds(), 1e-9)
	fmt.Fprintf(m.w, "%s: %d of %d (%.1f %s/s)\n", m.name, m.done, m.total, rate, m.unit)
}
