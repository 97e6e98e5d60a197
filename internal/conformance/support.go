package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Counts are how many constructs are what: of ours, and of OPA's SQL target.
type Counts struct {
	Constructs                                                         int
	Exact, Partly, Refused                                             int
	OPAExact, OPAPartly, OPAWrong, OPAFails, OPARefuses, OPAUncompared int
	// Leaking are those of OPA's that select rows which are not allowed, under a
	// convention at least. Crashing are among those that OPA refuses.
	OPALeaking, OPACrashing int
}

// Count counts the constructs of files.
func Count(files []File) (n Counts) {
	for _, f := range files {
		n.Constructs++
		refused := 0
		for _, o := range f.Want {
			if o.Code != "" {
				refused++
			}
		}
		switch refused {
		case 0:
			n.Exact++
		case len(f.Want):
			n.Refused++
		default:
			n.Partly++
		}
		n.countPeer(f.OPA)
	}
	return n
}

func (n *Counts) countPeer(p Peer) {
	exact, leaks, fails := 0, false, false
	for _, convention := range Conventions {
		verdict := p.Verdicts[convention]
		if verdict == PeerExact {
			exact++
		}
		leaks = leaks || strings.HasPrefix(verdict, "leaks")
		fails = fails || strings.HasPrefix(verdict, peerFails)
	}
	switch {
	case p.Moment, strings.HasPrefix(p.Verdicts[Conventions[0]], peerUnjudged):
		n.OPAUncompared++
	case p.SQL == "":
		n.OPARefuses++
	case fails:
		n.OPAFails++
	case exact == len(Conventions):
		n.OPAExact++
	case exact > 0:
		n.OPAPartly++
	default:
		n.OPAWrong++
	}
	if leaks {
		n.OPALeaking++
	}
	if p.Crashes != "" {
		n.OPACrashing++
	}
}

// String is the counts in a sentence.
func (n Counts) String() string {
	return fmt.Sprintf("Of %d constructs, %d are exact, %d exact in part and %d refused; "+
		"OPA's own SQL target is exact on %d, exact in part on %d, wrong on %d, fails when it runs on %d and refuses %d.",
		n.Constructs, n.Exact, n.Partly, n.Refused, n.OPAExact, n.OPAPartly, n.OPAWrong, n.OPAFails, n.OPARefuses)
}

const supportIntro = `# What of Rego becomes SQL

<!-- Made of testdata/conformance by make support. -->

Each construct here is a file of [testdata/conformance](../testdata/conformance), which the tests run on PostgreSQL. **Exact** means: the SQL selects a row exactly when a full OPA evaluation, with the row's document in the place of the unknown, allows it. **Refused** means: it is an error when the policy is compiled, with a code and a place in the policy, and there is no SQL. There is nothing between: no SQL that is nearly right.

A construct is run in many forms, and is exact when all of them are:

- as it is written, and below ` + "`not`" + `, of a helper and in place (but for the few that are whole policies);
- of fields that may be NULL, where the policy sees NULL as ` + "`null`" + `, as another value that the schema names (such as ` + "`\"\"`" + `) and as a missing key;
- of fields that are NOT NULL, which often gives simpler SQL.

Where a form is refused and others are exact, the construct says which. The SQL shown is that of the first form: as it is written, of fields that may be NULL, which the policy sees as ` + "`null`" + `. The fields are those of [schema.yaml](../testdata/conformance/schema.yaml): ` + "`t` and `w` are text, `i` and `s` integers, `f` a float, `n` numeric, `b` and `c` booleans, `u` and `v` uuids, `ts` a timestamp and `ns` one in nanoseconds, `d` a date, `e` an enum, `ip` an inet, `j` is jsonb, `ta` a text[] and `ua` a uuid[]; `t0` is like `t`, and NOT NULL" + `.

**OPA** is the SQL target of OPA %s itself ([v1/rego/compile](https://pkg.go.dev/github.com/open-policy-agent/opa/v1/rego/compile), for PostgreSQL), asked for the same policy with the columns as unknowns and mapped to their names. Its SQL runs on the same 200 rows and is compared in the same way, under each of the three conventions, but only in the first form: it is not asked below ` + "`not`" + `, nor of fields that are NOT NULL, on which more of it would be exact. It leaks a row that it selects and full evaluation does not allow, and loses one that is allowed and not selected. It is told no types, no convention of NULL and no relations, since it has no way to be told; so it is exact in part where it is exact under one convention and not under another. ` + "`make support`" + ` measures all of this again.

`

