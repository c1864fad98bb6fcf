package sdk

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
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
func pyStart(t testing.TB, folder string) *pyPlugin {
	t.Helper()
	p := &pyPlugin{t: t, log: new(pyLog)}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if p.Process, err = process.Start(ctx, pyConfig(t, pyFolder(t, t.TempDir(), folder), nil, p.log)); err != nil {
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
	from := filepath.Join(root, "sdk", "python", folder)
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
