package guard

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCauses(t *testing.T) {
	tests := []struct{ script, want string }{
		{"exit 0", "exited with code 0"},
		{"exit 3", "exited with code 3"},
		{"kill -9 $$", "killed by signal 9 (killed)"},
		{"kill -SEGV $$", "killed by signal 11 (segmentation fault)"},
		{"kill -TERM $$", "killed by signal 15 (terminated)"},
	}
	for _, tt := range tests {
		c, _ := run(t, tt.script, nil)
		if err := c.Wait(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.script, err, tt.want)
		}
		c.Kill() // afterwards, it does nothing
	}
}

func TestStartsThatFail(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"plain": "#!/bin/sh\n", "text": "no program\n"} {
		mode := fs.FileMode(0o600)
		if name == "text" {
			mode = 0o700
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		path string
		want error
	}{
		{"/nowhere/program", fs.ErrNotExist},
		{filepath.Join(dir, "plain"), fs.ErrPermission},
		{filepath.Join(dir, "text"), syscall.ENOEXEC},
	}
	for _, tt := range tests {
		_, err := Start(t.Context(), Program{Path: tt.path, Dir: "/", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.path) {
			t.Errorf("%s: %v, want %v", tt.path, err, tt.want)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(over, Program{Path: "/bin/true", Dir: "/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that is over: %v", err)
	}
}

// What a program gets: its three pipes, a session of its own, no way up.
func TestWhatAProgramGets(t *testing.T) {
	// As somebody who forgot that it is inherited.
	secret, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	if _, err := unix.FcntlInt(secret.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	c, out := run(t, `ls /proc/self/fd; grep NoNewPrivs /proc/self/status; cat /proc/self/stat | cut -d' ' -f 5,6; echo $$; echo "$A-$B"; pwd; ulimit -n`, func(p *Program) {
		p.Env = append(p.Env, "A=1", "B=1", "A=2")
		p.Limits.OpenFiles = 64
	})
	if err := c.Wait(); err.Error() != "exited with code 0" {
		t.Fatal(err, out())
	}
	// The fourth is what ls reads the folder with.
	want := fmt.Sprintf("0\n1\n2\n3\nNoNewPrivs:\t1\n%d %d\n%d\n2-1\n/\n64\n", c.PID, c.PID, c.PID)
	if out() != want {
		t.Errorf("got\n%s\nwant\n%s", out(), want)
	}
	if c.Unbound != nil {
		t.Errorf("unbound: %q", c.Unbound)
	}
}

func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, then, cause string
		end               func(c *Child)
	}{
		{"it exits", "exit 4", "exited with code 4", func(*Child) {}},
		{"it is killed from outside", "exec sleep 600", "killed by signal 9 (killed)", func(c *Child) { _ = syscall.Kill(c.PID, syscall.SIGKILL) }},
		{"it is ended", "exec sleep 600", "killed by signal 9 (killed)", func(c *Child) { c.Kill(); c.Kill() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c, out := run(t, family(dir)+tt.then, nil)
			until(t, 10*time.Second, "the family is complete", func() bool { return strings.Contains(out(), "complete") })
			pids := members(t, dir)
			sweep(t, pids)
			tt.end(c)
			if err := c.Wait(); err.Error() != tt.cause {
				t.Errorf("%v, want %s", err, tt.cause)
			}
			if left := living(append(pids, c.guardian.Process.Pid)); len(pids) != 5 || left != nil {
				t.Errorf("of %v there are left %v", pids, left)
			}
		})
	}
}

// The host is killed: nothing of its plugin is left two seconds later, also where
// it runs as an ordinary user whose /proc/self is root's.
func TestHostIsKilled(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"same", "nobody"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			dir, program := t.TempDir(), "/proc/self/exe"
			cmd := exec.Command(program, "/bin/sh", "-c", family(dir)+"exec sleep 600")
			if user == "nobody" {
				u := nobody(t)
				cmd.Path = reachable(t)
				dir = filepath.Dir(cmd.Path) + "/family"
				if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, int(u.UID), int(u.GID))); err != nil {
					t.Fatal(err)
				}
				cmd.Args = []string{cmd.Path, "/bin/sh", "-c", family(dir) + "exec sleep 600"}
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(u)}
				cmd.Dir = "/"
			}
			cmd.Env = []string{roleEnv + "=host", "PATH=" + os.Getenv("PATH")}
			var said bytes.Buffer
			cmd.Stderr = &said
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var pid, guardian int
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if _, e := fmt.Sscan(line, &pid, &guardian); err != nil || e != nil {
				t.Fatalf("%q, %v, %v; %s", line, err, e, &said)
			}
			until(t, 10*time.Second, "the family is complete", func() bool { return len(members(t, dir)) == 5 })
			pids := append(members(t, dir), pid, guardian)
			sweep(t, pids)
			if got := living(pids); len(got) != len(pids) {
				t.Fatalf("of %v there live %v", pids, got)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			until(t, 2*time.Second, "all are gone", func() bool { return living(pids) == nil })
			_ = cmd.Wait() // it was killed
		})
	}
}