// Document is docs/rego-support.md: what the files say, for people. It links the codes
// of errors to their document, if there is one.
func Document(files []File, opaVersion string, errorsDocument bool) string {
	var families []string
	byFamily := map[string][]File{}
	for _, f := range files {
		if byFamily[f.Family] == nil {
			families = append(families, f.Family)
		}
		byFamily[f.Family] = append(byFamily[f.Family], f)
	}
	var b strings.Builder
	fmt.Fprintf(&b, supportIntro, opaVersion)
	all := Count(files)
	fmt.Fprintf(&b, "%s", all)
	if all.OPALeaking > 0 {
		fmt.Fprintf(&b, " OPA's SQL leaks rows on %d.", all.OPALeaking)
	}
	if all.OPAUncompared > 0 {
		fmt.Fprintf(&b, " Not compared are %d, such as where OPA puts into its SQL the time, or the random numbers, of when it was made.", all.OPAUncompared)
	}
	if all.OPACrashing > 0 {
		fmt.Fprintf(&b, " OPA crashes on %d of those that are counted as refused.", all.OPACrashing)
	}
	b.WriteString("\n\n## Families\n\n| | constructs | exact | in part | refused | OPA exact | in part | wrong | fails | refuses |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, family := range families {
		writeCounts(&b, fmt.Sprintf("[%s](#%[1]s)", family), Count(byFamily[family]))
	}
	writeCounts(&b, "all", all)
	for _, family := range families {
		fmt.Fprintf(&b, "\n## %s\n\n[All families](#families)\n", family)
		for _, f := range byFamily[family] {
			f.write(&b, errorsDocument)
		}
	}
	return b.String()
}

func writeCounts(b *strings.Builder, name string, n Counts) {
	fmt.Fprintf(b, "| %s |", name)
	for _, count := range []int{n.Constructs, n.Exact, n.Partly, n.Refused, n.OPAExact, n.OPAPartly, n.OPAWrong, n.OPAFails, n.OPARefuses} {
		fmt.Fprintf(b, " %d |", count)
	}
	b.WriteString("\n")
}

// write writes what a construct is, its status, and its Rego and SQL.
func (f File) write(b *strings.Builder, errorsDocument bool) {
	title := strings.TrimSuffix(escape(f.Title), ".")
	fmt.Fprintf(b, "\n**[%s](../testdata/conformance/%s/%s.txtar)**: %s. OPA: %s\n\n", title, f.Family, f.Name, f.status(errorsDocument), f.OPA.status())
	writeBlock(b, "rego", f.rego())
	var sql string
	if f.Want[0].Code == "" {
		sql = f.SQL
	}
	if strings.HasPrefix(f.OPA.SQL, "WHERE ") {
		sql += "-- OPA: " + shorten(f.OPA.SQL) + "\n"
	}
	if sql != "" {
		writeBlock(b, "sql", sql)
	}
}

// writeBlock writes a block of code, with a fence that its text does not have.
func writeBlock(b *strings.Builder, language, text string) {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	fmt.Fprintf(b, "%s%s\n%s\n%s\n", fence, language, strings.TrimRight(text, "\n"), fence)
}

// status is what the construct is with us.
func (f File) status(errorsDocument bool) string {
	outcome := func(o Outcome) string {
		switch {
		case o.Code == "":
			return "exact"
		case errorsDocument:
			return fmt.Sprintf("refused ([%s](errors.md#%s))", o.Code, strings.ToLower(o.Code))
		default:
			return fmt.Sprintf("refused (%s)", o.Code)
		}
	}
	out := outcome(f.Want[0])
	if code := f.Want[0].Code; code != "" {
		if reason, ok := strings.CutPrefix(strings.TrimSpace(f.SQL), code+": "); ok {
			out += ", " + quote(reason)
		}
	}
	differs := false
	for _, o := range f.Want[1:] {
		if o.Code == f.Want[0].Code && !differs {
			continue
		}
		differs = true
		var where []string
		for _, tag := range o.Tags {
			where = append(where, tagTexts[tag])
		}
		out += "; " + strings.Join(where, " and ") + " " + outcome(o)
	}
	return out
}

