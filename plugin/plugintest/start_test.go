package plugintest_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"rrhost/plugin/plugintest"
)

// order is what the test plugin does, and report what it answers.
type order struct {
	Do   string `json:"do"`
	Text string `json:"text,omitempty"`
	MS   int    `json:"ms,omitempty"`
}

type report struct {
	PID  int    `json:"pid"`
	Text string `json:"text"`
}

// TestStart: a plugin in a process of its own, with what its options say, for the
// time of a test.
func TestStart(t *testing.T) {
	program := plugintest.Build(t, "../../internal/testplugin")
	t.Setenv("RRTEST_SEEN", "seen")
	t.Setenv("RRTEST_HIDDEN", "hidden")
	pid := 0
	t.Run("life", func(t *testing.T) {
		p := plugintest.Start(t, program, plugintest.WithSettings(map[string]any{"text": "set"}), plugintest.WithEnv("RRTEST_SEEN"), plugintest.WithMaxPayload(3_000_000))
		pid = p.PID()
		for _, tt := range []struct {
			order order
			want  string
		}{{order{Do: "settings"}, "set"}, {order{Do: "env", Text: "RRTEST_SEEN"}, "seen"}, {order{Do: "env", Text: "RRTEST_HIDDEN"}, ""}} {
			got, err := plugintest.Call[report](t.Context(), p, "work", tt.order)
			if err != nil || got.Text != tt.want || got.PID != pid || pid == os.Getpid() {
				t.Errorf("%+v: %+v, %v; want %q of process %d", tt.order, got, err, tt.want, pid)
			}
		}
		if got, err := plugintest.Call[report](t.Context(), p, "work", order{Do: "flood", MS: 2_000_000}); err != nil || len(got.Text) < 2_000_000 {
			t.Errorf("2 MB: %d bytes, %v", len(got.Text), err)
		}
	})
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d outlives its test: %v", pid, err)
	}

	p := plugintest.Start(t, program)
	var fault *plugintest.Error
	if _, err := plugintest.Call[report](t.Context(), p, "work", order{Do: "flood", MS: 2_000_000}); !errors.As(err, &fault) || fault.Status != "reply_too_large" {
		t.Errorf("2 MB by default: %v, want reply_too_large", err)
	}
	if err := plugintest.StartError(t, program, plugintest.WithSettings(map[string]any{"refuse": true})); !strings.Contains(err.Error(), "refuse is set") {
		t.Errorf("a plugin that refuses its settings: %v", err)
	}
}
