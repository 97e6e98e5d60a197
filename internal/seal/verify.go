package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A Source is a database in one state.
type Source interface {
	// Links gives the chain in its order, with the stored leaves of each, nil for
	// none.
	Links(ctx context.Context, each func(Link, []byte) error) error
	// Purges gives those of them that are of kind purge.
	Purges(ctx context.Context, each func(Link) error) error
	// Rows gives the rows of a log behind one position up to another, in order,
	// hashed over the columns.
	Rows(ctx context.Context, log string, columns []string, after, upTo Position, each func(Leaf) error) error
	// Unsealed counts the rows of a log behind a position.
	Unsealed(ctx context.Context, log string, after Position) (int64, error)
	// Rewritten are those of the ids that the log has behind a position.
	Rewritten(ctx context.Context, log string, after Position, ids []uuid.UUID) ([]uuid.UUID, error)
}

// Kinds of problems.
const (
	RowChanged     = "row_changed"     // is not as it was sealed
	RowMissing     = "row_missing"     // was sealed, and no purge speaks of it
	RowAdded       = "row_added"       // stands among sealed rows and is not one
	SealChanged    = "seal_changed"    // or the one before it
	SealMissing    = "seal_missing"    // a gap in the numbers
	LeavesChanged  = "leaves_changed"  // the hashes of an entry's rows
	LeavesMissing  = "leaves_missing"  // and no purge speaks of all these rows
	TailCut        = "tail_cut"        // a checkpoint is further than the chain
	HistoryChanged = "history_changed" // a checkpoint has another hash
	BadCheckpoint  = "checkpoint_bad"  // is not signed, or by another key
	PurgesDiffer   = "purges_differ"   // other than so many rows are gone
	NoCheckpoint   = "checkpoint_none" // none is signed by the key
)

// A Problem is something that is not as it was.
type Problem struct {
	Kind   string     `json:"kind"`
	Seal   int64      `json:"seal,omitempty"` // number of the entry
	Log    string     `json:"log,omitempty"`
	Row    *uuid.UUID `json:"row,omitempty"`
	Time   *time.Time `json:"time,omitempty"` // of the row
	Detail string     `json:"detail,omitempty"`
}

func (p Problem) String() string {
	s := p.Kind
	if p.Seal > 0 {
		s += fmt.Sprintf(": seal %d", p.Seal)
	}
	if p.Row != nil {
		s += fmt.Sprintf(": %s %s", p.Log, p.Row)
	}
	if p.Time != nil {
		s += " of " + p.Time.Format(time.RFC3339Nano)
	}
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	return s
}

// A Report is what was found.
type Report struct {
	OK       bool      `json:"ok"`
	Problems []Problem `json:"problems"` // in the order of the chain; at most MaxProblems
	Found    int       `json:"problems_found"`

	Seals int64 `json:"seals"`
	Rows  int64 `json:"rows"` // that are as they were sealed
	// Rows that are gone, as the purges of the chain say.
	Purged int64 `json:"purged"`
	// Versions of connections that were completed since, in a later seal.
	Superseded int64 `json:"superseded"`
	// Rows that are not sealed yet: nothing is known of them.
	Unsealed map[string]int64 `json:"unsealed"`
	// Checkpoints that the chain agrees with, and the last seal that they cover.
	Checkpoints int   `json:"checkpoints"`
	CoveredTo   int64 `json:"covered_to"`
	PurgeSeals  int64 `json:"purge_seals"`
}

// MaxProblems are kept; more are counted.
const MaxProblems = 100

// Options of a verification.
type Options struct {
	Checkpoints []Checkpoint
	// BadLines are those among the checkpoints that are none. One that is torn is no
	// problem: its checkpoint was not given away yet.
	BadLines []BadLine
	// Key that the checkpoints are to be signed by; nil for any.
	Key ed25519.PublicKey
	// Logs whose rows are counted as unsealed where the chain knows none of them.
	Logs []string
	// Mutable names the log whose rows may be completed.
	Mutable string
	// Progress is told the rows that were read; may be nil.
	Progress func(rows int64)
}

