package devloop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rrhost/internal/plugindir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is reached by failures alone.
const patience = 60 * time.Second

// A bench is a plugin directory, its loop, and what that does.
type bench struct {
	dir    string
	events chan Event
	reload func() error // what the host answers

	mu  sync.Mutex
	ran []string // what the program said at each reload
}

func (b *bench) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// says is a program that says a word, which its helper knows.
func (b *bench) says(t *testing.T, word string) {
	t.Helper()
	b.write(t, "p/main.go", fmt.Sprintf("package main\n\nfunc main() { println(%q) }\n", word))
}

// start builds and watches the plugin p until the test ends.
func (b *bench) start(t *testing.T) {
	t.Helper()
	b.events = make(chan Event, 100)
	loop := New(Config{
		Dir: b.dir, Plugins: []string{"p"}, Interval: 10 * time.Millisecond,
		Report: func(e Event) { b.events <- e },
		Reload: func(ctx context.Context, name string) error {
			out, err := exec.CommandContext(ctx, filepath.Join(b.dir, name, name)).CombinedOutput()
			if err != nil {
				return err
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.ran = append(b.ran, strings.TrimSpace(string(out)))
			if b.reload != nil {
				return b.reload()
			}
			return nil
		},
	})
	loop.Build(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); loop.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// expect waits for these steps, and no others.
func (b *bench) expect(t *testing.T, steps ...Step) (last Event) {
	t.Helper()
	for _, want := range steps {
		select {
		case last = <-b.events:
			if last.Step != want || last.Plugin != "p" {
				t.Fatalf("%s %s: %v\n%s\nwant %s", last.Plugin, last.Step, last.Err, last.Output, want)
			}
		case <-time.After(patience):
			t.Fatalf("waiting for %s", want)
		}
	}
	return last
}

func (b *bench) said(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.Join(b.ran, " ") != strings.Join(want, " ") {
		t.Errorf("the host ran %q, want %q", b.ran, want)
	}
}

const goMod = "module plugins/p\n\ngo 1.26\n"

func TestEditIsBuiltAndReloaded(t *testing.T) {
	t.Parallel()
	b := &bench{dir: t.TempDir()}
	b.write(t, "p/go.mod", goMod)
	b.says(t, "one")
	b.start(t)
	b.expect(t, Building, Built)

	b.says(t, "two")
	b.expect(t, Changed, Built, Reloaded)
	b.said(t, "two")

	// What does not build is told, with the compiler's words; what is there stays.
	b.write(t, "p/main.go", "package main\n\nfunc main() { oops }\n")
	e := b.expect(t, Changed, BuildFailed)
	if !strings.Contains(e.Output, "./main.go:3:15: undefined: oops") {
		t.Errorf("it says %q", e.Output)
	}
	b.said(t, "two")
	if out, err := exec.Command(filepath.Join(b.dir, "p/p")).CombinedOutput(); err != nil || string(out) != "two\n" {
		t.Errorf("the program is %q, %v", out, err)
	}

	// What is no source of it is not built from; the next source is.
	b.write(t, "p/main_test.go", "package main\n")
	b.write(t, "p/.swp", "")
	b.says(t, "three")
	b.expect(t, Changed, Built, Reloaded)
	b.said(t, "two", "three")
	entries, err := filepath.Glob(filepath.Join(b.dir, "p/.p*"))
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestSources: what is no source of a plugin is not looked at, and what is one is.
func TestSources(t *testing.T) {
	t.Parallel()
	b := &bench{dir: t.TempDir()}
	b.write(t, "p/main.py", "")
	w := New(Config{Dir: b.dir, Plugins: []string{"p"}}).plugins[0]
	before := w.print()
	for _, name := range []string{".swp", ".git/HEAD", "main.py~", "main_test.go", "node_modules/x/index.js", "lib/node_modules/x/index.js", "__pycache__/main.pyc"} {
		b.write(t, "p/"+name, "")
		if changed := w.print().changed(before); len(changed) > 0 {
			t.Fatalf("%s makes a change of %q", name, changed)
		}
	}
	for _, name := range []string{"main.go", "lib/data.txt", "plugin.toml", "lib/test_main.py"} {
		b.write(t, "p/"+name, "")
		now := w.print()
		if changed := now.changed(before); len(changed) != 1 {
			t.Errorf("%s makes a change of %q", name, changed)
		}
		before = now
	}
}

// TestOutside: a package in another folder is a source too.
func TestOutside(t *testing.T) {
	t.Parallel()
	b := &bench{dir: t.TempDir()}
	b.write(t, "lib/go.mod", "module lib\n\ngo 1.26\n")
	b.write(t, "lib/lib.go", "package lib\n\nconst Word = \"one\"\n")
	b.write(t, "p/go.mod", goMod+"\nrequire lib v0.0.0\n\nreplace lib => ../lib\n")
	b.write(t, "p/main.go", "package main\n\nimport \"lib\"\n\nfunc main() { println(lib.Word) }\n")
	b.start(t)
	b.expect(t, Building, Built)
	b.write(t, "lib/lib.go", "package lib\n\nconst Word = \"other\"\n")
	b.expect(t, Changed, Built, Reloaded)
	b.said(t, "other")

	// And one that comes in later, once it has been found.
	b.write(t, "late/go.mod", "module late\n\ngo 1.26\n")
	b.write(t, "late/late.go", "package late\n\nconst Word = \"late\"\n")
	b.write(t, "p/go.mod", goMod+"\nrequire late v0.0.0\n\nreplace late => ../late\n")
	b.write(t, "p/main.go", "package main\n\nimport \"late\"\n\nfunc main() { println(late.Word) }\n")
	b.expect(t, Changed, Built, Reloaded)
	for n := 0; ; n++ { // nothing tells when
		b.write(t, "late/late.go", fmt.Sprintf("package late\n\nconst Word = \"later%d\"\n", n))
		select {
		case e := <-b.events:
			if e.Step != Changed {
				t.Fatalf("%+v", e)
			}
			b.expect(t, Built, Reloaded)
			return
		case <-time.After(100 * time.Millisecond):
		}
		if n > 600 {
			t.Fatal("a new folder is not watched")
		}
	}
}

// TestOutsideIsBeingWritten: a source that is half written when the folders are
// looked for leaves them watched, and they are looked for again.
func TestOutsideIsBeingWritten(t *testing.T) {
	t.Parallel()
	b := &bench{dir: t.TempDir()}
	b.write(t, "lib/go.mod", "module lib\n\ngo 1.26\n")
	b.write(t, "lib/lib.go", "package lib\n\nconst Word = \"one\"\n")
	b.write(t, "p/go.mod", goMod+"\nrequire lib v0.0.0\n\nreplace lib => ../lib\n")
	b.write(t, "p/main.go", "package main\n\nimport \"lib\"\n\nfunc main() { println(lib.Word) }\n")
	l := New(Config{Dir: b.dir, Plugins: []string{"p"}, Report: func(Event) {}})
	l.Build(t.Context())
	w := l.plugins[0]
	if len(w.outside) != 1 || !w.stale.IsZero() {
		t.Fatalf("folders %q, out of date since %v", w.outside, w.stale)
	}
	b.write(t, "lib/lib.go", "")
	w.look(t.Context())
	if len(w.outside) != 1 || w.stale.IsZero() {
		t.Errorf("with an empty source: folders %q, out of date since %v", w.outside, w.stale)
	}
}

// TestOwnBuild: plugin.toml says how, in the folder; what the command makes there
// is no source, and what is edited meanwhile is.
func TestOwnBuild(t *testing.T) {
	t.Parallel()
	b := &bench{dir: t.TempDir()}
	b.write(t, "p/plugin.toml", `build = ["sh", "-c", "cp source p; echo copied"]`)
	b.write(t, "p/source", "#!/bin/sh\necho one\n")
	b.start(t)
	if e := b.expect(t, Building, Built); e.Output != "copied\n" {
		t.Errorf("it printed %q", e.Output)
	}
	b.write(t, "p/source", "#!/bin/sh\necho two\n")
	b.expect(t, Changed, Built, Reloaded)
	b.said(t, "two")

	b.write(t, "p/plugin.toml", `build = ["sh", "-c", "cp source p; cp edit source 2>/dev/null; rm -f edit"]`)
	b.expect(t, Changed, Built, Reloaded)
	b.said(t, "two", "two")
	b.write(t, "p/edit", "#!/bin/sh\necho three\n") // an edit that is made while the next build runs
	b.expect(t, Changed, Built, Reloaded)
	b.said(t, "two", "two", "two")
	b.expect(t, Changed, Built, Reloaded)
	b.said(t, "two", "two", "two", "three")
	select {
	case e := <-b.events:
		t.Errorf("and once more: %+v", e)
	case <-time.After(200 * time.Millisecond): // twenty looks
	}
}

func TestNothingToBuild(t *testing.T) {
	t.Parallel()
	b := &bench{dir: t.TempDir()}
	b.write(t, "p/p", "#!/bin/sh\necho one\n")
	b.start(t)
	refusals := 0
	b.mu.Lock()
	b.reload = func() error {
		if refusals++; refusals == 1 {
			return fmt.Errorf("copy: %w", plugindir.ErrBusy) // tried again by itself
		}
		return errors.New("not this one")
	}
	b.mu.Unlock()
	b.write(t, "p/.tmp", "#!/bin/sh\necho two\n")
	if err := os.Rename(filepath.Join(b.dir, "p/.tmp"), filepath.Join(b.dir, "p/p")); err != nil {
		t.Fatal(err)
	}
	if e := b.expect(t, Changed, Changed, Refused); e.Err == nil || e.Err.Error() != "not this one" {
		t.Errorf("refused with %v", e.Err)
	}
	b.said(t, "two", "two")
}
