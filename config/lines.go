package config

import (
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines knows on which line of a file each key stands. BurntSushi/toml decodes
// but keeps no lines, so they come from a second parser.
type lines struct {
	starts []int          // byte offset at which each line begins
	at     map[string]int // path, as in topic[2].timeout → line
}

// join appends a key to a path, quoting it where TOML has to.
func join(at, name string) string {
	if !bare(name) {
		name = strconv.Quote(name)
	}
	if at == "" {
		return name
	}
	return at + "." + name
}

// element is the path of the i-th element of at, from 0; people count from 1.
func element(at string, i int) string {
	return at + "[" + strconv.Itoa(i+1) + "]"
}

// within tells whether a path lies below another.
func within(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && parent != "" && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

func bare(name string) bool {
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return name != ""
}

// readLines reads where each key of text stands. The error is that of a text
// that is not TOML; its messages quote at most one character of the text.
func readLines(text []byte) (*lines, *Fault) {
	l := &lines{starts: []int{0}, at: map[string]int{}}
	for i, c := range text {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	var p unstable.Parser
	p.Reset(text)
	table, count := "", map[string]int{}
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = l.header(e, count)
		case unstable.KeyValue:
			l.keyValue(table, e)
		}
	}
	if err := p.Error(); err != nil {
		f := &Fault{Line: l.lineAt(len(text)), Problem: err.Error()}
		var at *unstable.ParserError
		if errors.As(err, &at) {
			f.Line = l.lineAt(int(p.Range(at.Highlight).Offset))
		}
		if strings.Contains(f.Problem, "start of value") || strings.Contains(f.Problem, "keyword") || strings.Contains(f.Problem, "must be quoted") {
			f.Want = "write text in quotes"
		}
		return nil, f
	}
	return l, nil
}

// header notes the path of a [table] or [[table]] and returns it. count holds
// how many tables each [[table]] has so far.
func (l *lines) header(e *unstable.Node, count map[string]int) string {
	path := ""
	for it := e.Key(); it.Next(); {
		k := it.Node()
		path = join(path, string(k.Data))
		l.note(path, int(k.Raw.Offset))
		switch {
		case it.IsLast() && e.Kind == unstable.ArrayTable:
			count[path]++
			fallthrough
		case count[path] > 0:
			path = element(path, count[path]-1)
			l.note(path, int(k.Raw.Offset))
		}
	}
	return path
}

func (l *lines) keyValue(path string, e *unstable.Node) {
	offset := 0
	for it := e.Key(); it.Next(); {
		k := it.Node()
		path, offset = join(path, string(k.Data)), int(k.Raw.Offset)
		l.note(path, offset)
	}
	l.value(path, offset, e.Value())
}

// value notes what is inside a list or an inline table. offset is that of what
// came before, for parts whose own the parser does not tell.
func (l *lines) value(path string, offset int, v *unstable.Node) {
	switch v.Kind {
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			n := it.Node()
			if n.Raw.Length > 0 {
				offset = int(n.Raw.Offset)
			}
			l.note(element(path, i), offset)
			l.value(element(path, i), offset, n)
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			l.keyValue(path, it.Node())
		}
	}
}

func (l *lines) note(path string, offset int) {
	if _, ok := l.at[path]; !ok {
		l.at[path] = l.lineAt(offset)
	}
}

func (l *lines) lineAt(offset int) int {
	return sort.SearchInts(l.starts, offset+1)
}

// of returns the line of a path, or of the nearest that it is part of; the
// first line if there is none, and 0 where there is no file.
func (l *lines) of(path string) int {
	if l == nil {
		return 0
	}
	for path != "" {
		if line, ok := l.at[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1
}

// alias makes the lines of what stands below one path known below another too.
func (l *lines) alias(written, meant string) {
	if l == nil {
		return
	}
	found := map[string]int{meant: l.of(written)}
	for path, line := range l.at {
		if within(path, written) {
			found[meant+path[len(written):]] = line
		}
	}
	for path, line := range found {
		l.at[path] = line
	}
}
