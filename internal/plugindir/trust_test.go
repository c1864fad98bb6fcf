package plugindir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckTrust(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "plugins")
	put(t, dir, "p/p", 0o755)
	root := filepath.Join(dir, "p")
	if err := CheckTrust(At(root)); err != nil {
		t.Fatalf("what nobody else can write: %v", err)
	}
	for _, tt := range []struct {
		path string
		mode os.FileMode
		want string
	}{
		{filepath.Join(root, "p"), 0o757, "chmod o-w " + filepath.Join(root, "p")},
		{root, 0o707, "chmod o-w " + root},
		{root, 0o707 | os.ModeSticky, "chmod o-w " + root}, // others could add to it
		{dir, 0o703, "chmod o-w " + dir},
		{filepath.Join(root, "p"), 0o755 | os.ModeSetuid, "chmod ug-s"},
	} {
		was, err := os.Stat(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(tt.path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if err := CheckTrust(At(root)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %v: %v", tt.path, tt.mode, err)
		}
		if err := os.Chmod(tt.path, was.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	pipe := filepath.Join(root, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckTrust(At(root)); err == nil || !strings.Contains(err.Error(), pipe+" is neither file nor folder") {
		t.Errorf("with a pipe in it: %v", err)
	}
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		const nobodys = 4_000_123 // a group without a name, so whoever is in it
		if err := errors.Join(os.Chown(root, -1, nobodys), os.Chmod(root, 0o775)); err != nil {
			t.Fatal(err)
		}
		if err := CheckTrust(At(root)); err == nil || !strings.Contains(err.Error(), "chmod g-w "+root) {
			t.Errorf("a group's folder: %v", err)
		}
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := CheckTrust(At(root)); err != nil {
			t.Errorf("a group that may only read: %v", err)
		}
		if err := os.Chown(filepath.Join(root, "p"), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if err := CheckTrust(At(root)); err == nil || !strings.Contains(err.Error(), "chown 0 ") {
			t.Errorf("another's file: %v", err)
		}
	}
}

func TestGroupOfOne(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "group", 0o600, "own:x:1000:", "named:x:1001:ada", "both:x:1002:ada,bob", "first:x:1003:", "odd:x:1004", "nobodys:x:1005:")
	put(t, dir, "passwd", 0o600, "ada:x:500:1000::/home/ada:/bin/sh", "bob:x:501:1003::/home/bob:/bin/sh", "eve:x:502:1003::/home/eve:/bin/sh")
	for _, tt := range []struct {
		gid, owner uint32
		want       bool
	}{
		{1000, 500, true},
		{1000, 501, false}, // ada is in bob's file's group
		{1001, 500, true},
		{1001, 501, false},
		{1002, 500, false},
		{1003, 501, false}, // eve's first too
		{1004, 500, false}, // a line that is none
		{1005, 500, true},
		{1006, 500, false}, // of no name
		{1000, 503, false}, // of nobody who is known
	} {
		if got := groupOfOne(filepath.Join(dir, "group"), filepath.Join(dir, "passwd"), tt.gid, tt.owner); got != tt.want {
			t.Errorf("group %d, owner %d: %t", tt.gid, tt.owner, got)
		}
	}
	if groupOfOne(filepath.Join(dir, "none"), filepath.Join(dir, "passwd"), 1000, 500) {
		t.Error("a group that cannot be looked up is of one")
	}
}

func TestCheckTrustAbove(t *testing.T) {
	base := t.TempDir()
	put(t, filepath.Join(base, "good"), "p/p", 0o755)
	plugins := filepath.Join(base, "open", "plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(base, "good", "p"), filepath.Join(plugins, "p")); err != nil {
		t.Fatal(err)
	}
	if err := CheckTrust(Look(plugins, "p")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(base, "open"), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(base, "open"))
	for _, dir := range []string{plugins, "plugins"} {
		if err := CheckTrust(Look(dir, "p")); err == nil || !strings.Contains(err.Error(), "chmod o-w "+filepath.Join(base, "open")) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestStoreOfOthersIsRefused(t *testing.T) {
	s := open(t)
	for _, folder := range []string{s.Dir(), filepath.Join(s.Dir(), "builds")} {
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStore(s.Dir(), true); err == nil || !strings.Contains(err.Error(), "chmod o-w "+folder) && !strings.Contains(err.Error(), "chmod go-w "+folder) {
			t.Errorf("%s open to all: %v", folder, err)
		}
		if err := os.Chmod(folder, 0o711); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() != 0 {
			continue
		}
		if err := os.Chown(folder, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStore(s.Dir(), true); err == nil || !strings.Contains(err.Error(), "belongs to user") || strings.Contains(err.Error(), "chown") {
			t.Errorf("%s of another user: %v", folder, err)
		}
		if err := os.Chown(folder, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenStore(s.Dir(), true); err != nil {
		t.Errorf("as it was made: %v", err)
	}
}

func TestStoreBelowOthersIsRefused(t *testing.T) {
	base := t.TempDir()
	folder := func(name string) string {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(to, name string) {
		folder(filepath.Dir(name))
		if err := os.Symlink(to, filepath.Join(base, name)); err != nil {
			t.Fatal(err)
		}
	}
	open := folder("open")
	folder("own/target")
	link("../own/target", "open/link")
	link("open/link", "first")
	link(filepath.Join(folder("open/target"), "."), "own/out")
	folder("own/sub")
	link("../open/link/../sub", "x/back") // which is own/sub
	for _, tt := range []struct {
		store string
		mode  os.FileMode
		want  string // part of the error
	}{
		{"open/store", 0o755, ""},
		{"open/store", 0o777, "chmod o-w " + open},
		{"open/store", 0o777 | os.ModeSticky, ""}, // as /tmp
		{"open/a/b/store", 0o777, "chmod o-w " + open},
		{"open/link/store", 0o777, "chmod o-w " + open},
		{"open/link", 0o777, "chmod o-w " + open},
		{"first/store", 0o777, "chmod o-w " + open},
		{"own/out/store", 0o777, "chmod o-w " + open},
		{"x/back/store", 0o777, "chmod o-w " + open},
		{"own/store", 0o777, ""},
	} {
		if err := os.Chmod(open, tt.mode); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(base, tt.store)
		is := func(err error) bool {
			return err == nil && tt.want == "" || err != nil && tt.want != "" && strings.Contains(strings.ReplaceAll(err.Error(), "go-w", "o-w"), tt.want)
		}
		if err := CheckStore(path, true); !is(err) {
			t.Errorf("%s, %v, before it is opened: %v; want %q", tt.store, tt.mode, err, tt.want)
		}
		if _, err := OpenStore(path, false); err != nil {
			t.Errorf("%s, %v, not strict: %v", tt.store, tt.mode, err)
		}
		if _, err := OpenStore(path, true); !is(err) {
			t.Errorf("%s, %v: %v; want %q", tt.store, tt.mode, err, tt.want)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := errors.Join(os.Chmod(open, 0o1777), os.Chown(filepath.Join(base, "own"), 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if err := CheckStore(filepath.Join(base, "own/store"), true); err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("in the folder of another user: %v", err)
	}
}
