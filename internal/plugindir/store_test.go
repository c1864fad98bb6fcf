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

// A group is no other where nobody but the file's owner is in it, by its own line
// or as a user's first group.
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
// Whoever can rename a folder on the way to the store can put one of their own in
// its place, and that of a link too. Where trust is not strict, that is allowed.
