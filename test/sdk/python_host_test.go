package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// pyServer is a host on a folder of its own, with the embedded broker.
type pyServer struct {
	t          testing.TB
	dir, bin   string
	admin      string // host:port
	cmd        *exec.Cmd
	ended      chan struct{} // closed when the process has ended
	outputFile string
}

// pyHost runs rrhost with plugins of sdk/python, by their names in the plugin
// directory, until the test ends.
func pyHost(t *testing.T, plugins map[string]string, topics string) *pyServer {
	t.Helper()
	h := &pyServer{t: t, dir: t.TempDir(), bin: t.TempDir(), ended: make(chan struct{})}
	for _, folder := range plugins {
		pyFolder(t, filepath.Join(h.dir, "plugins"), folder)
	}
	build := exec.Command("go", "build", "-o", h.bin, "rrhost/cmd/rrhost", "rrhost/cmd/rrclient")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	h.admin = pyFreeAddress(t)
	config := fmt.Sprintf("[embedded]\nlisten = %q\n[admin]\nlisten = %q\n[plugins]\ntrust = \"dev\"\nstart_timeout = \"60s\"\n[log]\nlevel = \"debug\"\n%s",
		pyFreeAddress(t), h.admin, topics)
	if err := os.WriteFile(h.config(), []byte("[kafka]\nbrokers = [\"embedded\"]\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	h.outputFile = filepath.Join(h.dir, "host.log")
	output, err := os.Create(h.outputFile)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close() // the process has it too
	h.cmd = exec.Command(filepath.Join(h.bin, "rrhost"), "run", "--config", h.config())
	h.cmd.Stdout, h.cmd.Stderr = output, output
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = h.cmd.Wait() // told by ProcessState
		close(h.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-h.ended:
		default:
			h.signal(syscall.SIGTERM)
			select {
			case <-h.ended:
			case <-time.After(40 * time.Second):
				h.signal(syscall.SIGKILL)
				<-h.ended
			}
		}
		if t.Failed() {
			t.Logf("the host's log:\n%s", h.log())
		}
	})
	h.await("a host that is ready", func() bool {
		select {
		case <-h.ended:
			t.Fatalf("the host: %s", h.cmd.ProcessState)
		default:
		}
		code, _ := h.get("/readyz")
		return code == http.StatusOK
	})
	return h
}

func (h *pyServer) config() string { return filepath.Join(h.dir, "config.toml") }

func (h *pyServer) log() string {
	text, err := os.ReadFile(h.outputFile)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (h *pyServer) signal(s syscall.Signal) {
	if err := h.cmd.Process.Signal(s); err != nil {
		h.t.Error(err)
	}
}

// await waits for a condition, for a minute at most.
func (h *pyServer) await(what string, met func() bool) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("within a minute there was not %s", what)
		}
	}
}

// get asks the host's own HTTP listener; the code is 0 where it does not answer.
func (h *pyServer) get(path string) (code int, body string) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + h.admin + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// pySaid is what rrclient said.
type pySaid struct {
	code           int
	stdout, stderr string
}

func (h *pyServer) request(topic, payload string) pySaid {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(h.bin, "rrclient"), "request", topic, payload, "--config", h.config())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Errorf("rrclient: %v", err)
	}
	return pySaid{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// pyFreeAddress is a loopback address that nobody listens on now. It is below the
// ports that outgoing connections take.
func pyFreeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(9_000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no port is free")
	return ""
}