// Verify reads all of the chain, and all rows.
func Verify(ctx context.Context, source Source, options Options) (Report, error) {
	v := &verifier{source: source, options: options, last: map[string]Position{}, gone: map[string]int64{}, said: map[string]int64{},
		pending: map[uuid.UUID]Problem{}, hashes: map[int64]Hash{}}
	v.report = Report{Problems: []Problem{}, Unsealed: map[string]int64{}}
	for _, log := range options.Logs {
		v.last[log] = Start
	}
	for _, c := range options.Checkpoints {
		v.hashes[c.N] = Hash{}
	}
	if err := source.Purges(ctx, v.readPurge); err != nil {
		return v.report, err
	}
	if err := source.Links(ctx, func(link Link, leaves []byte) error { return v.link(ctx, link, leaves) }); err != nil {
		return v.report, err
	}
	if err := v.end(ctx); err != nil {
		return v.report, err
	}
	v.report.OK = v.report.Found == 0
	return v.report, nil
}

type verifier struct {
	source  Source
	options Options
	report  Report

	previous Link
	purges   []Entry
	last     map[string]Position // by log
	// Rows of the log that does not change that are gone, and that purges speak of.
	gone, said map[string]int64
	// Rows that are not where they were sealed, until a later seal has them.
	pending map[uuid.UUID]Problem
	hashes  map[int64]Hash // of the seals that checkpoints speak of
	read    int64
}

func (v *verifier) problem(p Problem) {
	v.report.Found++
	if len(v.report.Problems) < MaxProblems {
		v.report.Problems = append(v.report.Problems, p)
	}
}

// readPurge notes the purges before anything is looked for: they come after what
// they excuse. One that is not what it was is a problem when its turn comes.
func (v *verifier) readPurge(link Link) error {
	if e, err := link.Entry(Link{}); e.Kind == KindPurge && e.Before != nil {
		_ = err // of its place, of which nothing is known here
		v.purges = append(v.purges, e)
	}
	return nil
}

// purged is whether a purge later than the entry may have deleted a row of a time.
func (v *verifier) purged(e Entry, at time.Time) bool {
	for i := len(v.purges) - 1; i >= 0 && v.purges[i].N > e.N; i-- {
		if v.purges[i].Log == e.Log && at.Before(*v.purges[i].Before) {
			return true
		}
	}
	return false
}

func (v *verifier) link(ctx context.Context, link Link, stored []byte) error {
	v.report.Seals++
	if link.N != v.previous.N+1 {
		v.problem(Problem{Kind: SealMissing, Seal: v.previous.N + 1, Detail: fmt.Sprintf("the chain goes on with seal %d", link.N)})
	}
	entry, err := link.Entry(v.previous)
	if err != nil && link.N == v.previous.N+1 {
		v.problem(Problem{Kind: SealChanged, Seal: link.N, Detail: err.Error()})
	}
	v.previous = link
	if _, ok := v.hashes[link.N]; ok {
		v.hashes[link.N] = link.Hash
	}
	switch {
	case entry.Kind == KindPurge && entry.Before != nil:
		v.report.PurgeSeals++
		v.said[entry.Log] += entry.Rows
		return nil
	case entry.Kind == KindRows && entry.Last != nil && entry.Leaves != nil && entry.Newest != nil:
		return v.rows(ctx, entry, stored)
	default:
		return nil // said above
	}
}

// rows holds the rows of an entry against its leaves.
func (v *verifier) rows(ctx context.Context, e Entry, stored []byte) error {
	after, ok := v.last[e.Log]
	if !ok {
		after = Start
	}
	v.last[e.Log] = *e.Last
	var leaves Leaves
	if stored == nil {
		if !v.purged(e, *e.Newest) {
			v.problem(Problem{Kind: LeavesMissing, Seal: e.N, Log: e.Log})
		}
		v.gone[e.Log] += e.Rows
		v.report.Purged += e.Rows
	} else {
		var err error
		if leaves, err = ParseLeaves(stored); err != nil || Digest(stored) != *e.Leaves {
			v.problem(Problem{Kind: LeavesChanged, Seal: e.N, Log: e.Log})
			return nil
		}
	}
	places := map[uuid.UUID]int{}
	for i, leaf := range leaves {
		places[leaf.ID] = i
	}
	i := 0 // the next leaf
	err := v.source.Rows(ctx, e.Log, e.Columns, after, *e.Last, func(row Leaf) error {
		if v.read++; v.options.Progress != nil && v.read%10_000 == 0 {
			v.options.Progress(v.read)
		}
		place, ok := places[row.ID]
		if !ok || place < i {
			v.problem(rowProblem(RowAdded, e, row))
			return nil
		}
		for ; i < place; i++ {
			v.missing(e, leaves[i])
		}
		i++
		v.supersede(row.ID)
		if leaves[place].Hash != row.Hash {
			v.problem(rowProblem(RowChanged, e, row))
		} else {
			v.report.Rows++
		}
		return nil
	})
	for ; i < len(leaves); i++ {
		v.missing(e, leaves[i])
	}
	return err
}

