package verify

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// summary is how a check came out, in a few words.
func (c Check) summary() string {
	rows := fmt.Sprintf("%d rows", c.Rows+c.Made)
	switch c.Status {
	case Differs:
		return fmt.Sprintf("DIFFERS: %s, %d leaked, %d lost", rows, c.Leaked, c.Lost)
	case Exact:
		return fmt.Sprintf("exact, %s, %d allowed", rows, c.Allowed)
	default:
		return string(c.Status) + ": " + c.Error
	}
}

// Text prints the report for people.
func (r *Report) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	rows := 0
	for _, c := range r.Checks {
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.Resource, c.Input, c.summary())
		rows += c.Rows + c.Made
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, c := range r.Checks {
		if c.Example != nil {
			fmt.Fprintf(w, "\n%s, %s: %s", c.Resource, c.Input, c.Example)
		}
	}
	_, err := fmt.Fprintf(w, "\n%d checks, %d rows: %d exact, %d differ, %d refused, %d failed\n",
		len(r.Checks), rows, r.Count(Exact), r.Count(Differs), r.Count(Refused), r.Count(Failed))
	return err
}

// String describes the difference, a part a line.
func (e *Example) String() string {
	var b strings.Builder
	if e.Leaked {
		b.WriteString("a row leaks: the SQL selects it, and OPA does not allow it\n")
	} else {
		b.WriteString("a row is lost: OPA allows it, and the SQL does not select it\n")
	}
	line := func(name, text string) {
		text = strings.TrimSpace(text)
		if text != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", name, strings.ReplaceAll(text, "\n", "\n            "))
		}
	}
	line("row", e.Key)
	if e.Position != nil {
		line("at", e.Position.String())
	}
	line("policy", e.Policy)
	line("input", compact(e.Input))
	line("document", compact(e.Document))
	line("SQL", e.SQL)
	return b.String()
}

func compact(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return b.String()
}

// JSON prints the report as one object.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit prints the report as JUnit's XML: a suite a resource, a case an input. A
// difference is a failure; what is refused or does not run is an error.
func (r *Report) JUnit(w io.Writer) error {
	var all struct {
		XMLName xml.Name      `xml:"testsuites"`
		Suites  []*junitSuite `xml:"testsuite"`
	}
	seconds := func(s float64) string { return fmt.Sprintf("%.3f", s) }
	total := 0.0
	var suite *junitSuite
	for _, c := range r.Checks {
		if suite == nil || suite.Name != c.Resource {
			suite, total = &junitSuite{Name: c.Resource}, 0
			all.Suites = append(all.Suites, suite)
		}
		one := junitCase{Class: "rowfence.verify." + c.Resource, Name: c.Input, Time: seconds(c.Seconds)}
		switch c.Status {
		case Exact:
		case Differs:
			one.Failure = &junitMessage{Message: c.summary(), Type: string(c.Status)}
			if c.Example != nil {
				one.Failure.Text = c.Example.String()
			}
			suite.Failures++
		default:
			one.Error = &junitMessage{Message: c.Error, Type: string(c.Status)}
			suite.Errors++
		}
		total += c.Seconds
		suite.Tests++
		suite.Time = seconds(total)
		suite.Cases = append(suite.Cases, one)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
