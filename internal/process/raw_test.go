package process

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode"

	"rrhost/internal/stream"
)

// TestRawPlugins: whatever bytes a plugin speaks gRPC with, or does not, the host
// goes on, knows what is wrong in time, and shows nothing that isn't printable.
func TestRawPlugins(t *testing.T) {
	tests := []struct {
		mode     string
		start    string // part of the error that ends the start; empty: it starts
		crashes  bool   // the first request has no result
		hopeless bool
	}{
		{mode: "good"},
		{mode: "http2-garbage", start: "health check: rpc error: code = Unavailable"},
		{mode: "http2-endless", start: "health check: rpc error: code = Unavailable"},
		{mode: "health-garbage", start: "health check"},
		{mode: "describe-garbage", start: "describe"},
		{mode: "describe-huge", start: "describe"},
		{mode: "describe-many", start: "it has 200001 handlers, and 1000 are the most", hopeless: true},
		{mode: "describe-error", start: `describe: rpc error: code = InvalidArgument desc = a\n[ERROR] forged\x1b[2J`},
		{mode: "configure-error", start: "configure"},
		{mode: "configure-sick", start: "health check: it says NOT_SERVING"},
		{mode: "handle-garbage", crashes: true},
		{mode: "handle-huge", crashes: true},
		{mode: "handle-others", crashes: true},
		{mode: "handle-twice"},
		{mode: "handle-error", crashes: true},
		{mode: "stdio-endless"},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			p, err := Start(ctx, Config{Name: "raw", Path: rawPlugin, Args: []string{tt.mode}, Dir: t.TempDir(), NoTLS: true})
			if tt.start != "" {
				if err == nil || !strings.Contains(err.Error(), tt.start) || Hopeless(err) != tt.hopeless || !shown(err) {
					t.Errorf("Start = %.500v, want %s", err, tt.start)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			results := make(chan stream.Result, 2)
			p.Instance().Start(stream.Request{Handler: "echo", Deadline: time.Now().Add(time.Second), Payload: []byte("x")}, func(r stream.Result) { results <- r })
			if tt.mode == "handle-others" { // it says what nobody asked; that nothing comes ends by a stop
				time.AfterFunc(100*time.Millisecond, p.Kill)
			}
			r := <-results
			if r.Crashed != tt.crashes || !r.Crashed && string(r.Payload) != "x" {
				t.Errorf("%+v", r)
			}
			if tt.crashes {
				<-p.Done()
			}
			if err := stop(t, p); err != nil && !shown(err) {
				t.Errorf("it ended with %q", err)
			}
			if len(results) > 0 {
				t.Errorf("a second result: %+v", <-results)
			}
		})
	}
}

// shown tells whether an error is one line that fits a log.
func shown(err error) bool {
	return len(err.Error()) < 20<<10 && !strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) })
}
