package process

import "sync"

// tailLines is how many lines a [Tail] keeps.
const tailLines = 20

// A Tail keeps the last lines that a plugin printed, as they stand in the log. The
// zero value is ready; it is safe for concurrent use.
type Tail struct {
	mu    sync.Mutex
	lines []string
}

// add is for a nil Tail too.
func (t *Tail) add(line string) {
	if t == nil {
		return
	}
	const enough = 500 // bytes
	if len(line) > enough {
		line = line[:enough] + "…"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == tailLines {
		copy(t.lines, t.lines[1:])
		t.lines = t.lines[:tailLines-1]
	}
	t.lines = append(t.lines, line)
}

// Lines returns the last lines, at most 20, the oldest first.
func (t *Tail) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}
