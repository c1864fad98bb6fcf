package sdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/handler"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// pyPlugin is a Python plugin's process.
type pyPlugin struct {
	*process.Process
	t    testing.TB
	log  *pyLog
	once sync.Once
	err  error
}

// pyStart starts the plugin in a folder of sdk/python as the host does.
func pyStart(t testing.TB, folder string, settings map[string]any) *pyPlugin {
	t.Helper()
	p := &pyPlugin{t: t, log: new(pyLog)}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if p.Process, err = process.Start(ctx, pyConfig(t, pyFolder(t, t.TempDir(), folder), settings, p.log)); err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	t.Cleanup(func() { _ = p.stop() }) // how it ended is for the test to notice
	return p
}

// stop ends the plugin and returns why its stream ended.
func (p *pyPlugin) stop() error {
	p.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		p.err = p.Stop(ctx)
	})
	return p.err
}

func (p *pyPlugin) do(name, payload string, timeout time.Duration) stream.Result {
	results := make(chan stream.Result, 1)
	p.Instance().Start(pyRequest(name, payload, timeout), func(r stream.Result) { results <- r })
	return <-results
}

func pyRequest(name, payload string, timeout time.Duration) stream.Request {
	return stream.Request{
		Handler: name, Info: handler.Info{RequestID: "7f3f0e3e-6f0c-4f8a-9c1e-0a6d8f2b4c11", Topic: name, Attempt: 1},
		Deadline: time.Now().Add(timeout), Payload: []byte(payload),
	}
}

func pyConfig(t testing.TB, folder string, settings map[string]any, log *pyLog) process.Config {
	t.Helper()
	found := plugindir.At(folder)
	if found.Err != nil {
		t.Fatal(found.Err)
	}
	m := found.Manifest
	path, err := exec.LookPath(m.Command[0])
	if err != nil {
		t.Fatal(err)
	}
	return process.Config{
		Name: found.Name, Version: m.Version, Path: path, Args: m.Command[1:], Dir: folder, Settings: settings,
		NoTLS:  m.TLS != nil && !*m.TLS,
		Logger: hclog.New(&hclog.LoggerOptions{Output: log, JSONFormat: true, Level: hclog.Debug}),
	}
}

// pyLog collects what a plugin says.
type pyLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *pyLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *pyLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// pyFolder puts a plugin's folder of sdk/python into dir, with what it imports.
func pyFolder(t testing.TB, dir, folder string) string {
	t.Helper()
	vendor := pyVendor(t)
	to := filepath.Join(dir, filepath.Base(folder))
	from := filepath.Join(pyRoot(t), "sdk", "python", folder)
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"main.py", plugindir.ManifestName} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(to, "vendor"), os.DirFS(vendor)); err != nil {
		t.Fatal(err)
	}
	return to
}

func pyRoot(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// pyVendor is what Python plugins import: the SDK and its dependencies, installed
// once for each state of the SDK, by the command that its README names.
func pyVendor(t testing.TB) string {
	t.Helper()
	if os.Getenv("RRHOST_TEST_FAST") != "" {
		t.Skip("installs Python packages, and RRHOST_TEST_FAST asks for tests that need Go alone")
	}
	if err := exec.Command("python3", "-m", "pip", "--version").Run(); err != nil {
		t.Skipf("python3 with pip is not installed (%v)", err)
	}
	vendor, err := pyInstalled()
	if err != nil {
		t.Fatal(err)
	}
	return vendor
}

var pyInstalled = sync.OnceValues(func() (string, error) {
	sdk, err := filepath.Abs("../../sdk/python")
	if err != nil {
		return "", err
	}
	version, err := exec.Command("python3", "-VV").Output()
	if err != nil {
		return "", fmt.Errorf("python3 -VV: %w", err)
	}
	sum := sha256.New()
	sum.Write(version)
	for _, part := range []string{"pyproject.toml", "rrhost"} {
		err := filepath.WalkDir(filepath.Join(sdk, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(path, "__pycache__") {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	cache := filepath.Join(sdk, "..", "..", ".cache", "sdk-python")
	vendor := filepath.Join(cache, hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(vendor); err == nil {
		return vendor, nil
	}
	// Others are of earlier states.
	if err := os.RemoveAll(cache); err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, ".tmp-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", tmp, sdk)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("install the SDK: %w\n%s", err, text), os.RemoveAll(tmp))
	}
	return vendor, os.Rename(tmp, vendor)
})
