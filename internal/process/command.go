package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A command is the operating system's side of a life: go-plugin's
// runner.Runner, so that go-plugin gets one vetted line and nothing else of what
// the plugin prints, and the host alone starts, watches and kills.
type command struct {
	cfg       Config
	socketDir string // the folder that the plugin makes its socket in

	pid     int
	line    []byte   // the vetted handshake
	addr    string   // the socket's path, from it
	stdin   *os.File // our end: its closing tells the plugin that we are gone
	exited  chan struct{}
	cause   error // why it exited; readable once exited is closed
	pipes   sync.WaitGroup
	readers []*os.File
	out     output // of stderr
}

// base is what all plugins may know of the host's environment.
var base = []string{"PATH", "HOME", "TMPDIR", "LANG", "TZ"}

// environment is the allow-list's part of the host's environment. A key for
// sealing is never in it, whatever the list says.
func environment(allowed []string) []string {
	var env []string
	for _, name := range append(base[:len(base):len(base)], allowed...) {
		if value, ok := os.LookupEnv(name); ok && name != "ENCRYPTION_KEY" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Start starts the process and waits for its handshake line. On an error, no
// process is left.
func (c *command) Start(ctx context.Context) error {
	return c.start(ctx, nil)
}

func (c *command) start(ctx context.Context, env []string) error {
	stdinR, stdinW, err := os.Pipe()
	if err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, stdinR.Close(), stdinW.Close())
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, stdinR.Close(), stdinW.Close(), outR.Close(), outW.Close())
	}
	c.stdin, c.readers = stdinW, []*os.File{outR, errR}

	started := make(chan error, 1)
	go c.live(env, stdinR, outW, errW, started)
	err = <-started
	_, _, _ = stdinR.Close(), outW.Close(), errW.Close()
	if err != nil {
		c.closePipes()
		return err
	}
	c.out.tail = c.cfg.Tail
	c.out.logger = c.cfg.Logger.With("plugin", c.cfg.Name, "version", c.cfg.Version, "pid", c.pid)
	c.pipes.Go(func() { drain(bufio.NewReaderSize(errR, maxLine), c.out.stderr) })

	if err := c.handshake(ctx, outR); err != nil {
		c.kill()
		<-c.exited
		c.closePipes()
		if c.out.first != "" {
			err = fmt.Errorf("%w; it said: %s", err, c.out.first)
		}
		return err
	}
	return nil
}

// live is the goroutine that starts the process and waits for its end. It holds
// its thread: the kernel kills a child with a parent-death signal when the
// *thread* that made it ends, and Go ends threads.
func (c *command) live(env []string, stdin, stdout, stderr *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var cmd *exec.Cmd
	for try := 0; ; try++ {
		cmd = exec.Command(c.cfg.Path, c.cfg.Args...)
		cmd.Dir, cmd.Env = c.cfg.Dir, env
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
		cmd.SysProcAttr = attributes()
		err := cmd.Start()
		if err == nil {
			break
		}
		// Somebody is still writing the file, or a child that was forked just
		// then still holds it open for writing (golang.org/issue/22315).
		if errors.Is(err, syscall.ETXTBSY) && try < 20 {
			time.Sleep(25 * time.Millisecond)
			continue
		}
		close(c.exited)
		started <- err
		return
	}
	c.pid = cmd.Process.Pid
	started <- nil
	err := waitAndSweep(cmd, c.killGroup)
	c.cause = exitCause(cmd.ProcessState, err)
	close(c.exited)
}

// exitCause names how a process ended.
func exitCause(state *os.ProcessState, err error) error {
	if state == nil {
		return fmt.Errorf("wait: %w", err)
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return fmt.Errorf("killed by signal %d (%s)", int(ws.Signal()), ws.Signal())
	}
	return fmt.Errorf("exited with code %d", state.ExitCode())
}

// handshake reads and vets the first line. What comes after it on stdout is
// drained as log.
func (c *command) handshake(ctx context.Context, stdout *os.File) error {
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	c.pipes.Go(func() {
		r := bufio.NewReaderSize(stdout, maxHandshake)
		line, err := readHandshake(r)
		got <- answer{line, err}
		rest := output{logger: c.out.logger, tail: c.out.tail}
		drain(r, func(text []byte, truncated bool) { rest.text("stdout", text, truncated) })
	})
	var a answer
	select {
	case a = <-got:
	case <-c.exited:
		select {
		case a = <-got: // what it printed before it died says more
		case <-time.After(time.Second): // a child of its holds stdout
			return fmt.Errorf("it %w before its handshake", c.cause)
		}
	case <-ctx.Done():
		return fmt.Errorf("no handshake line on stdout in time: %w", ctx.Err())
	}
	if a.err != nil {
		select {
		case <-c.exited:
			return fmt.Errorf("it %w before its handshake", c.cause)
		case <-time.After(time.Second): // closed stdout, lives on
		}
		return a.err
	}
	if err := vetHandshake(a.line, c.socketDir, !c.cfg.NoTLS); err != nil {
		return err
	}
	c.line = a.line
	c.addr = strings.Split(string(a.line), "|")[3]
	return nil
}

// kill ends the process and all of its group, at once. It may be called at any
// time and again.
func (c *command) kill() {
	select {
	case <-c.exited:
	default:
		c.killGroup()
	}
}

func (c *command) killGroup() {
	if c.pid <= 1 {
		return // nothing was started; and -0 would be the host's own group
	}
	// An error means that nobody is left.
	_ = syscall.Kill(-c.pid, syscall.SIGKILL)
}

// closePipes ends the readers. Called after the exit: what a process wrote
// before it died is in the pipe, and is read first, unless somebody who left the
// group holds the other end.
func (c *command) closePipes() {
	done := make(chan struct{})
	go func() { c.pipes.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
	for _, r := range c.readers {
		_ = r.Close() // ends a pending read
	}
	<-done
	_ = c.stdin.Close()
}

// The rest of runner.Runner.

func (c *command) Wait(context.Context) error {
	<-c.exited
	return nil
}

func (c *command) Kill(context.Context) error {
	c.kill()
	return nil
}

func (c *command) ID() string { return strconv.Itoa(c.pid) }

func (c *command) Name() string { return c.cfg.Path }

func (c *command) Diagnose(context.Context) string { return "" }

func (c *command) Stdout() io.ReadCloser {
	return io.NopCloser(strings.NewReader(string(c.line) + "\n"))
}

func (c *command) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

func (c *command) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

func (c *command) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// dial connects to the plugin's socket, and makes sure who listens there.
func (c *command) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.addr)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn.(*net.UnixConn), c.pid); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
