package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/handler"
	"rrhost/internal/stream"
)

// log collects what a plugin says.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: l, JSONFormat: true, Level: hclog.Debug})
}

func startPlugin(t *testing.T, change func(*Config)) (*Process, *log) {
	t.Helper()
	l := new(log)
	cfg := Config{Name: "testplugin", Version: "v1", Path: testPlugin, Dir: t.TempDir(), Logger: l.logger()}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p, err := Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	return p, l
}

func stop(t *testing.T, p *Process) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.Stop(ctx)
	if alive(p.PID()) {
		t.Errorf("process %d is alive after Stop", p.PID())
	}
	if _, err := os.Stat(p.sockets.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", p.sockets.dir, err)
	}
	return err
}

// alive reports whether there is a process that is no zombie.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

type order map[string]any

type report struct {
	Nonce, F, Text string
	Attempt, PID   int
	Redelivered    bool
	RequestID      string `json:"request_id"`
}

func ask(p *Process, o order, timeout time.Duration) (uint64, <-chan stream.Result) {
	payload, _ := json.Marshal(o)
	results := make(chan stream.Result, 1)
	n := p.Instance().Start(stream.Request{
		Handler:  "work",
		Info:     handler.Info{RequestID: "id-1", Topic: "topic", Attempt: 1},
		Deadline: time.Now().Add(timeout), Payload: payload,
	}, func(r stream.Result) { results <- r })
	return n, results
}

