package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"rrhost/internal/guard"
)

// A command is the operating system's side of a life: go-plugin's
// runner.Runner, so that go-plugin gets one vetted line and nothing else of what
// the plugin prints, and the host alone starts, watches and kills.
type command struct {
	cfg       Config
	user      *guard.User // whom it runs as; nil: us
	socketDir string      // the folder that the plugin makes its socket in

	child   *guard.Child
	line    []byte   // the vetted handshake
	addr    string   // the socket's path, from it
	stdin   *os.File // our end: its closing tells the plugin that we are gone
	exited  chan struct{}
	cause   error // why it exited; readable once exited is closed
	pipes   sync.WaitGroup
	readers []*os.File
	out     output // of stderr
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

	if c.user != nil { // it may open them by name, as /dev/stdout
		for _, f := range []*os.File{stdinR, outW, errW} {
			_ = f.Chown(int(c.user.UID), int(c.user.GID)) // most programs never do
		}
	}
	c.out.tail = c.cfg.Tail
	c.child, err = guard.Start(ctx, guard.Program{
		Name: c.cfg.Name, Path: c.cfg.Path, Args: c.cfg.Args, Dir: c.cfg.Dir, Env: env,
		Stdin: stdinR, Stdout: outW, Stderr: errW, User: c.user, Limits: c.cfg.Limits,
	})
	_, _, _ = stdinR.Close(), outW.Close(), errW.Close()
	if err != nil {
		close(c.exited)
		c.closePipes()
		return c.explain(err)
	}
	go func() {
		c.cause = c.child.Wait()
		close(c.exited)
	}()
	c.out.logger = c.cfg.Logger.With("plugin", c.cfg.Name, "version", c.cfg.Version, "pid", c.child.PID)
	warnUnbound(c.out.logger, c.cfg.Name, c.child.Unbound)
	c.pipes.Go(func() { drain(bufio.NewReaderSize(errR, maxLine), c.out.stderr) })

	if err := c.handshake(ctx, outR); err != nil {
		c.kill()
		<-c.exited
		c.closePipes()
		if c.out.why != "" {
			err = fmt.Errorf("%w; it said: %s", err, c.out.why)
		}
		return err
	}
	return nil
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

// kill ends the process and all that it started, at once. It may be called at any
// time and again.
func (c *command) kill() {
	if c.child != nil {
		c.child.Kill()
	}
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

func (c *command) ID() string {
	if c.child == nil { // go-plugin asks also where nothing was started
		return ""
	}
	return strconv.Itoa(c.child.PID)
}

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
	if err := c.checkPeer(conn.(*net.UnixConn)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
