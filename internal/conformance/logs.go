package conformance

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// logs are the lines that the host would have logged for one process.
type logs struct {
	mu    sync.Mutex
	lines [][]byte
}

// logger is where they come from. They go to shown, too, if that is not nil.
func (l *logs) logger(shown hclog.SinkAdapter) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: l, JSONFormat: true, Level: hclog.Trace})
	if shown != nil {
		logger.RegisterSink(shown)
	}
	return logger
}

// Write takes one line: hclog writes no less and no more at once.
func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, bytes.Clone(line))
	return len(line), nil
}

func (l *logs) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// contain tells whether text stands in any line.
func (l *logs) contain(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if bytes.Contains(line, []byte(text)) {
			return true
		}
	}
	return false
}

// find returns the first record that is as wanted.
func (l *logs) find(wanted func(record map[string]any) bool) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		var record map[string]any
		if json.Unmarshal(line, &record) == nil && wanted(record) { // hclog writes JSON
			return record
		}
	}
	return nil
}
