package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/rls"
	"github.com/rowfence/rowfence/sqlgen"
)

// A Result is what was measured on a log of so many rows.
type Result struct {
	Rows  int       `json:"rows"`
	At    time.Time `json:"at"`
	Load  string    `json:"load"` // of the machine, before and after
	Cap   float64   `json:"cap_ms"`
	Cells []Cell    `json:"cells"`
	// Endpoint is empty where it was not asked.
	Endpoint []Endpoint `json:"endpoint,omitempty"`
}

// A Cell is a search by a subject: the server's list and count, those by hand and
// under row-level security, and the statement with fixed conditions, which is both.
type Cell struct {
	Search  string  `json:"search"`
	Query   string  `json:"q"`
	Subject string  `json:"subject"`
	Shown   int     `json:"shown"` // rows of the page
	List    Compare `json:"list"`
	Count   Compare `json:"count"`
	Fixed   Figure  `json:"fixed"`
}

// Compare is the same asked in three ways.
type Compare struct {
	Ours Figure `json:"ours"`
	Hand Figure `json:"hand"`
	RLS  Figure `json:"rls"`
}

// Measure measures all searches by all subjects, of those whose names contain only.
func (d *Database) Measure(ctx context.Context, limits Limits, only func(subject, search string) bool, progress io.Writer) (*Result, error) {
	s, err := newServer(ctx, d.pool)
	if err != nil {
		return nil, err
	}
	defer s.pool.Close()
	pool, err := capped(ctx, d.pool, limits.Cap)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	patient, err := capped(ctx, d.pool, limits.FixedCap)
	if err != nil {
		return nil, err
	}
	defer patient.Close()
	m := &measurement{pool, patient, s, limits}
	result := &Result{Rows: d.rows, At: time.Now().UTC(), Load: load(), Cap: milliseconds(limits.Cap)}
	for i, who := range d.Subjects {
		filter, subject, err := s.filter(ctx, who)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if err := secure(ctx, d.pool, s.engine, subject); err != nil {
				return nil, err
			}
		}
		settings, err := rls.For(ctx, s.engine, subject, target)
		if err != nil {
			return nil, err
		}
		for _, search := range d.searches(who) {
			if !only(who.Name, search.name) {
				continue
			}
			cell, err := m.cell(ctx, who, filter, settings, search)
			if err != nil {
				return nil, fmt.Errorf("%s by %s: %w", search.name, who.Name, err)
			}
			result.Cells = append(result.Cells, cell)
			fmt.Fprintln(progress, cell)
		}
	}
	result.Load += " → " + load()
	return result, nil
}

type measurement struct {
	pool, patient *pgxpool.Pool // the patient one is for fixed conditions
	server        *server
	limits        Limits
}

// The groups of ways, each with list and count.
const (
	ours  = "ours "
	hand  = "hand "
	byRLS = "rls "
)

func (m *measurement) cell(ctx context.Context, who Subject, filter sqlgen.Filter, settings *rls.Settings, s search) (Cell, error) {
	cell := Cell{Search: s.name, Query: s.q, Subject: who.Name}
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return cell, err
	}
	as := &reader{conn: conn, settings: settings}
	defer as.close(context.WithoutCancel(ctx))

	list, count, shown, err := m.server.asked(ctx, filter, s)
	if err != nil {
		return cell, err
	}
	cell.Shown = shown
	pool := m.pool
	var ways []*way
	statements := map[*way]statement{}
	add := func(group string, all []statement, run func(statement) func(context.Context) error) {
		for _, statement := range all {
			w := &way{group: group, run: run(statement)}
			statements[w] = statement
			ways = append(ways, w)
		}
	}
	plain := func(statement statement) func(context.Context) error {
		return func(ctx context.Context) error { return read(ctx, pool, statement) }
	}
	byRoleIn := func(statement statement) func(context.Context) error {
		return func(ctx context.Context) error { return read(ctx, as.tx, statement) }
	}
	ways = append(ways, &way{group: ours + "list", run: again(pool, list)}, &way{group: ours + "count", run: again(pool, count)})
	lists, counts := byHand(who, s)
	add(hand+"list", lists, plain)
	add(hand+"count", counts, plain)
	lists, counts = byRole(s)
	add(byRLS+"list", lists, byRoleIn)
	add(byRLS+"count", counts, byRoleIn)
	// Before each turn, not in its time: a transaction that failed begins again.
	for _, w := range ways {
		w.before = as.begin
	}
	if err := turns(ctx, m.limits, ways); err != nil {
		return cell, err
	}
	figure := func(group string, in func() querier) (Figure, error) {
		w := best(ways, group)
		f := w.figure()
		if f.Over {
			return f, nil
		}
		if err := as.begin(ctx); err != nil {
			return f, err
		}
		f.Looked, err = m.looked(ctx, in(), statements[w])
		return f, err
	}
	inPool, inRole := func() querier { return pool }, func() querier { return as.tx }
	for _, f := range []struct {
		into  *Figure
		group string
		in    func() querier
	}{
		{&cell.List.Hand, hand + "list", inPool}, {&cell.Count.Hand, hand + "count", inPool},
		{&cell.List.RLS, byRLS + "list", inRole}, {&cell.Count.RLS, byRLS + "count", inRole},
	} {
		if *f.into, err = figure(f.group, f.in); err != nil {
			return cell, err
		}
	}
	for _, f := range []struct {
		into *Figure
		way  *way
		sent []sent
	}{{&cell.List.Ours, ways[0], list}, {&cell.Count.Ours, ways[1], count}} {
		*f.into = f.way.figure()
		for _, one := range f.sent {
			if one.givenUp {
				continue // to its end it would look at more
			}
			n, err := m.looked(ctx, pool, one.statement)
			if err != nil {
				return cell, err
			}
			f.into.Looked += n
		}
	}
	cell.Fixed, err = m.fixed(ctx, byFixed(who, s))
	return cell, err
}

// looked is 0 if it takes longer than the cap.
func (m *measurement) looked(ctx context.Context, in querier, s statement) (float64, error) {
	n, err := looked(ctx, in, s)
	if stopped(err) {
		return 0, nil
	}
	return n, err
}

// fixed asks once: what it takes is told by the plan that PostgreSQL explains.
func (m *measurement) fixed(ctx context.Context, s statement) (Figure, error) {
	start := time.Now()
	n, err := looked(ctx, m.patient, s)
	f := Figure{Median: milliseconds(time.Since(start)), Times: 1, Looked: n}
	f.High = f.Median
	if stopped(err) {
		f.Over = true
		return f, nil
	}
	return f, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// load is that of the machine in the last minute, where it is known.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	var one string
	if err == nil {
		_, _ = fmt.Sscan(string(text), &one)
	}
	return one
}

// Save keeps the result as JSON.
func (r *Result) Save(path string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// Read reads what was saved.
func Read(path string) (*Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return r, nil
}
