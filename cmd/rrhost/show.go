package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rrhost/cmd/internal/cli"
	"rrhost/host"
	"rrhost/internal/attach"
	"rrhost/internal/devloop"
)

// showing prints what happens in `rrhost dev`. What it is told is printed by a
// goroutine of its own: a terminal that stands still does not hold requests up.
type showing struct {
	out      io.Writer
	json     bool
	payloads bool

	lines   chan func()
	missed  atomic.Int64 // requests that were not shown
	printer sync.WaitGroup
}

// shownBytes is how much of a payload is shown.
const shownBytes = 4096

func newShowing(out io.Writer, json, payloads bool) *showing {
	s := &showing{out: out, json: json, payloads: payloads, lines: make(chan func(), 1024)}
	s.printer.Go(func() {
		for print := range s.lines {
			print()
			if n := s.missed.Swap(0); n > 0 {
				s.print(map[string]any{"event": "missed", "requests": n}, "%s  … and %d more requests\n", clock(), n)
			}
		}
	})
	return s
}

// close prints what is left. Nothing may be told any more.
func (s *showing) close() {
	close(s.lines)
	s.printer.Wait()
}

// print prints an event. That nobody reads it is no reason to stop.
func (s *showing) print(event any, format string, args ...any) {
	if s.json {
		_ = cli.PrintJSON(s.out, event)
		return
	}
	_, _ = fmt.Fprintf(s.out, format, args...)
}

func clock() string { return time.Now().Format("15:04:05.000") }

// answered shows a request that was answered.
func (s *showing) answered(a host.Answered) {
	print := func() { s.request(a) }
	select {
	case s.lines <- print:
	default:
		s.missed.Add(1)
	}
}

func (s *showing) request(a host.Answered) {
	event := map[string]any{
		"event": "request", "topic": a.Topic, "request_id": a.RequestID, "status": a.Status, "plugin": a.Plugin,
		"ms": milliseconds(a.Took), "handler_ms": milliseconds(a.Handled),
	}
	status := a.Status
	if a.Code != "" {
		event["code"] = a.Code
		if a.Code != a.Status {
			status += " " + a.Code
		}
	}
	text := fmt.Sprintf("%s  %-16s %-13s %8.1f ms  %s  %s\n", clock(), a.Topic, status, milliseconds(a.Took), a.RequestID, a.Plugin)
	if s.payloads {
		request, response := shown(a.Request), shown(a.Response)
		event["request"], event["response"] = request, response
		text += fmt.Sprintf("%14s> %s\n%14s< %s\n", "", cli.Line(request), "", cli.Line(response))
	}
	s.print(event, "%s", text)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func shown(payload []byte) string {
	if len(payload) > shownBytes {
		return fmt.Sprintf("%s… (%d bytes)", payload[:shownBytes], len(payload))
	}
	return string(payload)
}

// build shows a step from an edit to what runs.
func (s *showing) build(e devloop.Event) {
	event := map[string]any{"event": string(e.Step), "plugin": e.Plugin, "ms": milliseconds(e.Took)}
	text := ""
	switch e.Step {
	case devloop.Building:
		text = fmt.Sprintf("building %s", e.Plugin)
	case devloop.Changed:
		text = fmt.Sprintf("%s has changed", e.Plugin)
	case devloop.Built:
		text = fmt.Sprintf("%s is built, in %s", e.Plugin, e.Took.Round(time.Millisecond))
	case devloop.BuildFailed:
		text = fmt.Sprintf("%s does not build (%v) and is not replaced", e.Plugin, e.Err)
	case devloop.Reloaded:
		text = fmt.Sprintf("%s runs, ready in %s", e.Plugin, e.Took.Round(time.Millisecond))
	case devloop.Refused:
		text = fmt.Sprintf("%s cannot be used and does not replace what ran: %s", e.Plugin, cli.Printable(e.Err.Error()))
	}
	if e.Err != nil {
		event["error"] = e.Err.Error()
	}
	text = clock() + "  " + text + "\n"
	if e.Output != "" {
		event["output"] = e.Output
		for line := range strings.Lines(strings.TrimRight(e.Output, "\n")) {
			text += "    " + cli.Printable(strings.TrimRight(line, "\n")) + "\n"
		}
	}
	s.lines <- func() { s.print(event, "%s", text) }
}

// attach shows how to start a plugin that is attached to.
func (s *showing) attach(plugin, path string) {
	s.lines <- func() {
		s.print(map[string]any{"event": "attach", "plugin": plugin, attach.Env: path}, `%s  %s is yours to start, in its folder; requests wait for it:

    %s=%s dlv debug .

`, clock(), plugin, attach.Env, path)
	}
}
