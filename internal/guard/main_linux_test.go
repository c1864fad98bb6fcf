package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// roleEnv makes another program of this test binary.
const roleEnv = "RRHOST_GUARD_TEST"

var roles = map[string]func() error{"host": hostRole, "init": initRole, "modest": modestRole}

func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleEnv)]; role != nil {
		if err := role(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// hostRole is a host with one program, its arguments: it prints the program's
// number and the guardian's, and lives on.
func hostRole() error {
	if err := Undumpable(); err != nil {
		return err
	}
	c, err := Start(context.Background(), Program{
		Name: "of-a-host", Path: os.Args[1], Args: os.Args[2:], Dir: "/", Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stderr, Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	fmt.Println(c.PID, c.guardian.Process.Pid)
	return c.Wait()
}

// modestRole is a host that is not root and wants another user all the same.
func modestRole() error {
	_, err := Start(context.Background(), Program{Path: "/bin/true", Dir: "/", User: &User{Name: "other"}})
	return err
}

// initRole is PID 1 of a container, see TestReap.
func initRole() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go reap(ctx, 500*time.Millisecond)
	own := exec.Command("sh", "-c", "exit 7")
	if err := own.Start(); err != nil {
		return err
	}
	if err := exec.Command("sh", "-c", "for i in 1 2 3; do (setsid sh -c 'sleep 0.05' &) ; done").Run(); err != nil {
		return err
	}
	_ = own.Wait()
	var orphans, zombies int
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var here int
		for _, p := range processes() {
			if p.parent == 1 {
				here++
			}
		}
		orphans = max(orphans, here)
		if zombies = here; orphans > 0 && here == 0 {
			break
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int{"own": own.ProcessState.ExitCode(), "orphans": orphans, "left": zombies})
}

// run starts a shell with a script and returns it and what it prints.
func run(t *testing.T, script string, change func(*Program)) (*Child, func() string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := Program{
		Name: "test", Path: "/bin/sh", Args: []string{"-c", script}, Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")},
		Stdin: null, Stdout: out, Stderr: out,
	}
	if change != nil {
		change(&p)
	}
	c, err := Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() string {
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

// family is a script that starts processes in all ways of getting away: each
// prints its number into a file of dir, and the shell waits for the last of them.
func family(dir string) string {
	return strings.NewReplacer("DIR", dir).Replace(`
say() { echo $1 >DIR/.$1 && mv DIR/.$1 DIR/$1; }
sleep 600 & say $!
setsid sleep 600 & say $!
(setsid sh -c 'trap "" TERM HUP INT; echo $$ >DIR/.$$ && mv DIR/.$$ DIR/$$; exec sleep 600' &)
(setsid sh -c '(setsid sh -c "echo \$\$ >DIR/.\$\$ && mv DIR/.\$\$ DIR/\$\$; exec sleep 600" &) ; sleep 0.01' &)
say $$
while [ $(ls DIR | wc -l) -lt 5 ]; do sleep 0.01; done
echo complete
`)
}

// members are who is in a family.
func members(t *testing.T, dir string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// living are those of pids that are there and no zombies.
func living(pids []int) (list []int) {
	of := make(map[int]bool)
	for _, p := range processes() {
		of[p.pid] = !p.zombie
	}
	for _, pid := range pids {
		if of[pid] {
			list = append(list, pid)
		}
	}
	return list
}

// sweep leaves nothing behind of a test that fails.
func sweep(t *testing.T, pids []int) {
	t.Cleanup(func() {
		for _, pid := range living(pids) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may end by itself meanwhile
		}
	})
}

func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// reachable copies this program to where every user can run it.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rrguard-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "host")
	// By another program: a child that is forked here meanwhile would hold the copy
	// open for writing, and it could not be run (golang.org/issue/22315).
	if text, err := exec.Command("cp", self, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// nobody is a user without rights.
func nobody(t *testing.T) *User {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	u, err := LookupUser("nobody")
	if err != nil {
		t.Skip(err)
	}
	return u
}

func credential(u *User) *syscall.Credential {
	return &syscall.Credential{Uid: u.UID, Gid: u.GID}
}
