package sdk

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// TestPythonCalculate: the example is the Go plugin's like.
func TestPythonCalculate(t *testing.T) {
	p := pyStart(t, "examples/calculate", nil)
	tests := []struct{ in, want string }{
		{`{"a":10,"b":5}`, `{"result":15}`},
		{`{"a":10,"b":5,"op":"sub"}`, `{"result":5}`},
		{`{"a":10,"b":5,"op":"mul"}`, `{"result":50}`},
		{`{"a":10,"b":5,"op":"div"}`, `{"result":2}`},
		{`{"a":10,"b":4,"op":"div"}`, `{"result":2.5}`},
		{`{"a":-0.5,"b":0,"note":"ignored"}`, `{"result":-0.5}`},
		{`{"a":10,"b":0,"op":"div"}`, "handler_error division_by_zero"},
		{`{"a":1e300,"b":1e300,"op":"mul"}`, "handler_error overflow"},
		{`{"a":1,"b":2,"op":"pow"}`, "handler_error unknown_op"},
		{`{"a":1}`, "handler_error missing_operand"},
		{`{"a":null,"b":1}`, "handler_error missing_operand"},
		{`{"a":"1","b":2}`, "invalid_payload invalid_payload"},
		{`{"a":1e999,"b":2}`, "invalid_payload invalid_payload"},
		{`[1,2]`, "invalid_payload invalid_payload"},
		{`1 + 2`, "invalid_payload invalid_payload"},
	}
	for _, tt := range tests {
		res := p.do("calculate", tt.in, 30*time.Second)
		got := string(res.Payload)
		if res.Err != nil {
			got = res.Err.Status + " " + res.Err.Code
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s (%+v)", tt.in, got, tt.want, res)
		}
	}
}

// TestPythonConformance holds the plugin that every SDK ships against the host's
// end of the protocol.
func TestPythonConformance(t *testing.T) {
	p := pyStart(t, "conformance", map[string]any{"greeting": "hello"})

	about := p.Instance().About()
	if !strings.HasPrefix(about.SDK, "python ") || len(about.Handlers) != 10 || about.ConfigSchema == nil {
		t.Errorf("it says of itself: %+v", about)
	}
	for name, tt := range map[string]struct{ in, want string }{
		"echo":     {"\x00 no JSON", "\x00 no JSON"},
		"typed":    {`{"name":"a","count":3}`, `{"name":"a","count":3}`},
		"settings": {`{}`, `{"greeting":"hello"}`},
		"slow":     {`{"ms":1}`, `{"slept_ms":1}`},
		"chatty":   {`{"lines":20,"size":100000}`, `{"lines":20}`},
	} {
		if res := p.do(name, tt.in, 30*time.Second); res.Err != nil || string(res.Payload) != tt.want {
			t.Errorf("%s: %s, %v", name, res.Payload, res.Err)
		}
	}
	for name, tt := range map[string]struct{ in, status, code, message string }{
		"fail":   {`{"code":"c","message":"m","details":{"a":1}}`, "handler_error", "c", "m"},
		"panic":  {`{"text":"payload"}`, "handler_error", "panic", "the handler panicked"},
		"typed":  {`{"count":"x"}`, "invalid_payload", "invalid_payload", "count"},
		"huge":   {`{"bytes":1000000}`, "reply_too_large", "reply_too_large", "1000002"},
		"nobody": {`{}`, "no_handler", "no_handler", `"nobody"`},
	} {
		res := p.do(name, tt.in, 30*time.Second)
		if res.Err == nil || res.Err.Status != tt.status || res.Err.Code != tt.code || !strings.Contains(res.Err.Message, tt.message) {
			t.Errorf("%s: %+v", name, res)
		}
		if name == "fail" && res.Err != nil && string(res.Err.Details) != `{"a":1}` {
			t.Errorf("details: %s", res.Err.Details)
		}
	}
	if res := p.do("slow", `{"ms":60000}`, 100*time.Millisecond); res.Err == nil || res.Err.Status != "deadline_exceeded" {
		t.Errorf("past its deadline: %+v", res)
	}

	// Many at once: each gets its own answer.
	var wait sync.WaitGroup
	for n := range 2000 {
		want := fmt.Sprint("payload ", n)
		wait.Add(1)
		p.Instance().Start(pyRequest("echo", want, 30*time.Second), func(r stream.Result) {
			if string(r.Payload) != want {
				t.Errorf("%+v, want %s", r, want)
			}
			wait.Done()
		})
	}
	wait.Wait()

	log := p.log.String()
	if strings.Contains(log, "secret-payload") || !strings.Contains(log, "handler panicked") || !strings.Contains(log, "slow was cancelled") {
		t.Errorf("the log:\n%s", log)
	}
	p.stop()
	if log := p.log.String(); strings.Contains(log, "Traceback") || strings.Contains(log, "Exception ignored") {
		t.Errorf("it did not end well:\n%s", log)
	}
}

