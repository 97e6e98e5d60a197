package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// Peer is what OPA's SQL target makes of a construct, and how its SQL compares with
// full evaluation.
type Peer struct {
	SQL      string            // its WHERE clause, or one of the two below; empty where there is none
	Refuses  string            // its message
	Crashes  string            // the panic's value
	Moment   bool              // its SQL has the time, or random numbers, of when it was made
	Verdicts map[string]string // on the SQL, by convention
}

// What stands in the place of a WHERE clause.
const (
	PeerAll  = "no condition: all rows"
	PeerNone = "no rows"
)

// PeerExact is the verdict on SQL that selects what OPA allows.
const PeerExact = "exact"

// peerFails begins the verdict on SQL that PostgreSQL does not run.
const peerFails = "fails: "

// PeerFails is the verdict on SQL that PostgreSQL refuses with a message.
func PeerFails(message string) string { return peerFails + message }

// peerUnjudged begins the verdict on SQL of a policy that can't be evaluated.
const peerUnjudged = "not compared: "

// PeerUnjudged is the verdict on SQL of a policy that is not evaluated in full, since
// it is refused before that.
func PeerUnjudged(message string) string { return peerUnjudged + message }

// PeerWrong is the verdict on SQL that selects other rows than OPA allows.
func PeerWrong(leaked, lost int) string {
	switch {
	case lost == 0:
		return "leaks " + countRows(leaked)
	case leaked == 0:
		return "loses " + countRows(lost)
	default:
		return fmt.Sprintf("leaks %d and loses %s", leaked, countRows(lost))
	}
}

func countRows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// Text is the section opa of a conformance file.
func (p Peer) Text() string {
	switch {
	case p.Refuses != "":
		return "refuses: " + oneLine(p.Refuses) + "\n"
	case p.Crashes != "":
		return "crashes: " + oneLine(p.Crashes) + "\n"
	case p.Moment:
		return "moment\n"
	}
	text := "sql: " + p.SQL + "\n"
	if all := p.verdict(); all != "" {
		return text + "all: " + all + "\n"
	}
	for _, convention := range Conventions {
		if verdict := p.Verdicts[convention]; verdict != "" {
			text += convention + ": " + oneLine(verdict) + "\n"
		}
	}
	return text
}

// verdict is the one of all conventions, if they have the same.
func (p Peer) verdict() string {
	first := p.Verdicts[Conventions[0]]
	for _, convention := range Conventions {
		if p.Verdicts[convention] != first {
			return ""
		}
	}
	return oneLine(first)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func parsePeer(text string) (p Peer, err error) {
	p.Verdicts = map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "moment":
			p.Moment = true
		case value == "":
			return p, fmt.Errorf("what is %q?", line)
		case key == "sql":
			p.SQL = value
		case key == "refuses":
			p.Refuses = value
		case key == "crashes":
			p.Crashes = value
		case key == "all":
			for _, convention := range Conventions {
				p.Verdicts[convention] = value
			}
		case slices.Contains(Conventions, key):
			p.Verdicts[key] = value
		default:
			return p, fmt.Errorf("what is %q?", line)
		}
	}
	return p, nil
}
