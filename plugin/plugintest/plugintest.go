// Package plugintest runs a plugin in a test, without Kafka. [Serve] runs handlers
// in the test's process; [Start] runs the program as the host does, in a process
// of its own, with the same launch, handshake, transport and limits. What they
// return is asked in the same way:
//
//	p := plugintest.Serve(t, plugin.Handle("calculate", calculate))
//	p := plugintest.Start(t, ".") // builds the package in this folder
//
//	total, err := plugintest.Call[Total](t.Context(), p, "calculate", Sum{A: 10, B: 5})
package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	"rrhost/internal/handler"
	"rrhost/internal/process"
	"rrhost/internal/schema"
	"rrhost/internal/stream"
	"rrhost/plugin"
)

// defaultTimeout is a request's, where the context has no deadline.
const defaultTimeout = 30 * time.Second

// An Error is why a request has no response, as the host would answer it:
// Status is such as "handler_error" or "invalid_payload", Code the author's.
type Error = handler.Error

// A Plugin is what runs for the time of a test.
type Plugin struct {
	instance *stream.Instance
	schemas  map[string]*schema.Schema // by handler; nil where the host checks nothing
	pid      int
	logs     *logBuffer
}

// Option changes how a plugin is started.
type Option func(*process.Config)

// WithSettings gives the plugin its section of the configuration.
func WithSettings(settings map[string]any) Option {
	return func(c *process.Config) { c.Settings = settings }
}

// WithEnv lets the plugin see these environment variables of the test.
func WithEnv(names ...string) Option {
	return func(c *process.Config) { c.Env = append(c.Env, names...) }
}

// WithMaxPayload bounds payloads, in bytes, instead of 1,000,000.
func WithMaxPayload(bytes int) Option {
	return func(c *process.Config) { c.MaxPayload = bytes }
}

// Start starts the plugin at path: an executable, or the folder of a Go program,
// which is built first. The plugin is stopped when the test ends; a plugin that
// does not start, or has a request schema that a host cannot use, fails the test.
func Start(t testing.TB, path string, opts ...Option) *Plugin {
	t.Helper()
	p, err := start(t, path, opts)
	if err != nil {
		t.Fatalf("start plugin %s: %v", path, err)
	}
	return p
}

// StartError is for a plugin that [Start] should fail on: it returns why, and
// fails the test if the plugin did start.
func StartError(t testing.TB, path string, opts ...Option) error {
	t.Helper()
	_, err := start(t, path, opts)
	if err == nil {
		t.Fatalf("plugin %s started", path)
	}
	return err
}

func start(t testing.TB, path string, opts []Option) (*Plugin, error) {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.IsDir() {
		path = Build(t, path)
	}
	p := &Plugin{logs: new(logBuffer)}
	cfg := process.Config{
		Name: filepath.Base(path), Version: "test", Path: path, Dir: filepath.Dir(path),
		Logger: p.logs.logger(),
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
	defer cancel()
	proc, err := process.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = proc.Stop(ctx) // that it crashed is for the test to notice
	})
	p.pid = proc.PID()
	return p, p.ask(proc.Instance())
}

// ask makes p ask the handlers of on.
func (p *Plugin) ask(on *stream.Instance) (err error) {
	p.instance, p.schemas = on, make(map[string]*schema.Schema)
	for _, h := range on.About().Handlers {
		if p.schemas[h.Name], err = schema.OfRequests(h.RequestSchema, h.ChecksPayload); err != nil {
			return fmt.Errorf("the request schema of %q cannot be used: %w", h.Name, err)
		}
	}
	return nil
}

// Build builds the Go program in folder and returns the executable, which has
// the folder's name and lives as long as the test.
func Build(t testing.TB, folder string) string {
	t.Helper()
	abs, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), filepath.Base(abs))
	cmd := exec.Command("go", "build", "-o", out, ".")
	cmd.Dir = abs
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", folder, err, text)
	}
	return out
}

// Handlers are the names of the plugin's handlers.
func (p *Plugin) Handlers() []string {
	var names []string
	for _, h := range p.instance.About().Handlers {
		names = append(names, h.Name)
	}
	return names
}

// PID is the number of the process that the handlers run in.
func (p *Plugin) PID() int { return p.pid }

// Logs returns what has been logged so far, as JSON lines.
func (p *Plugin) Logs() string { return p.logs.String() }

// WithInfo returns a context for [Call] and [Plugin.Do] that tells the handler
// this of the request: that it is a second attempt, say, or redelivered. What is
// empty in info is filled in. Without it, each request is a first attempt.
func WithInfo(ctx context.Context, info plugin.Info) context.Context {
	return context.WithValue(ctx, infoKey{}, info)
}

type infoKey struct{}

// infoOf is what a handler is told of a request.
func infoOf(ctx context.Context, handlerName string) plugin.Info {
	info, _ := ctx.Value(infoKey{}).(plugin.Info)
	info.Handler = handlerName
	if info.RequestID == "" {
		info.RequestID = uuid.NewString()
	}
	if info.Topic == "" {
		info.Topic = handlerName
	}
	if info.Attempt == 0 {
		info.Attempt = 1
	}
	return info
}

// Call sends req to a handler and decodes its response. The context's end
// cancels the request. An error of the handler is an [*Error].
func Call[Resp, Req any](ctx context.Context, p *Plugin, handlerName string, req Req) (Resp, error) {
	var resp Resp
	payload, err := json.Marshal(req)
	if err != nil {
		return resp, fmt.Errorf("encode request: %w", err)
	}
	text, err := p.Do(ctx, handlerName, payload)
	if err != nil {
		return resp, err
	}
	if err := json.Unmarshal(text, &resp); err != nil {
		return resp, fmt.Errorf("decode response: %w", err)
	}
	return resp, nil
}

// Do sends bytes to a handler and returns its response's. As with a host, what
// does not fit a schema of the author's own does not get to the handler.
func (p *Plugin) Do(ctx context.Context, handlerName string, payload []byte) ([]byte, error) {
	if refusal := p.schemas[handlerName].Refusal(payload); refusal != nil {
		return nil, refusal
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(defaultTimeout)
	}
	results := make(chan stream.Result, 1)
	number := p.instance.Start(stream.Request{
		Handler: handlerName, Info: infoOf(ctx, handlerName), Deadline: deadline, Payload: payload,
	}, func(r stream.Result) { results <- r })
	stop := context.AfterFunc(ctx, func() { p.instance.Cancel(number) })
	defer stop()
	res := <-results
	switch {
	case res.Crashed:
		return nil, fmt.Errorf("the plugin crashed")
	case res.Err != nil:
		return nil, res.Err
	}
	return res.Payload, nil
}

// logBuffer is written by the plugin's readers and read by the test.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: b, Level: hclog.Debug, JSONFormat: true})
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
