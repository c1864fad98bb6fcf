package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// killGrace is how long a guardian has to end all it guards, before it is ended
// itself: it may have been stopped by what it guards.
const killGrace = 2 * time.Second

// A Child is a program that was started, with its guardian.
type Child struct {
	// PID is the program's, which leads a session and a group of its own.
	PID int
	// Unbound says which limits could not be set, and why.
	Unbound []string

	guardian *exec.Cmd
	conn     *net.UnixConn
	in       *json.Decoder

	mu    sync.Mutex
	timer *time.Timer // ends the guardian
	over  bool
}

// What host and guardian tell each other.
type (
	order struct {
		Path, Dir string
		Args, Env []string
		User      *User
		Limits    Limits
		Cgroup    string // in which to make the program's own; empty: none
	}
	started struct {
		PID     int
		Unbound []string
		Op      string // with Errno: what failed
		Errno   syscall.Errno
	}
	ended struct {
		Status syscall.WaitStatus
		Reason string // why it was killed, where that is known
	}
)

// Start starts p, and a guardian with it. ctx bounds the start alone. The caller
// must call [Child.Wait]. After an error nothing is left; it wraps the system's
// where the program itself cannot be run.
func Start(ctx context.Context, p Program) (*Child, error) {
	if p.User != nil && os.Geteuid() != 0 {
		return nil, fmt.Errorf("running as user %s needs a host that is root, and this one is user %d", p.User.Name, os.Geteuid())
	}
	cgroup, whyNot := "", error(nil)
	if p.Limits.Memory > 0 || p.Limits.MilliCPUs > 0 {
		cgroup, whyNot = delegated()
	}
	c := &Child{guardian: guardianOf(p)}
	if err := c.launch(); err != nil {
		return nil, fmt.Errorf("start a guardian: %w", err)
	}
	stop := context.AfterFunc(ctx, c.Kill)
	s, err := c.order(order{
		Path: p.Path, Args: append([]string{p.Path}, p.Args...), Dir: p.Dir,
		Env: (&exec.Cmd{Env: p.Env}).Environ(), User: p.User, Limits: p.Limits, Cgroup: cgroup,
	})
	c.PID, c.Unbound = s.PID, s.Unbound
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		c.Kill()
		_ = c.Wait() // err is why
		return nil, err
	}
	if whyNot != nil {
		c.Unbound = append(c.Unbound, unboundBy(p.Limits, whyNot)...)
	}
	return c, nil
}

func guardianOf(p Program) *exec.Cmd {
	g := exec.Command("/proc/self/exe")
	g.Args = []string{guardianName, p.Name}
	g.Env = []string{"GOMAXPROCS=1", "GOGC=20"} // it waits, and that is all
	g.Stdin, g.Stdout, g.Stderr = p.Stdin, p.Stdout, p.Stderr
	g.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal's signals
	return g
}

// launch runs the guardian, with one end of a socket.
func (c *Child) launch() error {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "guardian"), os.NewFile(uintptr(ends[1]), "host")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	_ = ours.Close() // conn has a copy
	if err != nil {
		return err
	}
	c.conn = conn.(*net.UnixConn)
	c.in = json.NewDecoder(c.conn)
	c.guardian.ExtraFiles = []*os.File{theirs}
	if err := c.guardian.Start(); err != nil {
		_ = c.conn.Close()
		return err
	}
	return nil
}

// order tells the guardian what to start.
func (c *Child) order(o order) (started, error) {
	var s started
	if err := json.NewEncoder(c.conn).Encode(o); err != nil {
		return s, fmt.Errorf("tell the guardian what to start: %w", err)
	}
	if err := c.in.Decode(&s); err != nil {
		return s, fmt.Errorf("the guardian does not answer: %w", err)
	}
	if s.Errno != 0 {
		return s, &os.PathError{Op: s.Op, Path: o.Path, Err: s.Errno}
	}
	return s, nil
}

// Kill ends the program and all that it started, at once. It may be called at any
// time and again.
func (c *Child) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.timer != nil {
		return
	}
	c.timer = time.AfterFunc(killGrace, func() { _ = c.guardian.Process.Kill() })
	_ = c.conn.CloseWrite() // an error means that the guardian is gone
}

// Wait waits until the program has ended and nothing of it is left. It returns
// how it ended, which is never nil. It must be called once.
func (c *Child) Wait() error {
	var e ended
	err := c.in.Decode(&e)
	_ = c.guardian.Wait() // its own end is of interest only where it said nothing
	c.mu.Lock()
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	_ = c.conn.Close()
	if err != nil {
		// The program has died with its guardian. What it left in its group is
		// nobody's now. (An error means that nobody is left.)
		if c.PID > 1 {
			_ = syscall.Kill(-c.PID, syscall.SIGKILL)
		}
		if ws, ok := c.guardian.ProcessState.Sys().(syscall.WaitStatus); ok {
			return fmt.Errorf("ended with its guardian, which was %w", causeOf(ws))
		}
		return errors.New("ended with its guardian")
	}
	if e.Reason != "" {
		return errors.New(e.Reason)
	}
	return causeOf(e.Status)
}
