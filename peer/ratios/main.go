// Ratios reads the output of the benchmarks of the engine, of one run, and prints what
// they say of each other as a table: the costs of Rowfence, and how many of them OPA's
// take. Times of other runs, or other machines, are not to be compared with them.
//
//	go test -bench . -benchmem ./... | go run ./ratios
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	runs, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	runs.print(os.Stdout)
}

// results are the values of benchmarks by their names, and their units. Of several runs
// of one, the one that took the least time counts: others were disturbed.
type results map[string]map[string]float64

// cost is the unit of what is compared.
const cost = "cpu-ns/op"

var suffix = regexp.MustCompile(`(-\d+)?$`) // GOMAXPROCS, where it is not 1

func read(r io.Reader) (results, error) {
	out := results{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		values := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("reading %q: %w", lines.Text(), err)
			}
			values[fields[i+1]] = v
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if !strings.HasPrefix(name, "Parallel/") {
			name = suffix.ReplaceAllString(name, "")
		}
		if values[cost] == 0 { // throughput is the clock's
			values[cost] = values["ns/op"]
		}
		if have, ok := out[name]; !ok || values[cost] < have[cost] {
			out[name] = values
		}
	}
	return out, lines.Err()
}

func (r results) time(name string) (float64, bool) {
	v, ok := r[name]
	return v[cost], ok
}

// cost is what a benchmark took.
func (r results) cost(name string) string {
	ns, ok := r.time(name)
	if !ok {
		return "–"
	}
	return duration(ns)
}

func duration(ns float64) string {
	switch {
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	default:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	}
}

// ratio is how many times of b's time a takes.
func (r results) ratio(a, b string) string {
	x, okX := r.time(a)
	y, okY := r.time(b)
	if !okX || !okY {
		return "–"
	}
	return fmt.Sprintf("%.3g", x/y)
}

func (r results) allocs(name string) string {
	if _, ok := r[name]; !ok {
		return "–"
	}
	return strconv.FormatFloat(r[name]["allocs/op"], 'f', -1, 64)
}

func (r results) print(w io.Writer) {
	row := func(cells ...string) { fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |") }
	head := func(cells ...string) {
		fmt.Fprintln(w)
		row(cells...)
		row(slices.Repeat([]string{"---"}, len(cells))...)
	}
	head("policy, resource, organizations", "warm", "allocations", "OPA's SQL ÷ warm",
		"new subject", "partial ÷ new subject", "shallow ÷ new subject", "cold", "cold ÷ partial", "cold ÷ shallow")
	settings := []string{"policy=three"}
	for _, resource := range []string{"audit_log", "document"} {
		for _, orgs := range []string{"1", "10", "100", "1000", "1000-unlike"} {
			settings = append(settings, "policy=bundled/resource="+resource+"/orgs="+orgs)
		}
	}
	for _, s := range settings {
		way := func(way string) string { return "Engine/" + s + "/way=" + way }
		label := strings.NewReplacer("policy=", "", "resource=", "", "orgs=", "", "/", ", ").Replace(s)
		row(label, r.cost(way("warm")), r.allocs(way("warm")), r.ratio(way("opa"), way("warm")),
			r.cost(way("subject")), r.ratio(way("partial"), way("subject")), r.ratio(way("shallow"), way("subject")),
			r.cost(way("cold")), r.ratio(way("cold"), way("partial")), r.ratio(way("cold"), way("shallow")))
	}
	head("reading a subject, organizations", "NewSubject", "JSON to OPA's values", "times")
	for _, n := range []string{"1", "10", "100", "1000"} {
		ours, opas := "Subject/orgs="+n+"/way=ours", "Subject/orgs="+n+"/way=opa"
		row(n, r.cost(ours), r.cost(opas), r.ratio(ours, opas))
	}
	head("two-way helpers joined by and", "ours", "bytes of SQL", "OPA's SQL", "bytes of SQL")
	for _, n := range []string{"5", "10", "20", "40"} {
		ours, opas := "Helpers/n="+n+"/way=cold", "Helpers/n="+n+"/way=opa"
		row(n, r.cost(ours), r.bytes(ours), r.cost(opas), r.bytes(opas))
	}
	head("rules, of which one applies", "ours", "times one rule", "OPA's SQL", "times one rule")
	for _, n := range []string{"1", "1000"} {
		ours, opas := "Indexed/rules="+n+"/way=cold", "Indexed/rules="+n+"/way=opa"
		row(n, r.cost(ours), r.ratio(ours, "Indexed/rules=1/way=cold"), r.cost(opas), r.ratio(opas, "Indexed/rules=1/way=opa"))
	}
	head("1,000 subjects, drawn with a skew", "a filter", "times ours")
	for _, way := range []string{"engine", "partial", "opa"} {
		row(way, r.cost("Skew/way="+way), r.ratio("Skew/way="+way, "Skew/way=engine"))
	}
	head("at once, on as many cores", "1", "2", "throughput, times")
	for _, way := range []string{"warm", "subject"} {
		one, two := "Parallel/way="+way, "Parallel/way="+way+"-2"
		row(way, r.cost(one), r.cost(two), r.ratio(one, two))
	}
	if million, ok := r["Million"]; ok {
		fmt.Fprintf(w, "\nDistinct subjects, one after the other: %s each; %.1f MiB of heap are held, and the bound of the cache is %.0f MiB.\n",
			duration(million[cost]), million["heap-MiB"], million["bound-MiB"])
	}
}

func (r results) bytes(name string) string {
	if _, ok := r[name]; !ok {
		return "–"
	}
	return strconv.FormatFloat(r[name]["sql-bytes"], 'f', -1, 64)
}
