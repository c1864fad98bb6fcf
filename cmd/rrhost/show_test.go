package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"rrhost/host"
	"rrhost/internal/devloop"
)

// tell tells of one of everything that `rrhost dev` shows.
func tell(s *showing) {
	s.attach("price", "/run/price")
	s.build(devloop.Event{Plugin: "price", Step: devloop.BuildFailed, Err: errors.New("exit status 1"), Output: "./main.go:1:1: \x1b[31moops\n"})
	s.answered(host.Answered{
		Topic: "price", RequestID: "id", Status: "handler_error", Code: "no_name", Plugin: "price 1", Took: 1500 * time.Microsecond,
		Handled: time.Millisecond, Request: []byte(strings.Repeat("x", shownBytes+1)), Response: []byte("a\x1b[31m"),
	})
	s.close()
}

// TestShownAsJSON: editors and scripts get what a terminal does, a line each.
func TestShownAsJSON(t *testing.T) {
	var out bytes.Buffer
	tell(newShowing(&out, true, true))
	var got []map[string]any
	for dec := json.NewDecoder(&out); dec.More(); {
		var event map[string]any
		if err := dec.Decode(&event); err != nil {
			t.Fatal(err)
		}
		got = append(got, event)
	}
	want := []map[string]any{
		{"event": "attach", "plugin": "price", "RRHOST_ATTACH": "/run/price"},
		{"event": string(devloop.BuildFailed), "plugin": "price", "error": "exit status 1"},
		{"event": "request", "topic": "price", "request_id": "id", "status": "handler_error", "code": "no_name", "plugin": "price 1",
			"ms": 1.5, "handler_ms": 1.0, "request": strings.Repeat("x", shownBytes) + "… (4097 bytes)", "response": "a\x1b[31m"},
	}
	if len(got) != len(want) {
		t.Fatalf("shown are %v", got)
	}
	for i := range want {
		for key, value := range want[i] {
			if got[i][key] != value {
				t.Errorf("%s of event %d is %v, want %v", key, i+1, got[i][key], value)
			}
		}
	}
}

// TestShownToATerminal: payloads only where they are wanted, and nothing that a
// payload or a compiler says does anything to the terminal.
func TestShownToATerminal(t *testing.T) {
	for _, payloads := range []bool{true, false} {
		var out bytes.Buffer
		tell(newShowing(&out, false, payloads))
		if text := out.String(); strings.Contains(text, "xxx") != payloads || strings.Contains(text, "\x1b") || !strings.Contains(text, "RRHOST_ATTACH=/run/price dlv debug .") {
			t.Errorf("with payloads %v, shown is %q", payloads, text)
		}
	}
}