// Somebody ends the guardian: the program dies with it, and the host is told so.
func TestGuardianIsKilled(t *testing.T) {
	t.Parallel()
	c, _ := run(t, "sleep 600 & sleep 600", nil)
	if err := c.guardian.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err.Error() != "ended with its guardian, which was killed by signal 9 (killed)" {
		t.Error(err)
	}
	until(t, 2*time.Second, "the program is gone", func() bool { return living([]int{c.PID}) == nil })
}

// A program stops its guardian: it is ended all the same.
func TestGuardianIsStopped(t *testing.T) {
	t.Parallel()
	started := filepath.Join(t.TempDir(), "started")
	c, out := run(t, "while [ ! -e "+started+" ]; do sleep 0.01; done; kill -STOP $PPID; echo done; sleep 600", nil)
	if err := os.WriteFile(started, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, 10*time.Second, "it has stopped its guardian", func() bool { return out() != "" })
	c.Kill()
	if err := c.Wait(); !strings.HasPrefix(err.Error(), "ended with its guardian") {
		t.Error(err)
	}
	until(t, 2*time.Second, "the program is gone", func() bool { return living([]int{c.PID}) == nil })
}

// Signals that are sent to all of a service, or by a terminal, leave guardians
// alone; the program does with them what it wants.
func TestGuardianIgnoresSignals(t *testing.T) {
	t.Parallel()
	c, out := run(t, `trap "" HUP; for s in TERM INT HUP QUIT USR1 TSTP; do kill -$s $PPID; done; trap - TERM; echo alive; kill -TERM $$; sleep 600`, nil)
	if err := c.Wait(); err.Error() != "killed by signal 15 (terminated)" || out() != "alive\n" {
		t.Errorf("%v, %q", err, out())
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	const limit = 64 << 20
	c, out := run(t, "(setsid sh -c 'head -c 400000000 /dev/zero | tail -c 400000000 | sleep 600' &); exec sleep 600", func(p *Program) { p.Limits.Memory = limit })
	err := c.Wait()
	if !strings.Contains(err.Error(), "out of memory") || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("%v; %s", err, out())
	}
	if _, whyNot := delegated(); (whyNot == nil) != (c.Unbound == nil) {
		t.Errorf("cgroup: %v; unbound: %q", whyNot, c.Unbound)
	}
}

func TestLimitsThatCannotBeSet(t *testing.T) {
	u := nobody(t)
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	c, _ := run(t, "exit", func(p *Program) {
		p.User = u
		p.Limits = Limits{OpenFiles: 1 << 30} // above what even root may
	})
	_ = c.Wait()
	if len(c.Unbound) != 1 || !strings.Contains(c.Unbound[0], "open_files") {
		t.Errorf("%q", c.Unbound)
	}
}

// Another user: with its own group alone, without rights, and out of reach of its
// guardian.
func TestUser(t *testing.T) {
	u := nobody(t)
	c, out := run(t, `id -u; id -g; id -G; grep -E '^Cap(Prm|Eff)' /proc/self/status; kill -9 $PPID 2>/dev/null && echo killed; cat /proc/$PPID/environ; echo end`,
		func(p *Program) { p.User = u })
	if err := c.Wait(); err.Error() != "exited with code 0" {
		t.Error(err)
	}
	lines := strings.Split(out(), "\n")
	want := []string{fmt.Sprint(u.UID), fmt.Sprint(u.GID), fmt.Sprint(u.GID), "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"}
	if len(lines) < 8 || !slices.Equal(lines[:5], want) || !strings.Contains(lines[5], "Permission denied") || lines[6] != "end" {
		t.Errorf("%q, want %q, a denial, and the end", lines, want)
	}
	if _, err := LookupUser("no-such-user-here"); err == nil {
		t.Error("a user that is none was found")
	}
	if byNumber, err := LookupUser(fmt.Sprint(u.UID)); err != nil || *byNumber != *u {
		t.Errorf("by number: %+v, %v", byNumber, err)
	}
}

func TestUserWithoutRoot(t *testing.T) {
	cmd := exec.Command(reachable(t))
	cmd.Env = []string{roleEnv + "=modest"}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(nobody(t))}
	}
	if text, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(text), "needs a host that is root") {
		t.Errorf("%v: %s", err, text)
	}
}

// PID 1 waits for orphans, and leaves its own children to who waits for them.
func TestReap(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{roleEnv + "=init", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); errors.Is(err, fs.ErrPermission) {
		t.Skipf("no namespace can be made here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var got struct{ Own, Orphans, Left int }
	if e := json.Unmarshal(stdout.Bytes(), &got); err != nil || e != nil {
		t.Fatalf("%v, %v, %s", err, e, &stderr)
	}
	if got.Own != 7 || got.Orphans == 0 || got.Left != 0 {
		t.Errorf("%+v, want its own child's code 7, some orphans, and none left", got)
	}
}

func TestParseStat(t *testing.T) {
	tests := []struct {
		stat string
		want process
		ok   bool
	}{
		{"7 (a) b ) (c) Z 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 2222 23", process{7, 3, 4, true, 2222}, true},
		{"7 (sh) S 3 4 5", process{}, false},
		{"7 sh S 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23", process{}, false},
		{"", process{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseStat(7, []byte(tt.stat)); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %+v, %v", tt.stat, got, ok)
		}
	}
}
