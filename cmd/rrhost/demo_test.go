package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"rrhost/internal/testprograms"
)

// The demo leaves no goroutine, process or file behind, whether it ends well or
// is interrupted.
func TestDemoLeavesNothing(t *testing.T) {
	plugins := t.TempDir()
	if err := testprograms.Build(filepath.Join(plugins, "calculate"), "rrhost/plugins/calculate"); err != nil {
		t.Fatal(err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	for name, tt := range map[string]struct {
		ctx  context.Context
		code int
		out  string
	}{
		"well":        {t.Context(), 0, "{\"result\":15}\n"},
		"interrupted": {interrupted, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
				// sarama's metrics library never ends this one; there is one in a process.
				goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
				// Ends by itself, ten seconds after a broker was away.
				goleak.IgnoreAnyFunction("github.com/eapache/go-resiliency/breaker.(*Breaker).timer"))
			var stdout, stderr bytes.Buffer
			code := run(tt.ctx, []string{"demo", "--plugins", plugins}, strings.NewReader(""), &stdout, &stderr)
			if code != tt.code || !strings.HasPrefix(stdout.String(), tt.out) {
				t.Errorf("exit code %d, want %d; stdout %q, stderr %q", code, tt.code, &stdout, &stderr)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
