// Package scripttest runs the commands' test scripts, each in a folder of its own
// with free ports and, where it wants one, a real host. Only tests import it.
package scripttest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rrhost/internal/testprograms"
	"rrhost/internal/testservices"
)

// patience bounds what a script waits for; it is only ever reached by a failure.
const patience = 60 * time.Second

// Run runs the scripts in testdata/script. Beside the test binary's own commands
// they find the programs built from the packages named in others, and the
// variables KAFKA and ADMIN (addresses that are free), PLUGINS (a plugin folder
// with calculate and testplugin), CLOSED (an address where nobody listens) and
// ESCAPE (what turns a terminal red). What they build finds Go's caches.
//
// Commands that they have beside testscript's:
//
//	expand FILE             put variables into a file
//	exits CODE CMD ARGS     run a command that must exit with that code
//	within D CMD ARGS       run a command, which may fail, that must end in time
//	until URL REGEXP        wait until what URL answers matches, or a file does
//	eventually REGEXP CMD ARGS  run a command until what it prints matches
//	capture VAR FILE REGEXP set VAR to the first group's match in a file
//	occupy ADDRESS          listen there until the script ends
//	signal NAME PROGRAM     send TERM or INT to the program in the background
//
// and the condition [fast], which holds where RRHOST_TEST_FAST=1 asks for quick
// tests.
func Run(t *testing.T, others ...string) {
	bin := t.TempDir()
	build(t, bin, others...)
	plugins := filepath.Join(bin, "plugins")
	for _, p := range []struct{ folder, source string }{
		{"calculate", "rrhost/plugins/calculate"}, {"testplugin", "rrhost/internal/testplugin"},
	} {
		build(t, filepath.Join(plugins, p.folder), p.source)
	}
	caches := caches(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"KAFKA", "ADMIN", "CLOSED"} {
				address, err := testservices.FreeAddress()
				if err != nil {
					return err
				}
				e.Setenv(name, address)
			}
			for name, value := range caches {
				e.Setenv(name, value)
			}
			// A program with the race detector lingers for a second at its end, in
			// case a goroutine that is left races. A script starts dozens of them.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Setenv("PLUGINS", plugins)
			e.Setenv("ESCAPE", "\x1b[31m")
			e.Setenv("PATH", bin+string(filepath.ListSeparator)+e.Getenv("PATH"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "fast" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return os.Getenv("RRHOST_TEST_FAST") == "1", nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"expand": expand, "exits": exits, "within": within, "until": until, "eventually": eventually,
			"capture": capture, "occupy": occupy, "signal": send,
		},
	})
}

func build(t *testing.T, dir string, packages ...string) {
	t.Helper()
	if err := testprograms.Build(dir, packages...); err != nil {
		t.Fatal(err)
	}
}

// caches are Go's, of whoever runs the tests: for scripts that build.
func caches(t *testing.T) map[string]string {
	t.Helper()
	names := []string{"GOCACHE", "GOMODCACHE"}
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	values := make(map[string]string)
	for n, value := range strings.Fields(string(out)) {
		values[names[n]] = value
	}
	return values
}

// need checks a command's arguments.
func need(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

func expand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "expand FILE")
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "exits CODE CMD ARGS")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func within(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "within DURATION CMD ARGS")
	most, err := time.ParseDuration(args[0])
	ts.Check(err)
	begun := time.Now()
	_ = ts.Exec(args[1], args[2:]...) // its output tells whether it failed
	if took := time.Since(begun); took > most {
		ts.Fatalf("took %s, may take %s", took, most)
	}
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "until URL|FILE REGEXP")
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if last = get(ts, args[0]); want.MatchString(last) {
			return
		}
	}
	ts.Fatalf("%s has no %q, but %s", args[0], want, last)
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "eventually REGEXP CMD ARGS")
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ts.Exec(args[1], args[2:]...) == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%v prints no %q", args[1:], want)
}

func get(ts *testscript.TestScript, from string) string {
	if !strings.HasPrefix(from, "http://") {
		text, err := os.ReadFile(ts.MkAbs(from))
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(from)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprint(string(body), err)
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "capture VARIABLE FILE REGEXP")
	found := regexp.MustCompile(args[2]).FindStringSubmatch(ts.ReadFile(args[1]))
	if len(found) != 2 {
		ts.Fatalf("%s is not in %s", args[2], args[1])
	}
	ts.Setenv(args[0], found[1])
}

func occupy(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "occupy ADDRESS")
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
}

func send(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "signal TERM|INT PROGRAM")
	name := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT}[args[0]]
	for _, cmd := range ts.BackgroundCmds() {
		if strings.TrimSuffix(filepath.Base(cmd.Path), ".exe") == args[1] && name != nil {
			ts.Check(cmd.Process.Signal(name))
			return
		}
	}
	ts.Fatalf("no background command %s, or no signal %s", args[1], args[0])
}
