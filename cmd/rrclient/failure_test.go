package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rrhost/audit"
	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/internal/kafka"
)

// A failure begins with its name, and says it once.
func TestFailed(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"interrupted between two pings", cli.ErrInterrupted, "interrupted"},
		{"interrupted in a call", fmt.Errorf("call calculate: %w", cli.ErrInterrupted), "interrupted: call calculate"},
		{"a refused login", fmt.Errorf("open client: %w", kafka.ErrLogin), "login_refused: open client: refused the login"},
		{"no name of its own", errors.New("broken"), "error: broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := failed(tt.err)
			if got.Error() != tt.want || !errors.Is(got, tt.err) {
				t.Errorf("failed = %v, want %q", got, tt.want)
			}
		})
	}
}

// Whatever logs does when it is interrupted, that is what it says.
func TestLogsInterrupted(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte("[[topic]]\nname = \"calculate\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cli.ErrInterrupted)
	logs := func(state string) {
		for _, args := range [][]string{{"--id", "6f9619ff-8b86-4011-b42d-00cf4fc964ff"}, {"--since", "1h"}} {
			var stdout, stderr bytes.Buffer
			code := run(ctx, append([]string{"logs", "--config", file}, args...), strings.NewReader(""), &stdout, &stderr)
			if code != cli.ExitError || !strings.HasSuffix(stderr.String(), "rrclient: interrupted\n") {
				t.Errorf("%s, %v: code %d, stderr %q", state, args, code, &stderr)
			}
		}
	}
	logs("no trail")
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	logs("a trail")
}
