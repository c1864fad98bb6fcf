package attach

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestMeet: both ends find each other at a path that stays the same, also after a
// plugin that was killed.
func TestMeet(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", t.TempDir())
	path, err := Path("data/plugins", "price")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Path("data/plugins", "price"); err != nil || again != path {
		t.Errorf("the next time it is %s, %v, not %s", again, err, path)
	}
	if other, err := Path("elsewhere/plugins", "price"); err != nil || other == path {
		t.Errorf("another host's is the same: %s, %v", other, err)
	}
	if _, err := Dial(t.Context(), path); !Absent(err) {
		t.Errorf("before anybody listens: %v", err)
	}

	l, err := Listen(path, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, "secret"); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second plugin: %v", err)
	}
	// Leaving the socket behind, as one that is killed does.
	left := filepath.Join(filepath.Dir(path), "left")
	if err := os.Rename(path, left); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(left, path); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), path); !Absent(err) {
		t.Errorf("after a plugin was killed: %v", err)
	}

	if l, err = Listen(path, "secret"); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.Close()
		}
		accepted <- err
	}()
	conn, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if runtime.GOOS == "linux" && conn.PID != os.Getpid() {
		t.Errorf("process %d listens, want %d", conn.PID, os.Getpid())
	}
	if info, err := os.Stat(path + ".token"); err != nil || info.Mode().Perm() != 0o600 || conn.Token != "secret" {
		t.Errorf("token %q (%v, %v)", conn.Token, info.Mode(), err)
	}
	if err := os.Remove(path + ".token"); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), path); err == nil || Absent(err) {
		t.Errorf("without a token: %v", err)
	}
	if err := <-accepted; err != nil {
		t.Error(err)
	}
}

// TestPrivate: what others could enter is not used, by neither end.
func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o750); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		filepath.Join(open, "p"), filepath.Join(link, "p"), "relative/p",
		filepath.Join(dir, "private", strings.Repeat("long", 40)),
	} {
		if l, err := Listen(path, "secret"); err == nil {
			t.Errorf("%s: the plugin listens", path)
			_ = l.Close()
		}
		if _, err := Dial(context.Background(), path); err == nil || Absent(err) {
			t.Errorf("%s: the host looks there: %v", path, err)
		}
	}
}
