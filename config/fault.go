package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A Fault is one mistake in a configuration. It never holds a secret's text.
type Fault struct {
	Line    int    // in the file, from 1; 0 for a Config written in Go
	Key     string // as in topic[2].timeout, tables and lists counted from 1; empty for a syntax error
	Problem string // what is wrong: `30 is a bare number`
	Want    string // what would be right: `write "30s"`; may be empty
}

// Error is the fault without its line.
func (f Fault) Error() string {
	var b strings.Builder
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Problem)
	if f.Want != "" {
		b.WriteString("; " + f.Want)
	}
	return b.String()
}

// An Error is all that is wrong with one file.
type Error struct {
	File   string
	Faults []Fault // by line
}

// Error prints one fault a line, each as `config.toml:12: key: problem; what
// would be right`.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = e.File + ":" + strconv.Itoa(f.Line) + ": " + f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the faults to errors.As.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Faults))
	for i, f := range e.Faults {
		errs[i] = f
	}
	return errs
}

// faults collects what is wrong. Its lines are nil for a Config written in Go.
type faults struct {
	lines *lines
	list  []Fault
}

// report adds a fault, unless the same place, or one that it is part of, has one
// already: what follows from a mistake is not a second one.
func (f *faults) report(at, problem, want string) {
	for _, g := range f.list {
		if g.Key == at || within(at, g.Key) {
			return
		}
	}
	f.list = append(f.list, Fault{Line: f.lines.of(at), Key: at, Problem: problem, Want: want})
}

// has tells whether at or a part of it is at fault, so that nothing can be said
// about how it goes with others.
func (f *faults) has(at string) bool {
	return slices.ContainsFunc(f.list, func(g Fault) bool { return g.Key == at || within(g.Key, at) || within(at, g.Key) })
}

// sorted returns the faults by line.
func (f *faults) sorted() []Fault {
	slices.SortStableFunc(f.list, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return f.list
}
