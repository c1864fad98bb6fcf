package plugintest_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rrhost/plugin"
	"rrhost/plugin/plugintest"
)

// ownSchema is the variable that makes this program a plugin, whose handler has
// the variable's value as its schema.
const ownSchema = "PLUGINTEST_SCHEMA"

func TestMain(m *testing.M) {
	if schema, ok := os.LookupEnv(ownSchema); ok {
		plugin.Serve(divide(schema))
		return
	}
	goleak.VerifyTestMain(m)
}

type quotient struct {
	A int `json:"a"`
	B int `json:"b"`
}

// divide is a handler that has not thought of zero, since its schema forbids it.
func divide(schema string) plugin.Handler {
	return plugin.Handle("divide", func(_ context.Context, in quotient) (int, error) {
		return in.A / in.B, nil
	}).WithRequestSchema(schema)
}

type question struct {
	Do string `json:"do"`
}

type answer struct {
	Attempt     int    `json:"attempt"`
	Redelivered bool   `json:"redelivered"`
	RequestID   string `json:"request_id"`
	PID         int    `json:"pid"`
}

func work(ctx context.Context, q question) (answer, error) {
	switch q.Do {
	case "fail":
		return answer{}, plugin.Errorf("refused", "no")
	case "panic":
		panic("never to be seen")
	case "wait":
		<-ctx.Done()
		return answer{}, ctx.Err()
	}
	info, _ := plugin.InfoFrom(ctx)
	plugin.Logger(ctx).Info("at work")
	return answer{info.Attempt, info.Redelivered, info.RequestID, os.Getpid()}, nil
}

// TestServe: handlers in this process answer as those of a process do.
func TestServe(t *testing.T) {
	p := plugintest.Serve(t, plugin.Handle("work", work))
	got, err := plugintest.Call[answer](t.Context(), p, "work", question{})
	if err != nil || got.Attempt != 1 || got.Redelivered || got.RequestID == "" || got.PID != os.Getpid() || p.PID() != got.PID {
		t.Errorf("got %+v, %v", got, err)
	}
	if !strings.Contains(p.Logs(), `"@message":"at work"`) || !strings.Contains(p.Logs(), got.RequestID) {
		t.Errorf("its log line is not in %s", p.Logs())
	}
	if names := p.Handlers(); len(names) != 1 || names[0] != "work" {
		t.Errorf("handlers %v", names)
	}

	again := plugintest.WithInfo(t.Context(), plugin.Info{RequestID: "r1", Attempt: 2, Redelivered: true})
	if got, err = plugintest.Call[answer](again, p, "work", question{}); err != nil || got.Attempt != 2 || !got.Redelivered || got.RequestID != "r1" {
		t.Errorf("a second attempt: %+v, %v", got, err)
	}

	for _, tt := range []struct{ handler, payload, status, code string }{
		{"work", `{"do":"fail"}`, "handler_error", "refused"},
		{"work", `{"do":"panic"}`, "handler_error", "panic"},
		{"work", `{"do":7}`, "invalid_payload", "invalid_payload"},
		{"play", `{}`, "no_handler", "no_handler"},
	} {
		_, err := p.Do(t.Context(), tt.handler, []byte(tt.payload))
		var fault *plugintest.Error
		if !errors.As(err, &fault) || fault.Status != tt.status || fault.Code != tt.code {
			t.Errorf("%s %s: %v, want %s %s", tt.handler, tt.payload, err, tt.status, tt.code)
		}
	}
	if strings.Contains(p.Logs(), "never to be seen") {
		t.Error("a panic's value is in the log")
	}
}

// TestServeEndsContexts: a test's end, and a request's, end the handler.
func TestServeEndsContexts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p := plugintest.Serve(t, plugin.Handle("work", work))
	_, err := plugintest.Call[answer](ctx, p, "work", question{Do: "wait"})
	var fault *plugintest.Error
	if !errors.As(err, &fault) || fault.Status != "deadline_exceeded" {
		t.Errorf("%v, want deadline_exceeded", err)
	}

	ended := make(chan struct{})
	t.Run("left running", func(t *testing.T) {
		started := make(chan struct{})
		p := plugintest.Serve(t, plugin.HandleRaw("wait", func(ctx context.Context, _ []byte) ([]byte, error) {
			close(started)
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		}))
		go func() { _, _ = p.Do(context.Background(), "wait", nil) }() // ends with the test
		<-started
	})
	select {
	case <-ended:
	default:
		t.Error("a handler outlives its test")
	}
}

// TestOwnSchema: what a host refuses of a request, a test sees refused.
func TestOwnSchema(t *testing.T) {
	const schema = `{"type":"object","properties":{"b":{"exclusiveMinimum":0}},"required":["b"]}`
	t.Setenv(ownSchema, schema)
	for name, p := range map[string]*plugintest.Plugin{
		"Serve": plugintest.Serve(t, divide(schema)),
		"Start": plugintest.Start(t, os.Args[0], plugintest.WithEnv(ownSchema)),
	} {
		if got, err := plugintest.Call[int](t.Context(), p, "divide", map[string]int{"a": 6, "b": 2}); err != nil || got != 3 {
			t.Errorf("%s: %d, %v", name, got, err)
		}
		for payload, want := range map[string]string{
			`{"b":0}`: `field "b" is not above 0`,
			`{}`:      `the payload lacks "b"`,
			`{`:       "the payload is not JSON",
		} {
			_, err := p.Do(t.Context(), "divide", []byte(payload))
			var fault *plugintest.Error
			if !errors.As(err, &fault) || fault.Status != "invalid_payload" || !strings.Contains(fault.Message, want) {
				t.Errorf("%s: %s: %v, want invalid_payload: %s", name, payload, err, want)
			}
		}
	}
}

// TestUnusableSchema: a schema that a host could not use fails the test.
func TestUnusableSchema(t *testing.T) {
	const schema, want = `{"type":5}`, `the request schema of "divide" cannot be used: schema: "type" fits none of the forms that are allowed`
	failed := &failing{TB: t}
	func() {
		defer func() { _ = recover() }()
		plugintest.Serve(failed, divide(schema))
	}()
	if !strings.Contains(failed.why, want) {
		t.Errorf("Serve: %q, want %s", failed.why, want)
	}
	t.Setenv(ownSchema, schema)
	if err := plugintest.StartError(t, os.Args[0], plugintest.WithEnv(ownSchema)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Start: %v, want %s", err, want)
	}
}

// TestServeRefuses what could not be served.
func TestServeRefuses(t *testing.T) {
	h := plugin.Handle("work", work)
	failed := &failing{TB: t}
	func() {
		defer func() { _ = recover() }()
		plugintest.Serve(failed, h, h)
	}()
	if !strings.Contains(failed.why, "two handlers are named work") {
		t.Errorf("two of one name: %q", failed.why)
	}
}

// failing is a test whose failure is looked at.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = strings.TrimSpace(strings.ReplaceAll(format, "%v", args[0].(error).Error()))
	panic(f.why)
}
