// Package sdk tests the SDKs of other languages as their users meet them: plugins
// are started by the host's own code, and requests go through the built programs
// with the embedded broker.
package sdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/client"
	"rrhost/internal/testservices"
)

// root is the repository, from this folder.
const root = "../.."

// patience bounds what a test waits for; only a failure ever reaches it.
const patience = 60 * time.Second

// shared is a folder for what several tests use.
var shared string

func TestMain(m *testing.M) {
	var err error
	if shared, err = os.MkdirTemp("", "rrhost-sdk-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(shared); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// notFast skips what needs more than Go, where quick tests are wanted. Else the
// programs must be there, as scripts/services/languages.sh sees to.
func notFast(t testing.TB, programs ...string) {
	t.Helper()
	if os.Getenv("RRHOST_TEST_FAST") != "" {
		t.Skip("RRHOST_TEST_FAST is set, and this needs more than Go")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed: scripts/services/languages.sh go test …, as in make test, or RRHOST_TEST_FAST=1 without it", p)
		}
	}
}

// buildPrograms builds commands of the repository, and returns their folder.
func buildPrograms(t *testing.T, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, root, nil, "go", append([]string{"build", "-o", dir + string(filepath.Separator)}, packages...)...)
	return dir
}

// run runs a program that must succeed, and returns what it printed. env comes
// on top of the test's own.
func run(t testing.TB, dir string, env []string, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// A hostRun is a folder with a configuration, and rrhost run on it.
type hostRun struct {
	dir, bin string
	path     string // its PATH
	suffix   string // of its topics
	kafka    string // addresses of its brokers
	admin    string
	cmd      *exec.Cmd
	log      string
	ended    chan struct{}
}

// A hostSetup is what a hostRun is made of.
type hostSetup struct {
	bin     string   // folder of the programs
	path    string   // the host's PATH
	plugins []string // folders to drop into the plugin directory
	topics  string   // [[topic]] tables, where @ stands for the suffix
	// secure is a Kafka with TLS and a login; nil: the embedded broker.
	secure *testservices.Secure
}

// startHost runs a host on a new folder, until the test ends.
func startHost(t *testing.T, s hostSetup) *hostRun {
	t.Helper()
	h := &hostRun{dir: t.TempDir(), bin: s.bin, path: s.path, suffix: strings.ToLower(rand.Text()[:8]), admin: freeAddress(t)}
	for _, p := range s.plugins {
		if err := os.CopyFS(filepath.Join(h.dir, "plugins", filepath.Base(p)), os.DirFS(p)); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf("[admin]\nlisten = %q\n[plugins]\ntrust = \"dev\"\n[audit]\nstore = \"none\"\n[log]\nlevel = \"warn\"\n[replies]\ntopic = \"replies-@\"\npartitions = 4\n", h.admin)
	if k := s.secure; k != nil {
		h.kafka = k.Bootstrap
		config += fmt.Sprintf("[encryption]\nkey = \"file:data/key\"\n[kafka]\nbrokers = [\"%s\"]\ngroup = \"sdk-@\"\n[kafka.tls]\nca = %q\n"+
			"[kafka.sasl]\nmechanism = \"SCRAM-SHA-512\"\nusername = %q\npassword = \"file:data/broker.password\"\n",
			strings.ReplaceAll(k.Bootstrap, ",", `","`), k.CA, k.User)
		h.write(t, "data/key", client.GenerateKey())
		h.write(t, "data/broker.password", k.Password)
	} else {
		h.kafka = freeAddress(t)
		config += fmt.Sprintf("[kafka]\nbrokers = [\"embedded\"]\n[embedded]\nlisten = %q\n", h.kafka)
	}
	h.write(t, "config.toml", strings.ReplaceAll(config+s.topics, "@", h.suffix))
	h.log = filepath.Join(h.dir, "host.log")
	t.Cleanup(func() { // before launch, which may fail with a host that runs
		if h.cmd == nil || h.cmd.Process == nil {
			return
		}
		select {
		case <-h.ended:
		default:
			h.stop(t)
		}
		if t.Failed() {
			t.Logf("the host's log:\n%s", h.read(t))
		}
	})
	h.launch(t)
	return h
}

// launch starts the host, once more after its end, and waits until it is ready.
func (h *hostRun) launch(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the process has it too
	h.cmd, h.ended = exec.Command(filepath.Join(h.bin, "rrhost"), "run", "--config", filepath.Join(h.dir, "config.toml")), make(chan struct{})
	h.cmd.Env = append(os.Environ(), "PATH="+h.path)
	h.cmd.Stdout, h.cmd.Stderr = log, log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, ended := h.cmd, h.ended
	go func() {
		_ = cmd.Wait() // told by ProcessState
		close(ended)
	}()
	until(t, func() string {
		select {
		case <-h.ended:
			t.Fatalf("the host ended: %s", h.cmd.ProcessState)
		default:
		}
		resp, err := http.Get("http://" + h.admin + "/readyz")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return "the host is not ready: " + resp.Status
		}
		return ""
	})
}

// write writes a file of the host's folder, for its owner alone.
func (h *hostRun) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(h.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// stop ends the host with SIGTERM: it must do so by itself, and well.
func (h *hostRun) stop(t *testing.T) {
	t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-h.ended:
	case <-time.After(patience):
		_ = h.cmd.Process.Kill()
		<-h.ended
		t.Fatal("the host runs on after SIGTERM")
	}
	if code := h.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the host exits with %d after SIGTERM", code)
	}
}

// read returns a file of the host's folder, or its log.
func (h *hostRun) read(t *testing.T, name ...string) string {
	t.Helper()
	path := h.log
	if len(name) > 0 {
		path = filepath.Join(append([]string{h.dir}, name...)...)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// rrclient runs rrclient request as a user types it. The topic gets the suffix.
func (h *hostRun) rrclient(t *testing.T, topic, payload string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(h.bin, "rrclient"), "request", topic+"-"+h.suffix, payload, "--config", filepath.Join(h.dir, "config.toml"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("rrclient: %v\n%s", err, &errs)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// metrics are what the host tells of itself.
func (h *hostRun) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + h.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// freeAddress is a loopback address that nobody listens on now. It is below the
// ports that outgoing connections take, which would be in the way of a host that
// starts again.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+mathrand.IntN(9_000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// until waits for a condition, which says what is missing.
func until(t *testing.T, met func() (missing string)) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		missing := met()
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: %s", patience, missing)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
