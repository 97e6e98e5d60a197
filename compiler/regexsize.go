package compiler

import (
	"fmt"
	"regexp/syntax"
)

// PostgreSQL refuses an expression at run time whose automaton is too large, at about
// a million arcs, and takes seconds to compile one far below that.
const (
	maxRegexArcs        = 150_000
	maxRegexConstraints = 40 // anchors and word boundaries, repetitions written out
	maxRegexWays        = 64 // to pass anchors that may stand at one place
	maxRegexDepth       = 50
	maxRegexRepeat      = 255   // PostgreSQL's
	maxRegexText        = 20000 // bytes
)

// automaton is the size of an expression as an automaton: how many of its characters a
// match may begin and end with, and how many pairs of them may follow each other.
type automaton struct {
	first, last, pairs int
	constraints        int  // anchors
	empty              bool // it matches the empty text
	// through is in how many ways anchors can be passed without a character, when empty;
	// in and out before the first and behind the last character; most anywhere.
	through, in, out, most int
}

// checkRegexSize refuses an expression that PostgreSQL might not compile.
func checkRegexSize(re *syntax.Regexp, length int) {
	classes := map[string]int{}
	a := automatonOf(re, classes)
	boundaries := 1
	for _, n := range classes {
		boundaries += n
	}
	// classes cut the characters into as many kinds as there are ways to be in some
	// of them and not in others; an arc is needed for each
	kinds := boundaries
	if len(classes) < 10 {
		kinds = min(kinds, 1<<len(classes))
	}
	if bounded(a.pairs)*kinds > maxRegexArcs || a.constraints > maxRegexConstraints || a.most > maxRegexWays || length > maxRegexText {
		refuse(CodeBuiltin, "a pattern this large has no translation", "write a shorter pattern, with smaller repetitions")
	}
}

// bounded keeps numbers from overflowing that are too large already.
func bounded(n int) int { return min(n, maxRegexArcs+1) }

// automatonOf is the size of re; it notes its classes, and how many boundaries each has.
func automatonOf(re *syntax.Regexp, classes map[string]int) automaton {
	one := automaton{first: 1, last: 1, in: 1, out: 1, most: 1}
	subs := make([]automaton, len(re.Sub))
	for i, sub := range re.Sub {
		subs[i] = automatonOf(sub, classes)
	}
	switch re.Op {
	case syntax.OpLiteral:
		var all automaton
		for i, r := range re.Rune {
			ranges := 2
			if re.Flags&syntax.FoldCase != 0 {
				ranges = len(folds(r))
			}
			classes[string(r)] = max(classes[string(r)], ranges)
			if i == 0 {
				all = one
			} else {
				all = all.then(one)
			}
		}
		return all
	case syntax.OpCharClass:
		classes[fmt.Sprint(re.Rune)] = len(re.Rune)
		return one
	case syntax.OpAnyCharNotNL:
		classes["\n"] = 2
		return one
	case syntax.OpAnyChar:
		return one
	case syntax.OpCapture:
		return subs[0]
	case syntax.OpStar, syntax.OpPlus:
		subs[0].checkLoop()
		if re.Op == syntax.OpStar {
			return subs[0].repeated().optional()
		}
		return subs[0].repeated()
	case syntax.OpQuest:
		return subs[0].optional()
	case syntax.OpRepeat:
		subs[0].checkLoop()
		return subs[0].times(re.Min, re.Max)
	case syntax.OpConcat:
		all := nothing
		for _, sub := range subs {
			all = all.then(sub)
		}
		return all
	case syntax.OpAlternate:
		var all automaton
		for _, sub := range subs {
			all.first, all.last = bounded(all.first+sub.first), bounded(all.last+sub.last)
			all.pairs, all.constraints = bounded(all.pairs+sub.pairs), bounded(all.constraints+sub.constraints)
			all.empty = all.empty || sub.empty
			all.through, all.in, all.out = bounded(all.through+sub.through), bounded(all.in+sub.in), bounded(all.out+sub.out)
			all.most = max(all.most, sub.most, all.in, all.out)
		}
		return all
	case syntax.OpEmptyMatch:
		return nothing
	case syntax.OpBeginText, syntax.OpEndText:
		return anchor(1)
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		classes[wordCharacter] = 8
	}
	return anchor(2)
}

var nothing = automaton{empty: true, through: 1, in: 1, out: 1, most: 1}

func anchor(ways int) automaton {
	return automaton{first: 1, last: 1, constraints: 1, empty: true, through: ways, in: ways, out: ways, most: ways}
}

// then is one behind the other.
func (a automaton) then(b automaton) automaton {
	c := automaton{
		first: a.first, last: b.last, in: a.in, out: b.out,
		through:     bounded(a.through * b.through),
		most:        max(a.most, b.most, bounded(a.out*b.in)),
		pairs:       bounded(a.pairs + b.pairs + a.last*b.first),
		constraints: bounded(a.constraints + b.constraints),
		empty:       a.empty && b.empty,
	}
	if a.empty {
		c.first, c.in = bounded(c.first+b.first), bounded(a.through*b.in)
	}
	if b.empty {
		c.last, c.out = bounded(c.last+a.last), bounded(a.out*b.through)
	}
	return c
}

// checkLoop refuses a repeated anchor that may stand behind itself: PostgreSQL takes
// exponential time to untangle a few of them.
func (a automaton) checkLoop() {
	if a.constraints > 0 && a.empty {
		refuse(CodeBuiltin, "a pattern that repeats an anchor has no translation", "put the anchor outside of the repetition")
	}
}

// repeated is any number of times.
func (a automaton) repeated() automaton {
	a.pairs = bounded(a.pairs + a.last*a.first)
	a.most = max(a.most, bounded(a.out*a.in))
	return a
}

// optional is perhaps.
func (a automaton) optional() automaton {
	a.empty, a.through = true, bounded(a.through+1)
	a.most = max(a.most, a.through)
	return a
}

// times is from low to high times; high is -1 where there is no end.
func (a automaton) times(low, high int) automaton {
	all := nothing
	for range min(low, maxRegexRepeat) {
		all = all.then(a)
	}
	a = a.optional()
	if high < 0 {
		return all.then(a.repeated())
	}
	for range min(high, maxRegexRepeat) - min(low, maxRegexRepeat) {
		all = all.then(a)
	}
	return all
}
