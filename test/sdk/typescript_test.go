package sdk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/conformance"
	"rrhost/internal/handler"
	"rrhost/internal/process"
	"rrhost/internal/stream"
	"rrhost/internal/testservices"
)

// runtimes that the TypeScript SDK is for.
var runtimes = []string{"node", "bun"}

// A tsPackage is sdk/typescript, installed and built in a folder of its own.
type tsPackage struct{ dir string }

// path is a file of the package.
func (p tsPackage) path(name ...string) string {
	return filepath.Join(append([]string{p.dir}, name...)...)
}

// runtime is the path of node or bun.
func (p tsPackage) runtime(t testing.TB, name string) string {
	t.Helper()
	if name == "bun" {
		return p.path("node_modules", ".bin", "bun")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// built is the package that the tests share, one after the other.
var built tsPackage

// typeScript installs the package's dependencies, once for each lock file, and
// builds its sources, once for all tests.
func typeScript(t testing.TB) tsPackage {
	t.Helper()
	notFast(t, "node", "npm")
	if built.dir != "" {
		return built
	}
	repo, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(repo, "sdk", "typescript")
	modules := nodeModules(t, repo, source)

	// The tests read vectors of the repository, by their place in it.
	top, err := os.MkdirTemp(shared, "ts-")
	if err != nil {
		t.Fatal(err)
	}
	p := tsPackage{filepath.Join(top, "sdk", "typescript")}
	files := run(t, source, nil, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	for _, name := range strings.FieldsFunc(files, func(r rune) bool { return r == 0 }) {
		text, err := os.ReadFile(filepath.Join(source, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not yet committed so
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(p.path(name)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(p.path(name), text, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{p.path("node_modules"): modules, filepath.Join(top, "internal"): filepath.Join(repo, "internal")} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	run(t, p.dir, nil, "npm", "run", "--silent", "pretest")
	built = p
	return p
}

// nodeModules is a folder with what the lock file names, in the repository's cache.
func nodeModules(t testing.TB, repo, source string) string {
	t.Helper()
	hash := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		hash.Write(text)
	}
	cache := filepath.Join(repo, ".cache", "sdk-typescript")
	dir := filepath.Join(cache, fmt.Sprintf("%x", hash.Sum(nil)[:8]))
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := os.MkdirTemp(cache, "tmp-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(made)
	for _, name := range []string{"package.json", "package-lock.json"} {
		if err := copyFile(filepath.Join(made, name), filepath.Join(source, name)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, made, nil, "npm", "ci", "--no-audit", "--no-fund")
	if err := os.Rename(made, dir); err != nil {
		if _, missing := os.Stat(modules); missing != nil { // else another test was first
			t.Fatal(err)
		}
	}
	return modules
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

func TestTypeScript(t *testing.T) {
	p := typeScript(t)
	t.Run("npm test", func(t *testing.T) { run(t, p.dir, nil, "npm", "test", "--silent", "--ignore-scripts") })
	t.Run("bun test", func(t *testing.T) { run(t, p.dir, nil, p.runtime(t, "bun"), "test", "./build/test/") })
	for _, runtime := range runtimes {
		t.Run("plugin on "+runtime, func(t *testing.T) { testTypeScriptPlugin(t, p, runtime) })
		t.Run("protocol on "+runtime, func(t *testing.T) { testTypeScriptProtocol(t, p, runtime) })
	}
	bin := buildPrograms(t, "./cmd/rrhost", "./cmd/rrclient")
	t.Run("readme", func(t *testing.T) { testTypeScriptReadme(t, p, bin) })
	for _, runtime := range runtimes {
		p.use(t, runtime)
		t.Run("host with "+runtime, func(t *testing.T) { testTypeScriptHost(t, p, bin, runtime, nil) })
	}
	t.Run("host on Kafka", func(t *testing.T) {
		p.use(t, "node")
		secure := testservices.KafkaSecure(t)
		testTypeScriptHost(t, p, bin, "node", &secure)
	})
}

// use makes a runtime the one that runs the package's plugins.
func (p tsPackage) use(t *testing.T, runtime string) {
	t.Helper()
	for _, folder := range []string{"examples/calculate", "conformance"} {
		manifest := p.path(folder, "plugin.toml")
		text, err := os.ReadFile(manifest)
		if err == nil {
			text = regexp.MustCompile(`command = \["(node|bun)"`).ReplaceAll(text, []byte(`command = ["`+runtime+`"`))
			err = os.WriteFile(manifest, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// searchPath is a PATH on which both runtimes are.
func (p tsPackage) searchPath() string {
	return p.path("node_modules", ".bin") + string(filepath.ListSeparator) + os.Getenv("PATH")
}

// A hostLog collects what a plugin says.
type hostLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *hostLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *hostLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func startTypeScript(t testing.TB, p tsPackage, runtime, folder string, settings map[string]any) (*process.Process, *hostLog, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l := new(hostLog)
	cfg := tsConfig(t, p, runtime, folder)
	cfg.Settings, cfg.Logger = settings, hclog.New(&hclog.LoggerOptions{Output: l, JSONFormat: true, Level: hclog.Debug})
	proc, err := process.Start(ctx, cfg)
	return proc, l, err
}

func tsConfig(t testing.TB, p tsPackage, runtime, folder string) process.Config {
	t.Helper()
	return process.Config{Name: "plugin", Version: "1", Path: p.runtime(t, runtime), Args: []string{"main.mjs"}, Dir: p.path(folder), NoTLS: true}
}

// testTypeScriptProtocol: the conformance plugin passes all of the cases that
// `rrhost plugin test` runs.
func testTypeScriptProtocol(t *testing.T, p tsPackage, runtime string) {
	seen := 0
	passed, err := conformance.Run(t.Context(), tsConfig(t, p, runtime, "conformance"), conformance.Options{StartTimeout: patience}, func(r conformance.Result) {
		seen++
		if r.Outcome != conformance.OK {
			t.Errorf("%s: %s: %s; wanted: %s (%s)", r.Outcome, r.Case, r.Seen, r.Want, r.Doc)
		}
	})
	if err != nil || !passed || seen == 0 {
		t.Errorf("passed: %v, after %d cases: %v", passed, seen, err)
	}
}

// ask sends a request to a plugin, and returns where its result comes.
func ask(p *process.Process, name, payload string, within time.Duration) (uint64, <-chan stream.Result) {
	results := make(chan stream.Result, 2) // a second one would be a fault
	n := p.Instance().Start(stream.Request{
		Handler: name, Info: handler.Info{RequestID: "id-" + name, Topic: "topic", Attempt: 2, Traceparent: "parent"},
		Deadline: time.Now().Add(within), Payload: []byte(payload),
	}, func(r stream.Result) { results <- r })
	return n, results
}

// testTypeScriptPlugin runs the conformance plugin as the host does, and looks at
// what `rrhost plugin test` does not.
func testTypeScriptPlugin(t *testing.T, p tsPackage, runtime string) {
	proc, log, err := startTypeScript(t, p, runtime, "conformance", nil)
	if err != nil {
		t.Fatal(err)
	}
	if about := proc.Instance().About(); !strings.Contains(about.SDK, "("+runtime+" ") || about.Name != "conformance" || len(about.Handlers) != 10 || about.ConfigSchema == nil {
		t.Errorf("it describes itself as %+v", about)
	}
	if _, results := ask(proc, "chatty", `{"lines":20,"size":100}`, patience); (<-results).Err != nil {
		t.Error("chatty failed")
	}
	if _, results := ask(proc, "panic", `{"text":"x"}`, patience); (<-results).Err == nil {
		t.Error("panic did not fail")
	}
	var wait sync.WaitGroup
	for i := range 2000 {
		wait.Add(1)
		payload := fmt.Sprintf(`{"i":%d,"pad":%q}`, i, strings.Repeat("x", i))
		proc.Instance().Start(stream.Request{Handler: "echo", Deadline: time.Now().Add(patience), Payload: []byte(payload)}, func(r stream.Result) {
			if string(r.Payload) != payload {
				t.Errorf("request %d: %d bytes, %v", i, len(r.Payload), r.Err)
			}
			wait.Done()
		})
	}
	wait.Wait()

	// SIGTERM: what runs is finished, and the plugin leaves.
	_, running := ask(proc, "slow", `{"ms":200}`, patience)
	_, echoed := ask(proc, "echo", "1", patience)
	<-echoed // so the one before has begun
	if err := syscall.Kill(proc.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if res := <-running; res.Err != nil || res.Crashed {
		t.Errorf("what ran at SIGTERM: %+v", res)
	}
	<-proc.Done()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if cause := proc.Stop(ctx); cause != nil && !errors.Is(cause, stream.ErrEnded) && !strings.Contains(cause.Error(), "exited with code 0") {
		t.Errorf("it left by itself: %v", cause)
	}
	said := log.String()
	if strings.Contains(said, "secret-") || !strings.Contains(said, "handler panicked") {
		t.Errorf("the log:\n%s", said)
	}
	if lines := strings.Count(said, strings.Repeat("x", 100)); lines != 60 {
		t.Errorf("%d of 60 printed lines are in the log", lines)
	}

	// A handler that ends the process ends the stream, with its exit code named.
	proc, _, err = startTypeScript(t, p, runtime, "conformance", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, gone := ask(proc, "exit", `{"code":7}`, patience)
	if res := <-gone; !res.Crashed || res.NotStarted {
		t.Errorf("a crash: %+v", res)
	}
	if cause := proc.Stop(ctx); cause == nil || !strings.Contains(cause.Error(), "exited with code 7") {
		t.Errorf("the cause is %v", cause)
	}
}

var slowRuns = regexp.MustCompile(`(?m)^rrhost_in_flight\{.*topic="slow-[^"]*".*\} 1$`)

const tsTopics = `
[[topic]]
name = "calculate-@"
plugin = "calculate"
[[topic]]
name = "slow-@"
plugin = "conformance"
handler = "slow"
[[topic]]
name = "fail-@"
plugin = "conformance"
handler = "fail"
[[topic]]
name = "exit-@"
plugin = "conformance"
handler = "exit"
[[topic]]
name = "echo-@"
plugin = "conformance"
handler = "echo"
`

// testTypeScriptHost runs a host with plugins on a runtime, asked by rrclient and
// by the TypeScript requester on the same runtime.
func testTypeScriptHost(t *testing.T, p tsPackage, bin, runtime string, secure *testservices.Secure) {
	h := startHost(t, hostSetup{
		bin: bin, path: p.searchPath(), topics: tsTopics, secure: secure,
		plugins: []string{p.path("examples", "calculate"), p.path("conformance")},
	})
	if out, errs, code := h.rrclient(t, "calculate", `{"a":10,"b":5}`); code != 0 || out != "{\"result\":15}\n" {
		t.Errorf("rrclient: %q, %s, exit %d", out, errs, code)
	}
	if _, errs, code := h.rrclient(t, "calculate", `{"a":1e308,"b":1e308}`); code != 4 || !strings.Contains(errs, "overflow") {
		t.Errorf("an error of the handler: %s, exit %d, want 4", errs, code)
	}
	if _, errs, code := h.rrclient(t, "calculate", `{"a":"x","b":5}`); code != 1 || !strings.Contains(errs, `"a"`) {
		t.Errorf("a payload that does not fit: %s, exit %d, want 1", errs, code)
	}
	env := []string{
		"BROKERS=" + h.kafka, "SUFFIX=" + h.suffix, "ENCRYPTION_KEY=" + h.read(t, "data", "key"),
		"SASL_MECHANISM=SCRAM-SHA-256", "SASL_USERNAME=rrhost", "SASL_PASSWORD=" + h.read(t, "data", "broker.password"),
	}
	if secure != nil {
		env = append(env, "SASL_MECHANISM=SCRAM-SHA-512", "SASL_USERNAME="+secure.User, "CA="+secure.CA)
	}
	out := run(t, p.dir, env, p.runtime(t, runtime), p.path("build", "test", "requester.js"))
	if strings.TrimSpace(out) != "ok" {
		t.Errorf("the requester says %q", out)
	}

	if secure == nil {
		testTypeScriptOutage(t, p, h, runtime, env)
	}

	// A request that runs while its plugin is replaced is answered.
	type said struct {
		out, errs string
		code      int
	}
	answered := make(chan said, 1)
	go func() {
		out, errs, code := h.rrclient(t, "slow", `{"ms":2000}`)
		answered <- said{out, errs, code}
	}()
	until(t, func() string {
		if slowRuns.MatchString(h.metrics(t)) {
			return ""
		}
		return "the request does not run"
	})
	run(t, h.dir, nil, filepath.Join(bin, "rrhost"), "plugin", "restart", "conformance", "--config", filepath.Join(h.dir, "config.toml"))
	if got := <-answered; got.code != 0 || !strings.Contains(got.out, "slept_ms") {
		t.Errorf("what ran while the plugin was replaced: %+v", got)
	}
	if out, errs, code := h.rrclient(t, "echo", `"new"`); code != 0 || out != "\"new\"\n" {
		t.Errorf("the new one: %q, %s, exit %d", out, errs, code)
	}
	h.stop(t)
}

// testTypeScriptOutage kills the host, and with it the broker, under a requester.
func testTypeScriptOutage(t *testing.T, p tsPackage, h *hostRun, runtime string, env []string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.runtime(t, runtime), p.path("build", "test", "outage.js"))
	cmd.Dir, cmd.Env, cmd.Stderr = p.dir, append(os.Environ(), env...), &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the requester says %q, want %q; %s", lines.Text(), want, &stderr)
		}
	}
	expect("answered")
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.ended
	expect("waiting")
	h.launch(t)
	expect("answered after the outage")
	expect("answered again")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the requester: %v\n%s", err, &stderr)
	}
}