// supersede settles that an earlier version of the row is gone: this one is sealed.
func (v *verifier) supersede(id uuid.UUID) {
	if _, ok := v.pending[id]; ok {
		v.report.Superseded++
		delete(v.pending, id)
	}
}

func rowProblem(kind string, e Entry, row Leaf) Problem {
	return Problem{Kind: kind, Seal: e.N, Log: e.Log, Row: &row.ID, Time: &row.Time}
}

func (v *verifier) missing(e Entry, leaf Leaf) {
	v.supersede(leaf.ID)
	switch {
	case v.purged(e, leaf.Time):
		v.gone[e.Log]++
		v.report.Purged++
	case e.Log == v.options.Mutable:
		v.pending[leaf.ID] = rowProblem(RowMissing, e, leaf)
	default:
		v.problem(rowProblem(RowMissing, e, leaf))
	}
}

// end settles what the end of the chain leaves open.
func (v *verifier) end(ctx context.Context) error {
	for log, last := range v.last {
		unsealed, err := v.source.Unsealed(ctx, log, last)
		if err != nil {
			return err
		}
		v.report.Unsealed[log] = unsealed
	}
	if len(v.pending) > 0 {
		ids := slices.Collect(maps.Keys(v.pending))
		rewritten, err := v.source.Rewritten(ctx, v.options.Mutable, v.last[v.options.Mutable], ids)
		if err != nil {
			return err
		}
		for _, id := range rewritten {
			v.supersede(id)
		}
		left := slices.SortedFunc(maps.Values(v.pending), func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Seal, b.Seal), bytes.Compare(a.Row[:], b.Row[:]))
		})
		for _, p := range left {
			v.problem(p)
		}
		slices.SortStableFunc(v.report.Problems, func(a, b Problem) int { return cmp.Compare(a.Seal, b.Seal) })
	}
	for _, log := range v.options.Logs {
		// How often a connection was sealed before it was purged is not known.
		if log != v.options.Mutable && v.said[log] != v.gone[log] {
			v.problem(Problem{Kind: PurgesDiffer, Log: log, Detail: fmt.Sprintf("purges tell of %d rows, and %d are gone", v.said[log], v.gone[log])})
		}
	}
	v.checkpoints()
	return nil
}

func (v *verifier) checkpoints() {
	for _, line := range v.options.BadLines {
		if !line.Torn {
			v.problem(Problem{Kind: BadCheckpoint, Detail: fmt.Sprintf("line %d is none: %s", line.N, line.Err)})
		}
	}
	seen := map[string]bool{}
	for _, c := range v.options.Checkpoints {
		// Of the database and of the file, it is one; one that was changed is another,
		// though it still has its signature.
		whole := fmt.Sprintf("%s%x %x", c.message(), c.PublicKey, c.Signature)
		if seen[whole] {
			continue
		}
		seen[whole] = true
		if err := c.Verify(v.options.Key); err != nil {
			v.problem(Problem{Kind: BadCheckpoint, Seal: c.N, Detail: err.Error()})
			continue
		}
		switch have := v.hashes[c.N]; {
		case c.N > v.previous.N:
			v.problem(Problem{Kind: TailCut, Seal: c.N, Detail: fmt.Sprintf("the chain ends with seal %d; that of %s has %d", v.previous.N, c.At.Format(time.RFC3339), c.N)})
		case have != c.Hash:
			v.problem(Problem{Kind: HistoryChanged, Seal: c.N, Detail: "this seal, or one before it, is not that of " + c.At.Format(time.RFC3339)})
		default:
			v.report.Checkpoints++
			v.report.CoveredTo = max(v.report.CoveredTo, c.N)
		}
	}
	if v.options.Key != nil && v.report.Checkpoints == 0 {
		v.problem(Problem{Kind: NoCheckpoint, Detail: "no checkpoint of the key agrees with the chain"})
	}
}
