package conformance

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"rrhost/internal/handler"
	"rrhost/internal/process"
	"rrhost/plugin/proto"
)

func noHandler(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	return l.lives(ctx)
}

func concurrency(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	targets := s.targets()
	var calls []call
	for i := range 64 {
		calls = append(calls, l.send(targets[i%len(targets)], encoded(map[string]any{"n": i}), moment))
	}
	return l.allEnd(ctx, calls)
}

// allEnd waits for a result of each call, of any status, and makes sure that none
// got two.
func (l *life) allEnd(ctx context.Context, calls []call) error {
	for _, c := range calls {
		// Who overruns a deadline by that much does not know it.
		if _, err := l.wait(ctx, c, moment+patience); err != nil {
			return err
		}
	}
	return l.settled(ctx)
}

func shortDeadline(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	var calls []call
	for _, name := range s.targets() {
		calls = append(calls, l.send(name, []byte("{}"), 0)) // which leaves as one microsecond
	}
	return l.allEnd(ctx, calls)
}

func earlyCancel(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	var calls []call
	for _, name := range s.targets() {
		c := l.send(name, []byte("{}"), moment)
		l.Instance().Cancel(c.number)
		calls = append(calls, c)
	}
	if err := l.wire.send(&proto.RequestFrame{Cancels: []uint64{1 << 60, 0}}); err != nil {
		return fmt.Errorf("send a frame: %w", err)
	}
	return l.allEnd(ctx, calls)
}

// garbagePayloads are what no handler takes, and what trips decoders.
func garbagePayloads() map[string][]byte {
	noise := make([]byte, 64<<10)
	random := rand.New(rand.NewPCG(1, 2)) // the same for each run
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return map[string][]byte{
		"nothing":                {},
		"half an object":         []byte(`{"a":`),
		"text after the end":     []byte(`{} {}`),
		"null":                   []byte(`null`),
		"an array":               []byte(`[1,"2",{}]`),
		"a string":               []byte(`"text"`),
		"bytes that are no text": {0xff, 0xfe, 0x00, 0x80},
		"a lone surrogate":       []byte(`{"a":"\ud800"}`),
		"a number out of range":  []byte(`{"a":1e999999,"count":99999999999999999999999999}`),
		"100,000 open brackets":  bytes.Repeat([]byte("["), 100_000),
		"64 KiB of noise":        noise,
		"__proto__ and the like": []byte(`{"__proto__":{"x":1},"constructor":null,"__class__":1}`),
		"fields of wrong types":  []byte(`{"ms":"x","lines":[],"bytes":{},"count":"x","code":{},"a":"x","b":null}`),
	}
}

func garbage(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	for what, payload := range garbagePayloads() {
		var calls []call
		for _, name := range s.targets() {
			calls = append(calls, l.send(name, payload, moment))
		}
		if err := l.allEnd(ctx, calls); err != nil {
			return fmt.Errorf("%s as payload: %w", what, err)
		}
	}
	return nil
}

// largest is a JSON string of as many bytes as a payload may have.
func largest(maxPayload int) []byte {
	return []byte(`"` + strings.Repeat("x", maxPayload-2) + `"`)
}

func (s *suite) maxPayload() int {
	if s.cfg.MaxPayload == 0 {
		return process.DefaultMaxPayload
	}
	return s.cfg.MaxPayload
}

// large is a payload beyond what gRPC libraries take unless they are told to.
const large = 6 << 20

func largePayload(ctx context.Context, s *suite) error {
	for _, size := range []int{s.maxPayload(), max(s.maxPayload(), large)} {
		if err := s.largePayloads(ctx, size); err != nil {
			return fmt.Errorf("payloads of %d bytes, where so many are allowed: %w", size, err)
		}
	}
	return nil
}

func (s *suite) largePayloads(ctx context.Context, size int) error {
	l, err := s.fresh(ctx, func(c *process.Config) { c.MaxPayload = size })
	if err != nil {
		return err
	}
	defer s.stop(l)
	payload := largest(size)
	var calls []call
	for _, name := range s.targets() {
		calls = append(calls, l.send(name, payload, moment))
	}
	if err := l.allEnd(ctx, calls); err != nil || !s.conformant() {
		return err
	}
	out, err := l.mustAnswer(ctx, "echo", payload)
	if err == nil && !bytes.Equal(out, payload) {
		err = fmt.Errorf("echo answered with another, of %d bytes", len(out))
	}
	return err
}

func parallel(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	const (
		n     = 64
		takes = 250 * time.Millisecond // one after the other that is 16 s
	)
	payload := encoded(map[string]any{"ms": takes.Milliseconds()})
	begun := time.Now()
	var calls []call
	for range n {
		calls = append(calls, l.send("slow", payload, time.Minute))
	}
	for _, c := range calls {
		r, err := l.wait(ctx, c, patience)
		if err != nil {
			return err
		}
		if err := wantStatus(r, "ok"); err != nil {
			return err
		}
	}
	if took := time.Since(begun); took > n*takes/2 {
		return fmt.Errorf("%d handlers that wait %s took %s together", n, takes, took.Round(time.Millisecond))
	}
	return l.settled(ctx)
}

func deadline(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	const allowed = 300 * time.Millisecond
	begun := time.Now()
	r, err := l.wait(ctx, l.send("slow", []byte(`{"ms":60000}`), allowed), patience)
	if err != nil {
		return err
	}
	if took := time.Since(begun); took < allowed {
		return fmt.Errorf("it was answered %s after %s, before the deadline", statusOf(r), took.Round(time.Millisecond))
	}
	if err := wantStatus(r, handler.StatusDeadlineExceeded); err != nil {
		return err
	}
	return l.settled(ctx)
}

func cancelled(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	const id = "4b1d6a1e-52a5-4a53-9d2e-3f0c8e5b7a10"
	c := l.sendAs(handler.Info{RequestID: id, Topic: "conformance", Handler: "slow", Attempt: 1}, []byte(`{"ms":60000}`), time.Minute)
	if err := l.lives(ctx); err != nil { // by now it runs
		return err
	}
	l.Instance().Cancel(c.number)
	r, err := l.wait(ctx, c, patience)
	if err != nil {
		return fmt.Errorf("cancelled: %w", err)
	}
	if err := wantStatus(r, handler.StatusDeadlineExceeded); err != nil {
		return err
	}
	said := func(record map[string]any) bool {
		return record["@message"] == "slow was cancelled" && record["request_id"] == id
	}
	if !eventually(ctx, func() bool { return l.logs.find(said) != nil }) {
		return fmt.Errorf("no line %q with its request_id has arrived within %s", "slow was cancelled", patience)
	}
	if level := l.logs.find(said)["@level"]; level != "info" {
		return fmt.Errorf("its line arrived with level %v, and not info", level)
	}
	return l.settled(ctx)
}