var tagTexts = map[string]string{
	"not":      "below `not`",
	"inplace":  "with `not` in front of it",
	"not_null": "of fields that are NOT NULL",
	"null":     "where NULL is `null`",
	"value":    "where NULL is another value",
	"absent":   "where NULL is a missing key",
}

// status is what the construct is with OPA's SQL target.
func (p Peer) status() string {
	switch {
	case p.Refuses != "":
		return "refuses, " + quote(p.Refuses)
	case p.Crashes != "":
		return "crashes, " + quote(p.Crashes)
	case p.Moment:
		return "not compared"
	case p.SQL == "":
		return "not asked yet"
	}
	selects := ""
	switch p.SQL {
	case PeerAll:
		selects = " (selects all rows)"
	case PeerNone:
		selects = " (selects no row)"
	}
	if verdict := p.verdict(); verdict != "" {
		switch message, fails := strings.CutPrefix(verdict, peerFails); {
		case fails:
			return "fails when it runs, " + quote(message)
		case strings.HasPrefix(verdict, peerUnjudged):
			return "not compared"
		case verdict == PeerExact:
			return verdict + selects
		default:
			return "wrong, " + verdict + selects
		}
	}
	var verdicts []string // in the order of the conventions
	under := map[string][]string{}
	for _, convention := range Conventions {
		verdict := p.Verdicts[convention]
		if under[verdict] == nil {
			verdicts = append(verdicts, verdict)
		}
		under[verdict] = append(under[verdict], strings.TrimPrefix(tagTexts[convention], "where NULL is "))
	}
	status := "wrong: "
	if under[PeerExact] != nil {
		status = "exact in part: "
	}
	for i, verdict := range verdicts {
		if i > 0 {
			status += "; "
		}
		status += verdict + " where NULL is " + strings.Join(under[verdict], " or ")
	}
	return status + selects
}

// rego is the construct as it is written, without what all policies have.
func (f File) rego() string {
	var b strings.Builder
	for _, own := range f.Own {
		name, value, _ := strings.Cut(own, ": ")
		var compact bytes.Buffer
		if json.Compact(&compact, []byte(value)) == nil {
			value = compact.String()
		}
		fmt.Fprintf(&b, "# %s: %s\n", name, value)
	}
	switch {
	case strings.Contains(f.Allow, "\n"):
		b.WriteString("allow if {\n")
		for line := range strings.Lines(f.Allow) {
			fmt.Fprintf(&b, "\t%s\n", strings.TrimRight(line, "\n"))
		}
		b.WriteString("}\n")
	case strings.Contains(f.Allow, ";"):
		fmt.Fprintf(&b, "allow if { %s }\n", f.Allow)
	case f.Allow != "":
		fmt.Fprintf(&b, "allow if %s\n", f.Allow)
	}
	if f.Rules != "" {
		fmt.Fprintf(&b, "%s\n", strings.Trim(f.Rules, "\n"))
	}
	var names []string
	for name := range f.Modules {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if len(names) > 1 || f.Allow != "" {
			fmt.Fprintf(&b, "# %s\n", name)
		}
		fmt.Fprintf(&b, "%s\n", strings.Trim(f.Modules[name], "\n"))
	}
	return strings.ReplaceAll(b.String(), "\t", "    ")
}

// escape is text that Markdown shows as it is, but for code between backticks.
func escape(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = markdown.Replace(parts[i])
	}
	return strings.Join(parts, "`")
}

var markdown = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, "|", `\|`)

// longest is how many characters of a message, or of OPA's SQL, are shown.
const longest = 200

func shorten(text string) string {
	if utf8.RuneCountInString(text) <= longest {
		return text
	}
	return string([]rune(text)[:longest]) + "…"
}

// quote is a message as code.
func quote(message string) string {
	message = shorten(message)
	fence := "`"
	for strings.Contains(message, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		message = " " + message + " "
	}
	return fence + message + fence
}
