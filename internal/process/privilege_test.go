package process

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"rrhost/internal/guard"
)

// storeFor makes a folder as a store has one for each plugin, with the test plugin
// in it.
func storeFor(t *testing.T, above string) (folder, program string) {
	t.Helper()
	folder = filepath.Join(above, "digest")
	program = filepath.Join(folder, "plugin", "testplugin")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(testPlugin)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o555)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return folder, program
}

func nobody(t *testing.T) *guard.User {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	u, err := guard.LookupUser("nobody")
	if err != nil {
		t.Skip(err)
	}
	return u
}

// only checks that a folder is open to its owner, and for passing through to a
// group.
func only(t *testing.T, dir string, mode fs.FileMode, gid uint32) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if about := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != mode || about.Gid != gid || about.Uid != uint32(os.Geteuid()) {
		t.Errorf("%s has mode %v, user %d, group %d; want %v, us, %d", dir, info.Mode(), about.Uid, about.Gid, mode, gid)
	}
}

func TestUser(t *testing.T) {
	u := nobody(t)
	above, err := os.MkdirTemp("", "rrstore")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(above)
	if err := os.Chmod(above, 0o711); err != nil {
		t.Fatal(err)
	}
	folder, program := storeFor(t, above)
	t.Setenv("TMPDIR", os.TempDir())
	p, _ := startPlugin(t, func(c *Config) {
		c.Path, c.Dir, c.Folder, c.User = program, filepath.Dir(program), folder, "nobody"
	})
	only(t, folder, 0o710, u.GID)
	only(t, p.sockets.dir, 0o710, u.GID)
	for name, want := range map[string]string{"HOME": u.Home, "USER": "nobody", "TMPDIR": "", "PATH": os.Getenv("PATH")} {
		if got := mustAnswer(t, p, order{"do": "env", "text": name}).Text; got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	if info, err := os.Stat(p.cmd.addr); err != nil || info.Sys().(*syscall.Stat_t).Uid != u.UID {
		t.Errorf("the socket: %v, %v", info, err)
	}
	if err := stop(t, p); err != nil {
		t.Error(err)
	}
	// Without a user, it is the host's alone again.
	p, _ = startPlugin(t, func(c *Config) { c.Path, c.Dir, c.Folder = program, filepath.Dir(program), folder })
	only(t, folder, 0o700, u.GID)
	mustAnswer(t, p, order{})
}

func TestUserThatCannotReachItsFolder(t *testing.T) {
	nobody(t)
	above := t.TempDir()
	if err := os.Chmod(above, 0o700); err != nil {
		t.Fatal(err)
	}
	folder, program := storeFor(t, above)
	_, err := Start(t.Context(), Config{Name: "p", Path: program, Dir: filepath.Dir(program), Folder: folder, User: "nobody"})
	if err == nil || !Hopeless(err) || !strings.Contains(err.Error(), "user nobody may not pass through "+filepath.Dir(above)) || !strings.Contains(err.Error(), "set store") {
		t.Errorf("Start = %v", err)
	}
}

func TestCheckUser(t *testing.T) {
	nobody(t)
	dir := t.TempDir()
	if err := CheckUser("nobody", dir); err == nil || !strings.Contains(err.Error(), "may not pass through "+filepath.Dir(dir)) {
		t.Errorf("a folder of the test's own: %v", err)
	}
	for user, folder := range map[string]string{"": dir, "root": dir, "nobody": os.TempDir()} {
		if err := CheckUser(user, folder); err != nil {
			t.Errorf("%q in %s: %v", user, folder, err)
		}
	}
}

func TestUsersThatCannotBe(t *testing.T) {
	for _, tt := range []struct {
		name string
		own  int
		want string
	}{
		{"no-such-user-here", 0, `there is no user "no-such-user-here"`},
		{"root", 1000, `user = "root" needs a host that runs as root, and this one runs as user 1000`},
	} {
		_, err := userOf(tt.name, tt.own)
		if err == nil || !Hopeless(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if u, err := userOf("root", 0); u != nil || err != nil {
		t.Errorf("the host's own: %v, %v", u, err)
	}
}

func TestLimits(t *testing.T) {
	p, l := startPlugin(t, func(c *Config) {
		c.Limits = guard.Limits{Memory: 500 << 20, MilliCPUs: 1500, OpenFiles: 100}
	})
	for name, want := range map[string]string{"GOMEMLIMIT": "471859200", "GOMAXPROCS": "2"} {
		if got := mustAnswer(t, p, order{"do": "env", "text": name}).Text; got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	said := strings.Count(l.String(), "a limit does not hold")
	if runtime.GOOS != "linux" && said == 0 {
		t.Errorf("not said: %s", l)
	}
	if err := stop(t, p); err != nil {
		t.Error(err)
	}
	_, again := startPlugin(t, func(c *Config) { c.Limits = guard.Limits{Memory: 500 << 20, MilliCPUs: 1500} })
	if strings.Contains(again.String(), "a limit does not hold") {
		t.Errorf("said again:\n%s", again)
	}
}

// A plugin that takes more memory than it may is ended, and it is said why.
func TestOutOfMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux alone bounds memory")
	}
	p, _ := startPlugin(t, func(c *Config) { c.Limits.Memory = 100 << 20 })
	_, results := ask(p, order{"do": "eat", "ms": 300}, 30e9)
	if r := <-results; !r.Crashed {
		t.Errorf("%+v", r)
	}
	<-p.Done()
	if err := stop(t, p); err == nil || !strings.Contains(err.Error(), "out of memory") || !strings.Contains(err.Error(), "100 MiB") {
		t.Errorf("cause %v", err)
	}
}
