package plugin_test

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/plugin/plugintest"
)

func TestByHand(t *testing.T) {
	path := plugintest.Build(t, "../plugins/echo")
	out, err := exec.Command(path).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("started by hand: %v", err)
	}
	for _, want := range []string{"echo is a plugin for rrhost", "[[topic]]", "rrhost run"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

// TestEndsWithItsHost: stdin is the host's; when it ends, so does the plugin,
// whatever it is doing.
func TestEndsWithItsHost(t *testing.T) {
	cmd := exec.Command(plugintest.Build(t, "../plugins/echo"))
	cmd.Env = []string{"RRHOST_PLUGIN=handler/1", "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR=" + t.TempDir()}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := &firstLine{got: make(chan string, 1)}
	cmd.Stdout = stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case line := <-stdout.got:
		if !strings.HasPrefix(line, "1|1|unix|") || strings.Count(line, "|") != 5 {
			t.Errorf("handshake %q", line)
		}
	case <-time.After(20 * time.Second):
		t.Error("no handshake")
	}
	_ = cmd.Process.Signal(syscall.SIGINT) // ignored
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("its host is gone: %v, want exit code 1", err)
	}
}

type firstLine struct {
	text bytes.Buffer
	got  chan string
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.text.Write(p)
	if line, _, ok := strings.Cut(f.text.String(), "\n"); ok {
		select {
		case f.got <- line:
		default:
		}
	}
	return len(p), nil
}
