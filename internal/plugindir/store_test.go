package plugindir

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "data", "plugins"), true)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// staged is the build of a plugin in dir.
func staged(t *testing.T, s *Store, dir, name string) Build {
	t.Helper()
	f := Look(dir, name)
	b, err := s.Stage(f)
	if err != nil {
		t.Fatal(err)
	}
	if digest, version, err := Identify(f); err != nil || digest != b.Digest || version != b.Version {
		t.Errorf("identified as %s, %s, %v; staged as %s, %s", digest, version, err, b.Digest, b.Version)
	}
	return b
}

// What runs is a copy of all that the plugin has, named by its digest.
func TestStage(t *testing.T) {
	s, dir := open(t), directory(t)
	put(t, dir, "script/plugin.toml", 0o600, `command = ["./run.sh", "a"]`, `version = "2.1"`)
	put(t, dir, "script/run.sh", 0o700, "#!/bin/sh -e")
	put(t, dir, "script/lib/data.txt", 0o600)
	if err := os.Symlink("lib/data.txt", filepath.Join(dir, "script/link")); err != nil {
		t.Fatal(err)
	}

	b := staged(t, s, dir, "script")
	if b.Version != "2.1" || b.Outside != "/bin/sh -e" || strings.Join(b.Args, " ") != "a" || filepath.Dir(b.Program) != b.Dir {
		t.Errorf("%+v", b)
	}
	put(t, dir, "absolute/plugin.toml", 0o600, `command = ["/bin/sh", "main.sh"]`)
	if a := staged(t, s, dir, "absolute"); a.Program != "/bin/sh" || a.Outside != a.Program || strings.Join(a.Args, " ") != "main.sh" {
		t.Errorf("%+v", a)
	}
	text, err := os.ReadFile(filepath.Join(b.Dir, "link"))
	if err != nil || !strings.Contains(string(text), "content of script/lib/data.txt") {
		t.Errorf("through the link: %q, %v", text, err)
	}
	if !strings.HasPrefix(b.Dir, s.Dir()) || !strings.Contains(b.Dir, b.Digest) {
		t.Errorf("it lies in %s", b.Dir)
	}
	if again := staged(t, s, dir, "script"); again.Digest != b.Digest {
		t.Error("the same content has another digest")
	}
	bare := staged(t, s, dir, "bare")
	if bare.Version != bare.Digest[:12] {
		t.Errorf("version %s of digest %s", bare.Version, bare.Digest)
	}

	digests := map[string]bool{b.Digest: true}
	for change, do := range map[string]func() error{
		"a byte":   func() error { return os.WriteFile(filepath.Join(dir, "script/lib/data.txt"), []byte("x"), 0o600) },
		"a file":   func() error { return os.WriteFile(filepath.Join(dir, "script/new"), nil, 0o600) },
		"a link":   func() error { return os.Symlink("run.sh", filepath.Join(dir, "script/l2")) },
		"a mode":   func() error { return os.Chmod(filepath.Join(dir, "script/lib/data.txt"), 0o700) },
		"a folder": func() error { return os.Mkdir(filepath.Join(dir, "script/empty"), 0o700) },
	} {
		before := Look(dir, "script").Fingerprint()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		now := staged(t, s, dir, "script")
		if digests[now.Digest] {
			t.Errorf("%s more, and the digest is one that was", change)
		}
		digests[now.Digest] = true
		if Look(dir, "script").Fingerprint() == before {
			t.Errorf("%s more, and the fingerprint is the same", change)
		}
	}

	old, err := s.Get("script", b.Digest)
	if err != nil || old.Program != b.Program || old.Version != "2.1" {
		t.Errorf("the old build: %+v, %v", old, err)
	}
}

