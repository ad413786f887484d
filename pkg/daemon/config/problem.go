package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Place is where a setting was made.
type Place struct {
	Source string // path of a file, or "environment"
	Line   int    // 1 for the first; 0 when it is not known
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.Source
	}
	return fmt.Sprintf("%s:%d", p.Source, p.Line)
}

// Problem is one thing wrong with a configuration.
type Problem struct {
	Place   Place
	Key     string // dotted; "" when the file as a whole is meant
	Message string // what is wrong and what to do
}

func (p Problem) String() string {
	var pieces []string
	for _, piece := range []string{p.Place.String(), p.Key, p.Message} {
		if piece != "" {
			pieces = append(pieces, piece)
		}
	}
	return strings.Join(pieces, ": ")
}

// Error is everything wrong with a configuration that could be found in one
// go, in the order in which the sources are read. Its text has one line for
// each problem.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects while a configuration is read.
type problems []Problem

func (p *problems) add(at Place, key, format string, args ...any) {
	*p = append(*p, Problem{Place: at, Key: key, Message: fmt.Sprintf(format, args...)})
}

// sortFrom puts the problems found since index from, all of one source, into
// the order of its lines; the tables of a parsed file come in random order.
func (p problems) sortFrom(from int) {
	slices.SortStableFunc(p[from:], func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), strings.Compare(a.Key, b.Key))
	})
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &Error{Problems: p}
}
