package sdk

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rrhost/internal/stream"
)

// TestPythonCalculate: the example is the Go plugin's like.
func TestPythonCalculate(t *testing.T) {
	p := pyStart(t, "examples/calculate")
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

// TestPythonPlugin looks at what the protocol's cases do not: that each of many
// requests gets its own answer, and how a life ends, without a trace of the
// libraries' own trouble.
func TestPythonPlugin(t *testing.T) {
	p := pyStart(t, "conformance")
	about := p.Instance().About()
	if !strings.HasPrefix(about.SDK, "python ") || about.Name != "conformance" || len(about.Handlers) != 10 || about.ConfigSchema == nil {
		t.Errorf("it says of itself: %+v", about)
	}
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
	if res := p.do("panic", `{"text":"payload"}`, 30*time.Second); res.Err == nil || res.Err.Code != "panic" {
		t.Errorf("panic: %+v", res)
	}

	results := make(chan stream.Result, 8)
	for range cap(results) {
		p.Instance().Start(pyRequest("slow", `{"ms":500}`, 30*time.Second), func(r stream.Result) { results <- r })
	}
	p.do("echo", "those before have been taken", 30*time.Second)
	if err := syscall.Kill(p.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range cap(results) {
		if r := <-results; r.Err != nil || string(r.Payload) != `{"slept_ms":500}` {
			t.Errorf("what ran at SIGTERM: %+v", r)
		}
	}
	<-p.Done()
	if err := p.stop(); !errors.Is(err, stream.ErrEnded) {
		t.Errorf("it left with %v", err)
	}
	log := p.log.String()
	if !strings.Contains(log, "handler panicked") || !strings.Contains(log, "conformance/main.py") {
		t.Errorf("the log does not say where it panicked:\n%s", log)
	}
	for _, trouble := range []string{"secret-payload", "Traceback", "Exception ignored", "never awaited"} {
		if strings.Contains(log, trouble) {
			t.Errorf("the log has %q:\n%s", trouble, log)
		}
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
	h := startHost(t, hostSetup{bin: buildPrograms(t, "./cmd/rrhost", "./cmd/rrclient"), path: os.Getenv("PATH"), topics: pyTopics, plugins: plugins})
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