// A copy that was touched in the store is not run.
func TestStoreIsChecked(t *testing.T) {
	s, dir := open(t), directory(t)
	b := staged(t, s, dir, "bare")
	if err := os.Chmod(b.Program, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Program, []byte("something else"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("bare", b.Digest); err == nil {
		t.Error("the damaged copy was given")
	}
	again := staged(t, s, dir, "bare")
	if text, err := os.ReadFile(again.Program); err != nil || string(text) == "something else" {
		t.Errorf("staged again: %q, %v", text, err)
	}
	if _, err := s.Get("bare", b.Digest); err != nil {
		t.Error(err)
	}
}

func TestManifestDigest(t *testing.T) {
	s, dir := open(t), t.TempDir()
	put(t, dir, "p/p", 0o700)
	put(t, dir, "p/plugin.toml", 0o600, `sha256 = "`+strings.Repeat("0", 64)+`"`)
	if _, err := s.Stage(Look(dir, "p")); err == nil || !strings.Contains(err.Error(), "has the SHA-256") {
		t.Error(err)
	}
}

// A file that somebody still writes is not taken.
func TestBusy(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells who writes")
	}
	s, dir := open(t), directory(t)
	f, err := os.OpenFile(filepath.Join(dir, "bare"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(Look(dir, "bare")); !errors.Is(err, ErrBusy) {
		t.Errorf("while it is written: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	staged(t, s, dir, "bare")
}

func TestNotes(t *testing.T) {
	s, dir := open(t), directory(t)
	a, b := staged(t, s, dir, "bare"), staged(t, s, dir, "folder")
	if err := s.Change("bare", func(n *Note) { n.Runs = a.Digest }); err != nil {
		t.Fatal(err)
	}
	other, err := OpenStore(s.Dir(), true)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := other.Note("bare"); err != nil || n.Runs != a.Digest {
		t.Errorf("%+v, %v", n, err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("folder", b.Digest); err != nil {
		t.Errorf("what another host may be about to run is gone: %v", err)
	}
	old := time.Now().Add(-2 * sweepAfter)
	for _, digest := range []string{a.Digest, b.Digest} {
		if err := os.Chtimes(filepath.Join(s.Dir(), "builds", digest), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("bare", a.Digest); err != nil {
		t.Error(err)
	}
	if _, err := s.Get("folder", b.Digest); err == nil {
		t.Error("what nobody wants was kept")
	}
}

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

// A group is no other where nobody but the file's owner is in it, by its own line
// or as a user's first group.
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

// TestFiles: where the manifest names the plugin's files, the rest of the folder
// is neither copied, nor in the digest, nor watched.
func TestFiles(t *testing.T) {
	s, dir := open(t), directory(t)
	put(t, dir, "script/plugin.toml", 0o600, `command = ["./run.sh"]`, `files = ["run.sh", "lib"]`)
	put(t, dir, "script/run.sh", 0o700, "#!/bin/sh")
	put(t, dir, "script/lib/data.txt", 0o600)
	put(t, dir, "script/lib/source.c", 0o600) // of a folder all belongs to it
	put(t, dir, "script/source.c", 0o600)
	put(t, dir, "script/node_modules/x/index.js", 0o600)
	b := staged(t, s, dir, "script")
	for name, want := range map[string]bool{
		"plugin.toml": true, "run.sh": true, "lib/data.txt": true, "lib/source.c": true, "source.c": false, "node_modules": false,
	} {
		if _, err := os.Stat(filepath.Join(b.Dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want there: %t", name, err, want)
		}
	}
	if got, err := s.Get("script", b.Digest); err != nil || got.Digest != b.Digest {
		t.Errorf("from the store: %v", err)
	}
	seen := Look(dir, "script").Fingerprint()
	put(t, dir, "script/source.c", 0o600, "edited")
	put(t, dir, "script/more.c", 0o600)
	if Look(dir, "script").Fingerprint() != seen {
		t.Error("an edit of what is not the plugin's counts as its change")
	}
	if again := staged(t, s, dir, "script"); again.Digest != b.Digest {
		t.Error("an edit of what is not the plugin's changes the digest")
	}
	put(t, dir, "script/lib/more.txt", 0o600)
	if Look(dir, "script").Fingerprint() == seen || staged(t, s, dir, "script").Digest == b.Digest {
		t.Error("a change of the plugin's files does not count")
	}
	for line, want := range map[string]string{
		`files = ["lib"]`:              "files must name the program, ./run.sh",
		`files = ["run.sh", "gone"]`:   `there is no "gone", which it names in files`,
		`files = ["run.sh", "lib/a"]`:  `"lib/a" in files is no name`,
		`files = ["run.sh", ".."]`:     `".." in files is no name`,
		`files = ["run.sh"]` + "\nx=1": "files, build",
	} {
		put(t, dir, "script/plugin.toml", 0o600, `command = ["./run.sh"]`, line)
		if f := Look(dir, "script"); f.Err == nil || !strings.Contains(f.Err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, f.Err, want)
		}
	}
}

// TestLink: a link to where the plugin lies is the plugin, and a change there is
// its change.
func TestLink(t *testing.T) {
	s, dir, elsewhere := open(t), directory(t), t.TempDir()
	put(t, elsewhere, "sources/run", 0o700, "#!/bin/sh")
	put(t, elsewhere, "sources/plugin.toml", 0o600, `command = ["./run"]`)
	if err := os.Symlink(filepath.Join(elsewhere, "sources"), filepath.Join(dir, "linked")); err != nil {
		t.Fatal(err)
	}
	first, seen := staged(t, s, dir, "linked"), Look(dir, "linked").Fingerprint()
	put(t, elsewhere, "sources/run", 0o700, "#!/bin/sh", "# another")
	if Look(dir, "linked").Fingerprint() == seen {
		t.Error("a change behind the link is none")
	}
	if staged(t, s, dir, "linked").Digest == first.Digest {
		t.Error("the content behind the link is not in the digest")
	}
}

// A link out of the plugin's folder is refused: it would be run without having
// been looked at. Links within are copied.
func TestLinks(t *testing.T) {
	s, base := open(t), t.TempDir()
	put(t, base, "outside", 0o755)
	for name, tt := range map[string]struct{ link, to, want string }{
		"within":   {"alias", "linked", ""},
		"absolute": {"alias", filepath.Join(base, "outside"), "is a link out of the plugin's folder"},
		"relative": {"alias", "../../outside", "is a link out of the plugin's folder"},
		"nowhere":  {"alias", "absent", "leads nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(base, name)
			put(t, dir, "linked/linked", 0o755)
			if err := os.Symlink(tt.to, filepath.Join(dir, "linked", tt.link)); err != nil {
				t.Fatal(err)
			}
			_, err := s.Stage(Look(dir, "linked"))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// Whoever may write the folder of a link decides what it leads to, and whoever may
// write a folder above does, also where the directory's path is relative.
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

// Whoever may run a program here may run its copy, whatever the umask is, and a
// program that another user could not run can be mended.
func TestStoreModes(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	s, dir := open(t), t.TempDir()
	put(t, dir, "p/p", 0o744)
	b := staged(t, s, dir, "p")
	for path, want := range map[string]os.FileMode{b.Program: 0o555, b.Dir: 0o755, filepath.Dir(b.Folder): 0o711, s.Dir(): 0o711} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

// Whoever can write the store can have the host run what they like: notes and
// copies are put in the place of its own.
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

// Whoever can rename a folder on the way to the store can put one of their own in
// its place, and that of a link too. Where trust is not strict, that is allowed.
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