func mustAnswer(t *testing.T, p *Process, o order) report {
	t.Helper()
	_, results := ask(p, o, 10*time.Second)
	res := <-results
	if res.Err != nil || res.Crashed {
		t.Fatalf("%v: %+v, %v", o, res, res.Err)
	}
	var r report
	if err := json.Unmarshal(res.Payload, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOneLife(t *testing.T) {
	p, _ := startPlugin(t, nil)
	about := p.Instance().About()
	if len(about.Handlers) != 2 || about.Handlers[0].Name != "work" || about.Handlers[1].Name != "echo" {
		t.Fatalf("about: %+v", about)
	}
	if !strings.Contains(string(about.Handlers[0].RequestSchema), `"nonce"`) {
		t.Errorf("schema: %s", about.Handlers[0].RequestSchema)
	}
	r := mustAnswer(t, p, order{"nonce": "n"})
	if r.Nonce != "n" || r.F != "1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9" || r.RequestID != "id-1" || r.PID != p.PID() {
		t.Errorf("%+v", r)
	}
	if err := stop(t, p); err != nil {
		t.Errorf("Stop = %v, want nil for a plugin that was asked to end", err)
	}
	_, results := ask(p, order{}, time.Second)
	if res := <-results; !res.Crashed || !res.NotStarted {
		t.Errorf("after the end: %+v", res)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	p, l := startPlugin(t, nil)
	const canary = "canary-9913"
	tests := []struct {
		order        order
		status, code string
	}{
		{order{"do": "fail", "code": "no_such_account", "text": canary}, "handler_error", "no_such_account"},
		{order{"do": "fail", "text": canary}, "handler_error", "error"},
		{order{"do": "panic", "text": canary}, "handler_error", "panic"},
		{order{"do": "goexit", "text": canary}, "handler_error", "panic"},
		{order{"do": 1, "text": canary}, "invalid_payload", "invalid_payload"},
		{order{"do": "sleep", "ms": 60_000}, "deadline_exceeded", "deadline_exceeded"},
		{order{"do": "flood", "ms": 1_100_000}, "reply_too_large", "reply_too_large"},
	}
	for _, tt := range tests {
		timeout := 10 * time.Second
		if tt.status == "deadline_exceeded" {
			timeout = 50 * time.Millisecond
		}
		_, results := ask(p, tt.order, timeout)
		res := <-results
		if res.Err == nil || res.Err.Status != tt.status || res.Err.Code != tt.code {
			t.Errorf("%v: %+v, %v", tt.order, res, res.Err)
		}
	}
	done := make(chan stream.Result, 1)
	p.Instance().Start(stream.Request{Handler: "other", Deadline: time.Now().Add(time.Second)}, func(r stream.Result) { done <- r })
	if res := <-done; res.Err == nil || res.Err.Status != "no_handler" {
		t.Errorf("unknown handler: %+v", res)
	}
	mustAnswer(t, p, order{}) // it has survived all that
	eventually(t, "the panic's stack in the log", func() bool { return strings.Contains(l.String(), "main.work") })
	if strings.Contains(l.String(), canary) {
		t.Errorf("an error's text or a panic's value is in the log:\n%s", l)
	}
}

func TestCancel(t *testing.T) {
	p, _ := startPlugin(t, nil)
	n, results := ask(p, order{"do": "sleep", "ms": 60_000}, time.Minute)
	mustAnswer(t, p, order{}) // by now the sleeper has been taken
	p.Instance().Cancel(n)
	if res := <-results; res.Err == nil || res.Err.Status != "deadline_exceeded" {
		t.Errorf("%+v", res)
	}
	p.Instance().Cancel(n)
	p.Instance().Cancel(4711)
	mustAnswer(t, p, order{})
}

func TestManyAtOnceGetTheirOwn(t *testing.T) {
	p, _ := startPlugin(t, nil)
	var wait sync.WaitGroup
	for i := range 2000 {
		nonce := strconv.Itoa(i)
		body := strings.Repeat("y", i*7%3000)
		if i%500 == 0 {
			body = strings.Repeat("y", 900_000) // larger than a frame
		}
		payload, _ := json.Marshal(nonce + body)
		wait.Add(1)
		p.Instance().Start(stream.Request{Handler: "echo", Deadline: time.Now().Add(time.Minute), Payload: payload}, func(r stream.Result) {
			if !bytes.Equal(r.Payload, payload) {
				t.Errorf("%s: got another's answer, or none: %v", nonce, r.Err)
			}
			wait.Done()
		})
	}
	wait.Wait()
}

func TestDeathIsNamedAndCrashesWhatRan(t *testing.T) {
	tests := []struct {
		name string
		die  func(p *Process)
		want string
	}{
		{"killed", func(p *Process) { _ = syscall.Kill(p.PID(), syscall.SIGKILL) }, "killed by signal 9 (killed)"},
		{"exits", func(p *Process) { ask(p, order{"do": "exit", "ms": 7}, time.Minute) }, "exited with code 7"},
		{"panics", func(p *Process) { ask(p, order{"do": "crash", "text": "canary-2201"}, time.Minute) }, "exited with code 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, l := startPlugin(t, nil)
			_, sleeper := ask(p, order{"do": "sleep", "ms": 60_000}, time.Minute)
			mustAnswer(t, p, order{})
			tt.die(p)
			if res := <-sleeper; !res.Crashed || res.NotStarted {
				t.Errorf("%+v", res)
			}
			<-p.Done()
			if err := stop(t, p); err == nil || err.Error() != tt.want {
				t.Errorf("cause %v, want %s", err, tt.want)
			}
			if strings.Contains(l.String(), "canary-2201") {
				t.Errorf("the panic's value is in the log:\n%s", l)
			}
			if tt.name == "panics" && !strings.Contains(l.String(), "main.misbehave") {
				t.Errorf("the stack is not in the log:\n%s", l)
			}
		})
	}
}

func TestSIGTERMDrains(t *testing.T) {
	p, _ := startPlugin(t, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	_, running := ask(p, order{"do": "wait", "text": gate, "nonce": "a"}, time.Minute)
	mustAnswer(t, p, order{})
	if err := syscall.Kill(p.PID(), syscall.SIGINT); err != nil { // ignored
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// Requests from now on are answered until the goodbye, and those after it say
	// that they were not taken. One that is slow to be answered most likely came
	// after it, so what runs may end then; nothing is wrong if it did not.
	open := false
	eventually(t, "goodbye", func() bool {
		_, late := ask(p, order{}, time.Minute)
		var res stream.Result
		select {
		case res = <-late:
		case <-time.After(50 * time.Millisecond):
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			open = true
			res = <-late
		}
		if res.Err != nil || res.Crashed && !res.NotStarted {
			t.Errorf("what came after SIGTERM: %+v", res)
		}
		return res.Crashed
	})
	if !open {
		t.Error("the plugin did not wait for what ran")
	}
	if res := <-running; res.Err != nil || res.Crashed {
		t.Errorf("what ran when SIGTERM came: %+v", res)
	}
	<-p.Done()
}

func TestNothingOfTheGroupSurvives(t *testing.T) {
	p, _ := startPlugin(t, nil)
	child, _ := strconv.Atoi(mustAnswer(t, p, order{"do": "fork"}).Text)
	if !alive(child) {
		t.Fatalf("no child %d", child)
	}
	_ = syscall.Kill(p.PID(), syscall.SIGKILL)
	<-p.Exited()
	eventually(t, "the child is gone", func() bool { return !running(child) })
}

// running is alive without zombies: a grandchild is reaped by whoever adopts it.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return alive(pid)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestEnvironmentIsAllowListed(t *testing.T) {
	t.Setenv("RRTEST_SECRET", "s3cr3t")
	t.Setenv("RRTEST_ALLOWED", "yes")
	t.Setenv("ENCRYPTION_KEY", "k3y")
	p, _ := startPlugin(t, func(c *Config) { c.Env = []string{"RRTEST_ALLOWED", "ENCRYPTION_KEY", "RRTEST_UNSET"} })
	for name, want := range map[string]string{"RRTEST_SECRET": "", "ENCRYPTION_KEY": "", "RRTEST_ALLOWED": "yes", "PATH": os.Getenv("PATH")} {
		if got := mustAnswer(t, p, order{"do": "env", "text": name}).Text; got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	p, _ := startPlugin(t, func(c *Config) { c.Settings = map[string]any{"text": "hello"} })
	if got := mustAnswer(t, p, order{"do": "settings"}).Text; got != "hello" {
		t.Errorf("got %q", got)
	}
	for _, tt := range []struct {
		path     string
		settings map[string]any
		want     string
	}{
		{testPlugin, map[string]any{"refuse": true}, "it refuses its settings: refuse is set"},
		{testPlugin, map[string]any{"txet": "x"}, `it refuses its settings: unknown field "txet"`},
		{testPlugin, map[string]any{"text": 4711}, "it refuses its settings: text must be of type string"},
		{echoPlugin, map[string]any{"a": 1}, "it refuses its settings: this plugin takes no configuration"},
	} {
		_, err := Start(t.Context(), Config{Name: "p", Path: tt.path, Dir: t.TempDir(), Settings: tt.settings})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !Hopeless(err) {
			t.Errorf("%v: %v", tt.settings, err)
		}
	}
}

func TestWhatItPrintsIsLogged(t *testing.T) {
	p, l := startPlugin(t, nil)
	mustAnswer(t, p, order{"do": "print", "text": "hello from print"})
	mustAnswer(t, p, order{"do": "log", "text": "hello from log", "nonce": "n-1"})
	eventually(t, "both in the log", func() bool {
		return strings.Count(l.String(), "hello from print") == 2 && strings.Contains(l.String(), "hello from log")
	})
	for line := range strings.Lines(l.String()) {
		var rec map[string]any
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if rec["plugin"] != "testplugin" || rec["version"] != "v1" || rec["pid"] != float64(p.PID()) {
			t.Errorf("line without its plugin: %s", line)
		}
		if rec["@message"] == "hello from log" && (rec["nonce"] != "n-1" || rec["request_id"] != "id-1") {
			t.Errorf("line without its request: %s", line)
		}
	}
}

func TestStartThatIsTooSlow(t *testing.T) {
	path := script(t, "exec sleep 600")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, Config{Name: "slow", Path: path, Dir: t.TempDir()})
	if !errors.Is(err, context.DeadlineExceeded) || Hopeless(err) {
		t.Errorf("Start = %v", err)
	}
}

// script makes an executable shell script.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStartsThatFail(t *testing.T) {
	tests := []struct {
		name, body, want string
		hopeless         bool
	}{
		{"silent exit", "exit 3", "exited with code 3 before its handshake", false},
		{"says why", "echo no licence >&2; exit 1", "it said: no licence", false},
		{"says why at the end", `printf 'Traceback (most recent call last):\n  File "main.py", line 1\nModuleNotFoundError: No module named rates\nErrors: 1\n' >&2; exit 1`, "it said: ModuleNotFoundError: No module named rates", false},
		{"says why in the middle", `printf 'node:internal/modules:9\n\nError [ERR_MODULE_NOT_FOUND]: Cannot find module rates\n    at main.ts:1\n\nNode.js v22\n' >&2; exit 1`, "it said: Error [ERR_MODULE_NOT_FOUND]: Cannot find module rates", false},
		{"no plugin", "echo hello world", "handshake", false},
		{"no plugin that stays", "echo hello world; exec sleep 600", "is it an rrhost plugin?", false},
		{"endless line", "exec tr '\\0' x </dev/zero", "is it an rrhost plugin?", false},
		{"other version", "echo '1|7|unix|'$PLUGIN_UNIX_SOCKET_DIR'/s|grpc|'; exec sleep 600", `protocol version "7"`, true},
		{"net/rpc", "echo '1|1|unix|'$PLUGIN_UNIX_SOCKET_DIR'/s|netrpc|'; exec sleep 600", "does not speak gRPC", true},
		{"tcp", "echo '1|1|tcp|127.0.0.1:1|grpc|'; exec sleep 600", "unix is wanted", false},
		{"socket elsewhere", "echo '1|1|unix|/tmp/s|grpc|'; exec sleep 600", "not in the folder", false},
		{"no certificate", "echo '1|1|unix|'$PLUGIN_UNIX_SOCKET_DIR'/s|grpc|'; exec sleep 600", "certificate is missing", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Start(t.Context(), Config{Name: "p", Path: script(t, tt.body), Dir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), tt.want) || Hopeless(err) != tt.hopeless {
				t.Errorf("Start = %v (hopeless: %v)", err, Hopeless(err))
			}
		})
	}
	_, err := Start(t.Context(), Config{Name: "p", Path: "/nowhere/plugin", Dir: t.TempDir()})
	if err == nil || !Hopeless(err) {
		t.Errorf("no file: %v", err)
	}
}

// TestProgramsThatCannotBeRun: why is told, of the file that its author knows.
func TestProgramsThatCannotBeRun(t *testing.T) {
	t.Run("linked elsewhere", func(t *testing.T) {
		if got := unrunnable(echoPlugin, syscall.ENOENT); runtime.GOOS == "linux" && !strings.HasPrefix(got, "what it was linked to be loaded with is missing") {
			t.Errorf("unrunnable = %q", got)
		}
	})
	for _, tt := range []struct{ name, content, want string }{
		{"no interpreter", "#!/no/such/interpreter -x\nbody", `the interpreter in its first line, "/no/such/interpreter", is missing`},
		{"with a tab", "#! \t/no/such/interpreter\t-x\nbody", `the interpreter in its first line, "/no/such/interpreter", is missing`},
		{"lines end as on Windows", "#!/bin/sh\r\nexit\r\n", `the interpreter in its first line, "/bin/sh\r", is missing`},
		{"for another system", "\x7fELF\x02\x01\x01", "it is not a program for " + runtime.GOOS + "/" + runtime.GOARCH},
		{"a script without #!", "echo hello\n", "it is not a program for " + runtime.GOOS + "/" + runtime.GOARCH},
		{"empty", "", "it is not a program for " + runtime.GOOS + "/" + runtime.GOARCH},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "copy")
			if err := os.WriteFile(path, []byte(tt.content), 0o700); err != nil {
				t.Fatal(err)
			}
			_, err := Start(t.Context(), Config{Name: "p", Path: path, Dir: t.TempDir(), Origin: "plugins/p"})
			if err == nil || !strings.HasPrefix(err.Error(), "plugins/p: "+tt.want) || strings.Contains(err.Error(), path) || !Hopeless(err) {
				t.Errorf("Start = %v (hopeless: %v), want %s", err, Hopeless(err), tt.want)
			}
		})
	}
}

// TestSocketThatNobodyServes is a plugin that prints a good line and then does
// not answer: the start ends when its time is over, and leaves nothing.
func TestSocketThatNobodyServes(t *testing.T) {
	path := script(t, "echo '1|1|unix|'$PLUGIN_UNIX_SOCKET_DIR'/s|grpc|'; exec sleep 600")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := Start(ctx, Config{Name: "p", Path: path, Dir: t.TempDir(), NoTLS: true})
	if err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("Start = %v", err)
	}
}

// TestFileStillOpenForWriting: right after a copy, the kernel may refuse to run
// a file because a forked child still holds it.
func TestFileStillOpenForWriting(t *testing.T) {
	text, err := os.ReadFile(echoPlugin)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "echo")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = f.Close() })
	p, err := Start(t.Context(), Config{Name: "echo", Path: path, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, p)
}
