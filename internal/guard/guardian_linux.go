package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// guardianName is what a guardian is started as, and shown as.
const guardianName = "rrhost-guardian"

// init makes a guardian of a process that was started as one. Main, and what else
// this program does, never runs there.
func init() {
	if len(os.Args) > 0 && os.Args[0] == guardianName {
		syscall.Exit(guardian()) // there is nothing to flush
	}
}

// guardian starts one program, and returns when nothing of it is left.
func guardian() int {
	// The program is to die when its guardian does, which the kernel takes for:
	// when the thread that started it ends.
	runtime.LockOSThread()
	// Whoever wants to end it speaks to the host. Ignored signals would be
	// ignored by the program too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP)
	const socket = 3
	closeOnExec(socket)
	host := os.NewFile(socket, "host")
	var o order
	if err := json.NewDecoder(host).Decode(&o); err != nil {
		fmt.Fprintln(os.Stderr, "rrhost-guardian watches over a plugin; a host starts it by itself")
		return 1
	}
	w := &ward{}
	answer, err := w.start(o)
	if err == nil {
		err = letGo(0, 1)
	}
	if err != nil {
		w.end("")
		var at *os.SyscallError
		answer.Op = "start"
		if errors.As(err, &at) {
			answer.Op = at.Syscall
		}
		if !errors.As(err, &answer.Errno) {
			answer.Errno = syscall.EINVAL
		}
	}
	out := json.NewEncoder(host)
	// An error means that the host is gone, which is noticed below.
	_ = out.Encode(answer)
	go func() {
		_, _ = io.Copy(io.Discard, host) // whatever ends it: there is no host
		w.end("")
	}()
	if w.cgroup == nil && o.Limits.Memory > 0 {
		go w.watchMemory(o.Limits.Memory)
	}
	_ = out.Encode(w.wait())
	return 0
}

// closeOnExec keeps descriptors, from first on, from the program. Beside this
// process's own there may be some that the host was born with and that whoever
// started it forgot.
func closeOnExec(first int) {
	if unix.CloseRange(uint(first), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, _ := os.ReadDir("/proc/self/fd") // a kernel before 5.11; what could be read is enough
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= first {
			syscall.CloseOnExec(fd)
		}
	}
}

// letGo closes what is the program's: who reads its output waits for the end of
// all copies. Standard error stays, for the guardian's own last words.
func letGo(fds ...int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range fds {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}

// A ward is a program and all that it has started.
type ward struct {
	pid    int
	cgroup *cgroup // its own; nil: none
	kills  uint64  // of processes for want of memory, on this machine before

	ending atomic.Bool
	reason atomic.Pointer[string] // why it was ended
}

// start starts the program.
func (w *ward) start(o order) (s started, err error) {
	_ = os.WriteFile("/proc/self/comm", []byte(guardianName), 0) // its name in lists, which can be missed
	// Orphans of the program become this process's children.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return s, os.NewSyscallError("subreaper", err)
	}
	if err := Undumpable(); err != nil { // so nobody can take it over
		return s, err
	}
	// Nothing that the program runs can become somebody else by being run.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return s, os.NewSyscallError("no_new_privs", err)
	}
	if n := uint64(o.Limits.OpenFiles); n > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			s.Unbound = append(s.Unbound, fmt.Sprintf("open_files: set it to %d: %v", n, err))
		}
	}
	sys := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if o.User != nil {
		sys.Credential = &syscall.Credential{Uid: o.User.UID, Gid: o.User.GID} // and no other group
	}
	if o.Cgroup != "" {
		if w.cgroup, err = newCgroup(o.Cgroup, o.Limits); err != nil {
			s.Unbound = append(s.Unbound, unboundBy(o.Limits, err)...)
		} else {
			sys.UseCgroupFD, sys.CgroupFD = true, int(w.cgroup.folder.Fd())
		}
	}
	w.kills = oomKills()
	attr := &syscall.ProcAttr{Dir: o.Dir, Env: o.Env, Files: []uintptr{0, 1, 2}, Sys: sys}
	w.pid, err = forkExec(o.Path, o.Args, attr)
	if err != nil && w.cgroup != nil && notOfProgram(err) {
		s.Unbound = append(s.Unbound, unboundBy(o.Limits, fmt.Errorf("start in a cgroup: %w", err))...)
		w.cgroup.remove()
		w.cgroup, sys.UseCgroupFD = nil, false
		w.pid, err = forkExec(o.Path, o.Args, attr)
	}
	if err != nil {
		w.cgroup.remove()
		return s, os.NewSyscallError("fork/exec", err)
	}
	s.PID = w.pid
	return s, nil
}

// notOfProgram are the errors of a kernel that does not start processes in a
// cgroup, or not for us.
func notOfProgram(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENOSYS, syscall.EINVAL, syscall.EBUSY, syscall.EOPNOTSUPP, syscall.EACCES, syscall.EPERM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// forkExec waits for whoever is still writing the file, or for a child that was
// forked just then and still holds it open for writing (golang.org/issue/22315).
func forkExec(path string, args []string, attr *syscall.ProcAttr) (pid int, err error) {
	for range 20 {
		pid, err = syscall.ForkExec(path, args, attr)
		if !errors.Is(err, syscall.ETXTBSY) {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	return pid, err
}

// end kills all, now and as wait finds more. The first reason counts.
func (w *ward) end(reason string) {
	if w.ending.Swap(true) {
		return
	}
	if reason != "" {
		w.reason.Store(&reason)
	}
	w.kill()
}

// wait waits for the program's end, sees to it that nobody else is left, and says
// how it ended.
//
// Each death is followed by another look: a process that was forked between a
// look and a kill becomes a child of this one when its parent dies, so it is seen
// then.
func (w *ward) wait() (e ended) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil { // there are no more children
			break
		}
		if pid == w.pid {
			e.Status = ws
			w.ending.Store(true)
		}
		if w.ending.Load() {
			w.kill()
		}
	}
	if reason := w.reason.Load(); reason != nil {
		e.Reason = *reason
	} else if e.Status.Signaled() && e.Status.Signal() == syscall.SIGKILL {
		e.Reason = w.outOfMemory(e.Status)
	}
	w.cgroup.remove()
	return e
}

// kill kills whatever is there.
func (w *ward) kill() {
	w.cgroup.kill()
	for _, group := range descendants().groups() {
		// A group is killed in one go, whatever it forks meanwhile. An error
		// means that nobody is left.
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
}

// outOfMemory names the kernel's killing, where it was that.
func (w *ward) outOfMemory(ws syscall.WaitStatus) string {
	if w.cgroup.outOfMemory() {
		return fmt.Sprintf("%v: out of memory, of which it may have %s", causeOf(ws), bytesText(w.cgroup.memory))
	}
	if oomKills() > w.kills {
		return fmt.Sprintf("%v, as it seems by the kernel: this machine, or its container, was out of memory", causeOf(ws))
	}
	return ""
}

// memoryLook is how often memory is looked at where the kernel does not bound it.
const memoryLook = 250 * time.Millisecond

// watchMemory ends all once they hold more than limit bytes together.
func (w *ward) watchMemory(limit int64) {
	for range time.Tick(memoryLook) {
		if used := descendants().memory(); used > limit {
			w.end(fmt.Sprintf("killed by its guardian: out of memory, it held %s and may have %s", bytesText(used), bytesText(limit)))
			return
		}
	}
}

func bytesText(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}
