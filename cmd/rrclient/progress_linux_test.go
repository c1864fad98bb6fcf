package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"rrhost/client"
	"rrhost/cmd/internal/cli"
)

// On a terminal there is a bar, which is gone in the end; elsewhere is none.
func TestProgress(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	m := newMeasured(load{request: client.Request{Topic: "calculate"}, inFlight: 1, count: 4})
	m.end(time.Millisecond, nil)
	m.end(time.Millisecond, nil)

	var none bytes.Buffer
	showProgress(&none, m)()
	if none.Len() > 0 {
		t.Errorf("drawn although it is no terminal: %q", &none)
	}

	control, terminal := openTerminal(t)
	seen := make(chan struct{})
	read := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		buf := make([]byte, 4096)
		for told := false; ; {
			n, err := control.Read(buf)
			all.Write(buf[:n])
			if !told && bytes.Contains(all.Bytes(), []byte("50 %")) {
				told = true
				close(seen)
			}
			if err != nil { // the terminal's other end is closed
				read <- all.String()
				return
			}
		}
	}()
	stop := showProgress(terminal, m)
	select {
	case <-seen:
	case <-time.After(30 * time.Second):
		t.Error("no bar at 50 %")
	}
	stop()
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	if drawn := <-read; !bytes.Contains([]byte(drawn), []byte("calculate")) {
		t.Errorf("drawn: %q", drawn)
	}
}

// A response goes to a pipe as it came, and to a terminal without what would do
// something to it.
func TestPrintResponse(t *testing.T) {
	const hostile = "\"\x1b[2J\u202e\""
	var piped bytes.Buffer
	if err := cli.PrintResponse(&piped, []byte(hostile)); err != nil || piped.String() != hostile+"\n" {
		t.Errorf("piped: %q, %v", &piped, err)
	}
	control, terminal := openTerminal(t)
	if err := cli.PrintResponse(terminal, []byte(hostile)); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	shown, _ := io.ReadAll(control) // ends with an error once the terminal is closed
	if got, want := string(shown), `"\x1b[2J\u202e"`+"\r\n"; got != want {
		t.Errorf("shown: %q, want %q", got, want)
	}
}

// openTerminal makes a pseudo-terminal.
func openTerminal(t *testing.T) (control io.Reader, terminal *os.File) {
	t.Helper()
	c, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	fd := int(c.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c, terminal
}
