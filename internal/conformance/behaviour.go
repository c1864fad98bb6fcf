package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"

	"rrhost/internal/handler"
	"rrhost/internal/process"
	"rrhost/internal/schema"
	"rrhost/internal/stream"
)

func echo(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	payloads := [][]byte{
		[]byte(`{ "a" : 1.0, "big": 12345678901234567890, "text": "ü ☃ \u0000", "a": 2 }` + "\n"),
		[]byte("\xff\xfe\x00 is no text"), {}, largest(s.maxPayload()),
	}
	for i := range 64 {
		payloads = append(payloads, encoded(map[string]any{"n": i}))
	}
	var calls []call
	for _, p := range payloads {
		calls = append(calls, l.send("echo", p, patience))
	}
	for i, c := range calls {
		r, err := l.wait(ctx, c, patience)
		switch {
		case err != nil:
			return err
		case r.Err != nil:
			return fmt.Errorf("a payload of %d bytes was answered %s", len(payloads[i]), statusOf(r))
		case !bytes.Equal(r.Payload, payloads[i]):
			return fmt.Errorf("a payload of %d bytes came back as another, of %d bytes", len(payloads[i]), len(r.Payload))
		}
	}
	return l.settled(ctx)
}

func info(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	const timeout = time.Minute
	sent := handler.Info{
		RequestID: uuid.NewString(), Topic: "a.topic", Handler: "info", Attempt: 3, Redelivered: true,
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Tracestate: "vendor=1",
	}
	r, err := l.wait(ctx, l.sendAs(sent, []byte("{}"), timeout), patience)
	if err != nil {
		return err
	}
	if err := wantStatus(r, "ok"); err != nil {
		return err
	}
	var got map[string]any
	if err := json.Unmarshal(r.Payload, &got); err != nil {
		return fmt.Errorf("its response is not an object: %w", err)
	}
	remaining, _ := got["remaining_ms"].(float64)
	if most := float64(timeout.Milliseconds()); remaining <= most-float64(patience.Milliseconds()) || remaining > most {
		return fmt.Errorf("remaining_ms is %v, where %v remain", got["remaining_ms"], most)
	}
	for name, want := range map[string]any{
		"request_id": sent.RequestID, "topic": sent.Topic, "handler": sent.Handler, "attempt": float64(sent.Attempt),
		"redelivered": true, "traceparent": sent.Traceparent,
	} {
		if got[name] != want {
			return fmt.Errorf("%s is %v, and not %v", name, got[name], want)
		}
	}
	return nil
}

