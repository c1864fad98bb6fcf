//go:build !linux

package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A Child is a program that was started.
type Child struct {
	// PID is the program's, which leads a group of its own.
	PID int
	// Unbound says which limits could not be set, and why.
	Unbound []string

	cmd *exec.Cmd
}

// Start starts p. ctx bounds the start alone. The caller must call [Child.Wait].
// After an error nothing is left; it wraps the system's where the program itself
// cannot be run.
func Start(ctx context.Context, p Program) (*Child, error) {
	if p.User != nil && os.Geteuid() != 0 {
		return nil, fmt.Errorf("running as user %s needs a host that is root, and this one is user %d", p.User.Name, os.Geteuid())
	}
	cmd, err := start(p)
	// See the Linux side: somebody still has the file open for writing.
	for try := 0; errors.Is(err, syscall.ETXTBSY) && try < 20; try++ {
		select {
		case <-time.After(25 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		cmd, err = start(p)
	}
	if err != nil {
		return nil, err
	}
	c := &Child{PID: cmd.Process.Pid, cmd: cmd}
	if p.Limits != (Limits{}) {
		c.Unbound = append(c.Unbound, "memory, millicpus and open_files are bounded on Linux only")
	}
	return c, nil
}

func start(p Program) (*exec.Cmd, error) {
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Dir, cmd.Env = p.Dir, p.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.User != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: p.User.UID, Gid: p.User.GID}
	}
	return cmd, cmd.Start()
}

// Kill ends the program and its group, at once. It may be called at any time and
// again.
func (c *Child) Kill() {
	// An error means that nobody is left.
	_ = syscall.Kill(-c.PID, syscall.SIGKILL)
}

// Wait waits until the program has ended, and ends what is left in its group. It
// returns how it ended, which is never nil. It must be called once.
func (c *Child) Wait() error {
	err := c.cmd.Wait()
	c.Kill()
	if ws, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		return causeOf(ws)
	}
	return fmt.Errorf("wait: %w", err)
}

// Undumpable does nothing here. On Linux it keeps other processes of the same
// user out of this one's memory.
func Undumpable() error { return nil }

// Reap does nothing here. On Linux it waits for orphans where this process is
// PID 1.
func Reap(context.Context) {}
