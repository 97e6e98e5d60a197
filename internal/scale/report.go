package scale

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// String is a line of what was measured.
func (c Cell) String() string {
	return fmt.Sprintf("%-10s %-40s list %s (hand %s, rls %s)  count %s (hand %s, rls %s)  fixed %s  looked %.0f %.0f shown %d", c.Subject, c.Search,
		c.List.Ours, c.List.Hand, c.List.RLS, c.Count.Ours, c.Count.Hand, c.Count.RLS, c.Fixed, c.List.Ours.Looked, c.Count.Ours.Looked, c.Shown)
}

// String is the median and the 99th percentile.
func (f Figure) String() string {
	if f.Over {
		return "> " + short(f.Median)
	}
	if f.Times == 1 {
		return short(f.Median)
	}
	return short(f.Median) + "/" + short(f.High)
}

// short is a number of two or three digits that count.
func short(f float64) string {
	switch {
	case f >= 100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	default:
		return strconv.FormatFloat(f, 'f', 2, 64)
	}
}

// Print writes a table for each subject, in milliseconds.
func (r *Result) Print(w io.Writer) {
	subject := ""
	for _, c := range r.Cells {
		if c.Subject != subject {
			subject = c.Subject
			fmt.Fprintf(w, "\n**%s**, %d audit logs; p50/p99 in ms\n\n", subject, r.Rows)
			fmt.Fprintln(w, "| search | list | count | rows looked at for one shown | by hand: list | count | RLS: list | count | fixed conditions, both |")
			fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", c.Search, c.List.Ours, c.Count.Ours, short(c.lookedForOne()),
			c.List.Hand, c.Count.Hand, c.List.RLS, c.Count.RLS, c.Fixed)
	}
}

// lookedForOne is how many rows the list looked at for one that it shows, or in all
// where it shows none.
func (c Cell) lookedForOne() float64 { return c.List.Ours.Looked / float64(max(c.Shown, 1)) }

// What is expected of the figures.
const (
	handFactor   = 1.2
	fixedFactor  = 100
	growthFactor = 1.5
	// scans is how many rows the statement with fixed conditions looks at where it is
	// said to scan.
	scans = 100_000
)

// A miss is a figure that is not as expected.
type miss struct {
	factor float64
	text   string
}

// verdict says of how many figures an expectation holds, and names the others.
func verdict(w io.Writer, expected string, of int, misses []miss) {
	fmt.Fprintf(w, "\n%s: %d of %d\n", expected, of-len(misses), of)
	slices.SortFunc(misses, func(a, b miss) int { return cmp.Compare(b.factor, a.factor) })
	for _, m := range misses {
		fmt.Fprintf(w, "- %s\n", m.text)
	}
}

// Judge writes whether what is expected holds.
func (r *Result) Judge(w io.Writer) {
	var byHand, ahead, hundred []miss
	figures, scanned := 0, 0
	for _, c := range r.Cells {
		for _, k := range []struct {
			name string
			Compare
		}{{"list", c.List}, {"count", c.Count}} {
			figures++
			what := fmt.Sprintf("%s of %s by %s", k.name, c.Search, c.Subject)
			if f := k.Ours.Median / k.Hand.Median; f > handFactor {
				byHand = append(byHand, miss{f, fmt.Sprintf("%s: %.2f times (%s to %s ms)", what, f, short(k.Ours.Median), short(k.Hand.Median))})
			}
			if f := k.Ours.Median / k.RLS.Median; f > 1 {
				ahead = append(ahead, miss{f, fmt.Sprintf("%s: %.2f times (%s to %s ms)", what, f, short(k.Ours.Median), short(k.RLS.Median))})
			}
		}
		if c.Fixed.Over || c.Fixed.Looked >= scans {
			scanned++
			both := max(c.List.Ours.Median, c.Count.Ours.Median) // they run at the same time
			if f := c.Fixed.Median / both; f < fixedFactor {
				more := ""
				if c.Fixed.Over {
					more = "more than "
				}
				hundred = append(hundred, miss{-f, fmt.Sprintf("%s by %s: %s%.0f times (%s ms to %s)", c.Search, c.Subject, more, f, c.Fixed, short(both))})
			}
		}
	}
	verdict(w, fmt.Sprintf("Lists and counts within %.1f times the best SQL by hand", handFactor), figures, byHand)
	verdict(w, "Lists and counts ahead of row-level security", figures, ahead)
	verdict(w, fmt.Sprintf("Searches %d times ahead of fixed conditions, where those look at %d rows or more", fixedFactor, scans), scanned, hundred)
}

// Grow writes whether the times grew no more than expected from a smaller log.
func (r *Result) Grow(w io.Writer, from *Result) {
	type key struct{ search, subject string }
	before := map[key]Cell{}
	for _, c := range from.Cells {
		before[key{c.Search, c.Subject}] = c
	}
	var misses []miss
	figures := 0
	for _, c := range r.Cells {
		b, ok := before[key{c.Search, c.Subject}]
		if !ok {
			continue
		}
		for _, k := range []struct {
			name     string
			now, was Figure
		}{{"list", c.List.Ours, b.List.Ours}, {"count", c.Count.Ours, b.Count.Ours}} {
			figures++
			if f := k.now.Median / k.was.Median; f > growthFactor {
				misses = append(misses, miss{f, fmt.Sprintf("%s of %s by %s: %.1f times (%s to %s ms; rows looked at %.0f to %.0f)",
					k.name, c.Search, c.Subject, f, short(k.was.Median), short(k.now.Median), k.was.Looked, k.now.Looked)})
			}
		}
	}
	verdict(w, fmt.Sprintf("Lists and counts at most %.1f times those of %d audit logs", growthFactor, from.Rows), figures, misses)
}
