package supervise

import (
	"os"
	"slices"
	"strings"
	"testing"

	"rrhost/internal/plugindir"
)

// An operator's orders and a rollback: a restart and a reload that fails leave it
// as it is, a reload that succeeds ends it, and a second one says so.
func TestOrdersAfterRollback(t *testing.T) {
	t.Parallel()
	w := supervised(t, Config{}, quick())
	next(t, "up", w.up)
	first, ctx := w.State().Digest, t.Context()
	w.install(t, "2")
	next(t, "switch", w.switched)
	still := quick()
	still.settle = 1 << 62 // it looks at nothing by itself
	other := prepared(t, Config{}, still)
	other.dir, other.cfg.Dir, other.cfg.Store = w.dir, w.dir, w.cfg.Store
	other.run(t)
	next(t, "up", other.up)
	if err := w.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	rolledBack := func(when string) {
		t.Helper()
		note, err := w.cfg.Store.Note("p")
		if s := w.State(); s.Digest != first || !s.Pinned || err != nil || note.Pinned != first {
			t.Errorf("%s: %+v, %+v, %v", when, s, note, err)
		}
	}
	rolledBack("after the rollback")
	was := w.State().PID
	if err := w.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if w.State().PID == was {
		t.Error("the process is the same after a restart")
	}
	rolledBack("after a restart")
	if err := w.Rollback(ctx); err == nil || !strings.Contains(err.Error(), "rolled back already") {
		t.Errorf("a second rollback: %v", err)
	}

	// The other host still runs the second build, and follows.
	if err := other.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if s := other.State(); s.Digest != first || !s.Pinned {
		t.Errorf("the other host: %+v", s)
	}

	if err := w.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if s := w.State(); s.Digest == first || s.Pinned {
		t.Errorf("after a reload: %+v", s)
	}

	// With the other one, which sees no change: a reload of what does not start.
	w.install(t, "1")
	next(t, "switch", w.switched)
	if err := other.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	w.write(t, []byte("#!/bin/sh\nexit 1\n"))
	if err := other.Reload(ctx); err == nil {
		t.Error("a reload of what does not start succeeds")
	}
	if !other.State().Pinned {
		t.Error("a reload that fails ends the rollback")
	}
}

// Where only trusted digests run, a rollback to what was trusted before works, and
// the directory cannot bring it back.
func TestRollbackLocked(t *testing.T) {
	t.Parallel()
	w := prepared(t, Config{Locked: true}, quick())
	trust := func() {
		digest, _, err := plugindir.Identify(plugindir.Look(w.dir, "p"))
		if err == nil {
			err = w.cfg.Store.Change("p", func(n *plugindir.Note) { n.Trust(digest) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.install(t, "1")
	trust()
	w.run(t)
	next(t, "up", w.up)
	first := w.State().Digest
	w.install(t, "2")
	until(t, "refused", func() bool { return w.State().Refused != nil })
	trust()
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.install(t, "1")
	until(t, "refused", func() bool { return w.State().Refused != nil })
	if err := w.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := w.State(); s.Digest != first || !s.Pinned {
		t.Errorf("%+v", s)
	}

	// What ran and is trusted no more is not gone back to.
	if err := w.Reload(t.Context()); err == nil {
		t.Error("the directory has what was trusted before, and a reload runs it")
	}
	if err := w.cfg.Store.Change("p", func(n *plugindir.Note) { n.Trusted = []string{"another"} }); err != nil {
		t.Fatal(err)
	}
	other := prepared(t, Config{Locked: true}, quick())
	other.cfg.Store = w.cfg.Store // where nothing runs
	other.run(t)
	if err := other.Rollback(t.Context()); err == nil || !strings.Contains(err.Error(), "not the trusted another") {
		t.Errorf("a rollback to what is trusted no more: %v", err)
	}
}

// What runs is held against its digest at each start, and the end of one of
// several processes is told, with its number.
func TestTamperedStore(t *testing.T) {
	t.Parallel()
	w := supervised(t, Config{Instances: 2}, quick())
	i := next(t, "up", w.up)
	next(t, "up", w.up)
	ended := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		n := 0
		for _, s := range w.states {
			if s == "ready>backing off" || s == "ready>rejected" {
				n++
			}
		}
		return n
	}
	next(t, "crash", ask(i, `{"do":"exit","ms":3}`))
	until(t, "its end is told", func() bool { return ended() == 1 })
	i = next(t, "up again", w.up)

	b, err := w.cfg.Store.Get("p", w.State().Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.Program); err != nil { // it runs, and cannot be written
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Program, []byte("#!/bin/sh\nexit 0\n"), 0o555); err != nil {
		t.Fatal(err)
	}
	next(t, "crash", ask(i, `{"do":"exit","ms":3}`))
	until(t, "rejected", func() bool {
		return slices.ContainsFunc(w.State().Instances, func(s InstanceState) bool { return s.State == StateRejected })
	})
	if s := w.State(); s.LastError == nil || !strings.Contains(s.LastError.Error(), "no usable copy") {
		t.Errorf("%+v", s)
	}
}
