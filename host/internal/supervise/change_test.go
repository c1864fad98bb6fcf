package supervise

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/plugindir"
	"rrhost/internal/process"
)

// What is written in place, in pieces and slowly, is looked at once it has been
// still for a while and nobody holds it open.
func TestHalfWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := prepared(t, Config{Locked: true}, defaultTiming) // locked: it is looked at and not run
		ctx := t.Context()
		w.first(ctx)
		next(t, "rejected", w.rejected) // it is absent
		path := filepath.Join(w.dir, "p")
		var f *os.File
		write := func(text string) {
			t.Helper()
			var err error
			if f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(text); err != nil {
				t.Fatal(err)
			}
		}
		passes := func(d time.Duration, taken bool, when string) {
			t.Helper()
			time.Sleep(d)
			w.look(ctx)
			if got := len(w.rejected) > 0; got != taken {
				t.Fatalf("%s: it was looked at: %t", when, got)
			}
		}
		for _, open := range []bool{false, true} {
			write("a half")
			if !open {
				f.Close()
			}
			passes(0, false, "at once")
			passes(w.time.settle-1, false, "before it is still")
			if !open { // it goes on
				write("another")
				f.Close()
				passes(1, false, "another piece")
				passes(w.time.settle-1, false, "before it is still again")
				passes(1, true, "when it is still")
			} else if lockable(path) {
				passes(time.Hour, false, "while somebody holds it open")
				f.Close()
				passes(0, true, "closed")
			} else {
				f.Close()
				continue
			}
			if err := <-w.rejected; !strings.Contains(err.Error(), "rrhost plugin trust p") {
				t.Errorf("it was not looked at: %v", err)
			}
		}
	})
}

// What somebody still writes when the host starts is looked at once he has closed
// it, although nothing of it changes any more.
func TestWrittenAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := prepared(t, Config{Locked: true}, defaultTiming)
		path := filepath.Join(w.dir, "p")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
		if err != nil {
			t.Fatal(err)
		}
		if !lockable(path) {
			f.Close()
			t.Skip("this system does not tell who writes")
		}
		w.first(t.Context())
		if err := <-w.rejected; !errors.Is(err, plugindir.ErrBusy) {
			t.Errorf("while it is written: %v", err)
		}
		f.Close()
		w.look(t.Context())
		time.Sleep(w.time.settle)
		w.look(t.Context())
		if err := next(t, "rejected", w.rejected); !strings.Contains(err.Error(), "rrhost plugin trust p") {
			t.Errorf("closed: %v", err)
		}
	})
}

// lockable tells whether this system tells who has a file open for writing.
func lockable(path string) bool {
	_, _, err := plugindir.Identify(plugindir.Look(filepath.Dir(path), filepath.Base(path)))
	return err != nil
}

// A manifest's say: how many processes, TLS, and variables of the host's, which its
// configuration must allow too.
func TestManifest(t *testing.T) {
	no := false
	b := plugindir.Build{Name: "p", Manifest: plugindir.Manifest{Instances: 3, TLS: &no, Env: []string{"A", "B"}}}
	c := Config{Allowed: []string{"B", "C"}, Process: process.Config{Env: []string{"D"}}}
	if got := c.processOf(b); !got.NoTLS || !slices.Equal(got.Env, []string{"D", "B"}) {
		t.Errorf("without TLS %t, variables %q", got.NoTLS, got.Env)
	}
	if got := c.processOf(plugindir.Build{Name: "p"}); got.NoTLS || !slices.Equal(got.Env, []string{"D"}) {
		t.Errorf("by default: without TLS %t, variables %q", got.NoTLS, got.Env)
	}
	for configured, want := range map[int]int{0: 3, 2: 2} {
		if got := len(newGeneration(New(Config{Instances: configured}), b).seats); got != want {
			t.Errorf("%d processes where the configuration says %d, want %d", got, configured, want)
		}
	}
	if got := len(newGeneration(New(Config{}), plugindir.Build{Name: "p"}).seats); got != 1 {
		t.Errorf("%d processes by default", got)
	}
}

// A transcript is a log that can be read while it is written.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// The log tells each change of state, and once what strict trust would want.
func TestLog(t *testing.T) {
	t.Parallel()
	l := new(transcript)
	w := prepared(t, Config{Logger: hclog.New(&hclog.LoggerOptions{Output: l})}, quick())
	w.install(t, "1")
	path := filepath.Join(w.dir, "p")
	if err := os.Chmod(path, 0o707); err != nil {
		t.Fatal(err)
	}
	w.run(t)
	i := next(t, "up", w.up)
	next(t, "crash", ask(i, `{"do":"exit","ms":3}`))
	next(t, "up again", w.up)
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	version := "version=" + w.State().Version
	for _, want := range []string{
		"[INFO]  plugin verified: plugin=p " + version, "[INFO]  plugin starting: plugin=p", "[INFO]  plugin ready: plugin=p",
		`[WARN]  plugin ended: plugin=p ` + version + ` error="exited with code 3" starts_again_in=1ms`, "[INFO]  plugin replaced: plugin=p",
		"[INFO]  plugin draining: plugin=p", "[INFO]  plugin stopped: plugin=p",
	} {
		until(t, want+" in the log", func() bool { return strings.Contains(l.String(), want) })
	}
	if got := strings.Count(l.String(), "others could have written this plugin"); got != 1 || !strings.Contains(l.String(), "chmod o-w "+path) {
		t.Errorf("it was warned %d times:\n%s", got, l)
	}
}
