// Package lint finds mistakes in a policy and its schema that no compilation shows:
// the schema says something else than the database, and conditions that are the same
// for every row.
package lint

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/rowfence/rowfence/compiler"
)

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // the SQL selects other rows than the policy allows, or fails when it runs
	Warning Severity = "warning" // likely a mistake
	Info    Severity = "info"    // good to know
)

// Check is what was looked at. Its names are stable.
type Check string

// The checks of a schema against a database.
const (
	CheckEncoding  Check = "encoding"
	CheckTable     Check = "table"
	CheckColumn    Check = "column"
	CheckType      Check = "type"
	CheckEnum      Check = "enum"
	CheckArray     Check = "array"
	CheckCollation Check = "collation"
	CheckNullable  Check = "nullable"
	CheckNotNull   Check = "not-null"
	CheckJoin      Check = "join"
	CheckOne       Check = "one"
)

// The checks of a policy against a schema.
const (
	CheckRoot     Check = "root"
	CheckUnknown  Check = "unknown-field"
	CheckPartial  Check = "field-of-some"
	CheckNever    Check = "never-true"
	CheckAlways   Check = "always-true"
	CheckOrder    Check = "order-of-types"
	CheckUnread   Check = "unread-field"
	CheckConstant Check = "never-member"
)

// Finding is something that is wrong, or likely so.
type Finding struct {
	Severity   Severity           `json:"severity"`
	Check      Check              `json:"check"`
	Resource   string             `json:"resource,omitempty"`
	Field      string             `json:"field,omitempty"`
	Position   *compiler.Position `json:"position,omitempty"` // in the policy
	Expression string             `json:"expression,omitempty"`
	Reason     string             `json:"reason"`
	Hint       string             `json:"hint,omitempty"` // a way out
}

// Sort orders findings by severity, then by where they are.
func Sort(list []Finding) {
	rank := map[Severity]int{Error: 0, Warning: 1, Info: 2}
	place := func(f Finding) compiler.Position {
		if f.Position == nil {
			return compiler.Position{}
		}
		return *f.Position
	}
	slices.SortStableFunc(list, func(a, b Finding) int {
		p, q := place(a), place(b)
		return cmp.Or(
			cmp.Compare(rank[a.Severity], rank[b.Severity]),
			cmp.Compare(p.File, q.File), cmp.Compare(p.Row, q.Row), cmp.Compare(p.Col, q.Col),
			cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Reason, b.Reason),
		)
	})
}

// maxNear is how many names a hint offers.
const maxNear = 3

// near are those of the names that may be meant by one that is none of them: at most
// a third of its letters differ, or two are swapped. The nearest come first.
func near(name string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	most := max(1, len([]rune(name))/3)
	var found []candidate
	for _, n := range names {
		d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(n))
		if n != name && (d <= most || d == 2 && sameLetters(name, n)) {
			found = append(found, candidate{n, d})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	found = slices.Compact(found)
	var out []string
	for _, c := range found[:min(len(found), maxNear)] {
		out = append(out, c.name)
	}
	return out
}

func sameLetters(a, b string) bool {
	x, y := []rune(a), []rune(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// didYouMean is a hint for a name that is none of the names; empty where none is near.
func didYouMean(name string, names []string) string {
	list := near(name, names)
	if len(list) == 0 {
		return ""
	}
	return "did you mean " + choice(list) + "?"
}

// maxListed is how many names are written out.
const maxListed = 12

// list writes names out, as a, b, c.
func list(names []string) string {
	if len(names) > maxListed {
		return strings.Join(names[:maxListed], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// choice writes names out as a, b or c.
func choice(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