func TestPythonRefusesSettings(t *testing.T) {
	folder := pyFolder(t, t.TempDir(), "conformance")
	_, err := process.Start(t.Context(), pyConfig(t, folder, map[string]any{"greeting": 5}, new(pyLog)))
	var refused *process.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "greeting") {
		t.Errorf("settings of the wrong type: %v", err)
	}
}

func TestPythonExitIsACrash(t *testing.T) {
	p := pyStart(t, "conformance", nil)
	if res := p.do("exit", `{"code":7}`, 30*time.Second); !res.Crashed || res.NotStarted {
		t.Errorf("%+v", res)
	}
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "code 7") {
		t.Errorf("it ended with %v", err)
	}
}

// TestPythonSIGTERM: what runs is finished.
func TestPythonSIGTERM(t *testing.T) {
	p := pyStart(t, "conformance", nil)
	results := make(chan stream.Result, 8)
	for range cap(results) {
		p.Instance().Start(pyRequest("slow", `{"ms":500}`, 30*time.Second), func(r stream.Result) { results <- r })
	}
	p.do("echo", "taken", 30*time.Second)
	if err := syscall.Kill(p.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range cap(results) {
		if r := <-results; r.Err != nil || string(r.Payload) != `{"slept_ms":500}` {
			t.Errorf("%+v", r)
		}
	}
	<-p.Done()
	if err := p.stop(); !errors.Is(err, stream.ErrEnded) {
		t.Errorf("it left with %v", err)
	}
}

const pyTopics = `
[[topic]]
name = "calculate-@"
plugin = "calculate"
[[topic]]
name = "slow-@"
plugin = "conformance"
handler = "slow"
[[topic]]
name = "exit-@"
plugin = "conformance"
handler = "exit"
max_attempts = 1
`

// TestPythonInTheHost: dropped into the plugin directory, asked by rrclient; a
// crash is survived, and what is in flight at the host's end is answered.
func TestPythonInTheHost(t *testing.T) {
	dir := t.TempDir()
	plugins := []string{pyFolder(t, dir, "examples/calculate"), pyFolder(t, dir, "conformance")}
	bin := buildPrograms(t, "./cmd/rrhost", "./cmd/rrclient")
	for _, p := range plugins {
		run(t, dir, nil, filepath.Join(bin, "rrhost"), "plugin", "test", p)
	}

	h := startHost(t, hostSetup{bin: bin, topics: pyTopics, plugins: plugins})
	if out, errs, code := h.rrclient(t, "calculate", `{"a":10,"b":5}`); code != 0 || out != "{\"result\":15}\n" {
		t.Errorf("calculate: %q, %s, exit %d", out, errs, code)
	}
	if _, errs, code := h.rrclient(t, "calculate", `{"a":1,"b":0,"op":"div"}`); code != 4 || !strings.Contains(errs, "division_by_zero") {
		t.Errorf("by zero: %s, exit %d", errs, code)
	}
	if _, errs, code := h.rrclient(t, "exit", `{"code":7}`); code != 1 || !strings.Contains(errs, "plugin_crashed") {
		t.Errorf("a crash: %s, exit %d", errs, code)
	}
	if out, errs, code := h.rrclient(t, "slow", `{"ms":1}`); code != 0 || out != "{\"slept_ms\":1}\n" {
		t.Errorf("after the crash: %q, %s, exit %d", out, errs, code)
	}
	answered := make(chan string, 1)
	go func() {
		out, errs, code := h.rrclient(t, "slow", `{"ms":1500}`)
		answered <- fmt.Sprintf("%d %s%s", code, out, errs)
	}()
	until(t, func() string {
		if slowRuns.MatchString(h.metrics(t)) {
			return ""
		}
		return "the request does not run"
	})
	h.stop(t)
	if got := <-answered; !strings.HasPrefix(got, "0 {\"slept_ms\":1500}\n") {
		t.Errorf("what ran when the host was told to stop: %s", got)
	}
}