func fail(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	const details = `{"b":[1,2,{"c":null}],"ü":true}`
	r, err := l.ask(ctx, "fail", []byte(`{"code":"no_such_account","message":"there is none – ü","details":`+details+`}`))
	if err != nil {
		return err
	}
	if err := wantStatus(r, handler.StatusHandlerError); err != nil {
		return err
	}
	if r.Err.Code != "no_such_account" || r.Err.Message != "there is none – ü" || !sameJSON(r.Err.Details, []byte(details)) {
		return fmt.Errorf("code, message or details arrived as %q, %q, %s", r.Err.Code, r.Err.Message, r.Err.Details)
	}
	r, err = l.ask(ctx, "fail", []byte(`{"message":"just so"}`))
	if err != nil {
		return err
	}
	if err := wantStatus(r, handler.StatusHandlerError); err != nil {
		return err
	}
	if r.Err.Code != handler.CodeError || r.Err.Message != "just so" || len(r.Err.Details) > 0 {
		return fmt.Errorf("without a code and details, they arrived as %q, %q, %s", r.Err.Code, r.Err.Message, r.Err.Details)
	}
	return l.settled(ctx)
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func panics(ctx context.Context, s *suite) error {
	l, err := s.fresh(ctx, nil) // for a log of its own
	if err != nil {
		return err
	}
	defer s.stop(l)
	const text = "canary-7351"
	r, err := l.ask(ctx, "panic", encoded(map[string]any{"text": text}))
	if err != nil {
		return err
	}
	if err := wantStatus(r, handler.StatusHandlerError); err != nil {
		return err
	}
	if r.Err.Code != handler.CodePanic {
		return fmt.Errorf("its code is %q, and not %q", r.Err.Code, handler.CodePanic)
	}
	if strings.Contains(r.Err.Message+string(r.Err.Details), text) {
		return errors.New("the exception's text is in the answer")
	}
	if !eventually(ctx, func() bool {
		return l.logs.find(func(record map[string]any) bool { return record["@level"] == "error" }) != nil
	}) {
		return errors.New("no line of level error was logged")
	}
	if err := l.settled(ctx); err != nil {
		return err
	}
	// Its stop closes the pipes, so that all lines have been read.
	s.stop(l)
	if l.logs.contain(text) {
		return errors.New("the exception's text is in the log")
	}
	return nil
}

func typed(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	for _, good := range []struct{ what, payload, want string }{
		{"a payload that fits", `{"name":"ü","count":3}`, `{"name":"ü","count":3}`},
		{"an unknown field", `{"name":"ü","count":3,"more":[1]}`, `{"name":"ü","count":3}`},
		{"a missing field", `{"name":"x"}`, `{"name":"x","count":0}`},
	} {
		r, err := s.checked(ctx, l, "typed", []byte(good.payload))
		if err != nil {
			return err
		}
		if err := wantStatus(r, "ok"); err != nil {
			return fmt.Errorf("%s: %w (%s)", good.what, err, r.Err.Message)
		}
		if !sameJSON(r.Payload, []byte(good.want)) {
			return fmt.Errorf("%s: the response is %.200s, and not %s", good.what, r.Payload, good.want)
		}
	}
	const value = "canary-9913"
	r, err := s.checked(ctx, l, "typed", encoded(map[string]any{"name": "a", "count": value}))
	if err != nil {
		return err
	}
	if err := wantStatus(r, handler.StatusInvalidPayload); err != nil {
		return fmt.Errorf("a count that is a string: %w", err)
	}
	if !strings.Contains(r.Err.Message, "count") || strings.Contains(r.Err.Message, value) {
		return fmt.Errorf("its message does not name count, or quotes the value: %q", r.Err.Message)
	}
	return l.settled(ctx)
}

// checked is ask, with the host's check of the payload before it where the plugin
// leaves that to the host.
func (s *suite) checked(ctx context.Context, l *life, name string, payload []byte) (stream.Result, error) {
	for _, h := range l.Instance().About().Handlers {
		if h.Name != name {
			continue
		}
		compiled, err := schema.OfRequests(h.RequestSchema, h.ChecksPayload)
		if err != nil {
			return stream.Result{}, fmt.Errorf("the request schema of %s: %w", name, err)
		}
		if refusal := compiled.Refusal(payload); refusal != nil {
			return stream.Result{Result: handler.Result{Err: refusal}}, nil
		}
	}
	return l.ask(ctx, name, payload)
}

func huge(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	most := s.maxPayload()
	out, err := l.mustAnswer(ctx, "huge", encoded(map[string]any{"bytes": most - 2}))
	if err != nil {
		return fmt.Errorf("a response of %d bytes: %w", most, err)
	}
	if len(out) != most || out[0] != '"' || out[most-1] != '"' {
		return fmt.Errorf("a JSON string of %d bytes with its quotes was wanted, and %d bytes came", most, len(out))
	}
	// The host cuts such replies off itself: what counts is what was on the wire.
	over := func(what, name string, payload []byte) error {
		c := l.send(name, payload, patience)
		if _, err := l.wait(ctx, c, patience); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		raw := l.wire.result(c.number)
		if got := raw.GetError().GetStatus(); got != handler.StatusReplyTooLarge {
			return fmt.Errorf("%s was sent with the status %q", what, got)
		}
		return nil
	}
	err = errors.Join(
		over("a response of one byte more than max_reply", "huge", encoded(map[string]any{"bytes": most - 1})),
		over("a response of four times max_reply", "huge", encoded(map[string]any{"bytes": 4 * most})),
		over("an error with details above max_reply", "fail", []byte(`{"code":"c","message":"m","details":"`+strings.Repeat("x", most)+`"}`)),
	)
	if err != nil {
		return err
	}
	return l.settled(ctx)
}

func chatty(ctx context.Context, s *suite) error {
	l, err := s.fresh(ctx, nil) // for a log of its own
	if err != nil {
		return err
	}
	defer s.stop(l)
	const lines = 500
	before := l.logs.count()
	// Much more than a pipe holds, and lines longer than any that are kept whole.
	for _, amount := range []struct{ lines, size int }{{lines, 400}, {2, 300_000}} {
		if _, err := l.mustAnswer(ctx, "chatty", encoded(map[string]any{"lines": amount.lines, "size": amount.size})); err != nil {
			return fmt.Errorf("%d lines of %d bytes: %w", amount.lines, amount.size, err)
		}
	}
	if !eventually(ctx, func() bool { return l.logs.count()-before >= 3*(lines+2) }) {
		return fmt.Errorf("of %d lines, %d have arrived within %s", 3*(lines+2), l.logs.count()-before, patience)
	}
	return l.settled(ctx)
}

func settings(ctx context.Context, s *suite) error {
	for _, given := range []map[string]any{{"greeting": "hello – ü"}, {}} {
		l, err := s.fresh(ctx, func(c *process.Config) { c.Settings = given })
		if err != nil {
			return err
		}
		out, err := l.mustAnswer(ctx, "settings", []byte("{}"))
		s.stop(l)
		if err != nil {
			return err
		}
		if want := encoded(given); !sameJSON(out, want) {
			return fmt.Errorf("given %s, the handler has %.200s", want, out)
		}
	}
	return nil
}
