package guard

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCgroupFolder(t *testing.T) {
	const (
		unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
		hybrid  = "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		part    = "30 23 0:26 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	)
	tests := []struct{ mountinfo, of, want string }{
		{unified, "0::/system.slice/rrhost.service\n", "/sys/fs/cgroup/system.slice/rrhost.service"},
		{unified, "0::/\n", "/sys/fs/cgroup"},
		{hybrid, "4:memory:/a\n0::/b\n", "/sys/fs/cgroup/unified/b"},
		{part, "0::/docker/ab/c\n", "/sys/fs/cgroup/c"},
		{part, "0::/docker/other\n", ""},
		{unified, "4:memory:/a\n", ""},
		{"30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "0::/\n", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		if got, err := cgroupFolder(tt.mountinfo, tt.of); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q in %q: %q, %v", tt.of, tt.mountinfo, got, err)
		}
	}
}

// ownCgroup makes a cgroup of version 2 for a test.
func ownCgroup(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	root, err := cgroupFolder(string(mounts), "0::/\n")
	if err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp(root, "rrtest-")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EROFS) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		until(t, 10*time.Second, "the cgroup can be removed", func() bool {
			below, _ := filepath.Glob(dir + "/*/cgroup.procs")
			for _, b := range below {
				_ = os.Remove(filepath.Dir(b))
			}
			return os.Remove(dir) == nil
		})
	})
	return dir
}

// A host's cgroup is divided: the host goes into one below. Where somebody else is
// in it too, all stays as it was, and the error says what to do.
func TestDivide(t *testing.T) {
	dir := ownCgroup(t)
	has, err := words(filepath.Join(dir, "cgroup.controllers"))
	if err != nil || len(has) == 0 {
		t.Skipf("no controller of version 2 here: %v", err)
	}
	controller := has[0]
	if err := divide(dir, os.Getpid(), controller, "no-such"); err == nil || !strings.Contains(err.Error(), "no controller for no-such") {
		t.Error(err)
	}
	sleeper := func() *exec.Cmd {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		if err := set(dir, "cgroup.procs", pidText(cmd)); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	host, other := sleeper(), sleeper()
	if err := divide(dir, host.Process.Pid, controller); err == nil || !strings.Contains(err.Error(), "Delegate=yes") {
		t.Errorf("with another process in it: %v", err)
	}
	if in, err := words(dir + "/cgroup.procs"); err != nil || len(in) != 2 {
		t.Errorf("in it are %v, %v", in, err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed
	stale := dir + "/" + cgroupName + "plugin-1"
	if err := os.Mkdir(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is divided already
		if err := divide(dir, host.Process.Pid, controller); err != nil {
			t.Fatal(err)
		}
	}
	if in, err := words(dir + "/" + cgroupName + pidText(host) + "/cgroup.procs"); err != nil || len(in) != 1 {
		t.Errorf("the host's own: %v, %v", in, err)
	}
	if on, err := words(dir + "/cgroup.subtree_control"); err != nil || len(on) != 1 || on[0] != controller {
		t.Errorf("on are %v, %v", on, err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a guardian that was killed has left: %v", err)
	}
}

// A program in a cgroup of its own is in it from its first moment; with it all is
// gone, the cgroup too.
func TestInCgroup(t *testing.T) {
	dir := ownCgroup(t)
	c := &Child{guardian: guardianOf(Program{Name: "test", Stdin: os.Stdin, Stdout: os.Stderr, Stderr: os.Stderr})}
	if err := c.launch(); err != nil {
		t.Fatal(err)
	}
	s, err := c.order(order{Path: "/bin/sh", Args: []string{"sh", "-c", "setsid sleep 600 & sleep 600"}, Dir: "/", Cgroup: dir})
	if err != nil {
		t.Fatal(err)
	}
	c.PID = s.PID
	if s.Unbound != nil {
		t.Errorf("unbound: %q", s.Unbound)
	}
	own := dir + "/" + cgroupName + "plugin-" + pidText(c.guardian)
	until(t, 10*time.Second, "three processes are in it", func() bool {
		in, err := words(own + "/cgroup.procs")
		return err == nil && len(in) == 3
	})
	c.Kill()
	if err := c.Wait(); err.Error() != "killed by signal 9 (killed)" {
		t.Error(err)
	}
	if _, err := os.Stat(own); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}

// Bounds that the kernel refuses are said, and the program runs without them.
func TestCgroupThatRefuses(t *testing.T) {
	if _, err := newCgroup(t.TempDir(), Limits{Memory: 1 << 30, MilliCPUs: 100}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want that there is no such file", err)
	}
	c := &Child{guardian: guardianOf(Program{Name: "test", Stdin: os.Stdin, Stdout: os.Stderr, Stderr: os.Stderr})}
	if err := c.launch(); err != nil {
		t.Fatal(err)
	}
	s, err := c.order(order{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 5"}, Dir: "/", Limits: Limits{Memory: 1 << 30, MilliCPUs: 100}, Cgroup: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c.PID = s.PID
	if len(s.Unbound) != 2 {
		t.Errorf("unbound: %q", s.Unbound)
	}
	if err := c.Wait(); err.Error() != "exited with code 5" {
		t.Error(err)
	}
}

func pidText(cmd *exec.Cmd) string { return strconv.Itoa(cmd.Process.Pid) }

func TestCounter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.events")
	if err := os.WriteFile(path, []byte("low 0\nmax 12\noom_kill_x 4\noom_kill 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := counter(path, "oom_kill"); got != 3 {
		t.Errorf("%d, want 3", got)
	}
	if got := counter(path, "oom"); got != 0 {
		t.Errorf("%d, want 0", got)
	}
	if _, err := os.Stat("/proc/vmstat"); err == nil && counter("/proc/vmstat", "pgfault") == 0 {
		t.Error("/proc/vmstat is not read")
	}
}
