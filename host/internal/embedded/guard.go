package embedded

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of a request, in bytes. The second is Kafka's own default for
// socket.request.max.bytes.
const (
	maxFrameBefore = 64 << 10 // the login, which takes some hundred
	maxFrame       = 100 << 20
)

// loginMost is how long a connection may take for its login, which takes some
// milliseconds on a machine that is not busy.
const loginMost = 10 * time.Second

var (
	// errFrame ends a connection whose bytes are no Kafka request.
	errFrame = errors.New("not a Kafka request")
	// errFull ends a connection that logs in while too many are.
	errFull = errors.New("too many connections")
)

// A guardedConn lets whole requests through whose kind and size are possible.
// kfake believes both before anybody has logged in: a size makes it allocate,
// up to 4 GiB, and a kind that it does not know ends the process. A browser
// or a port scan would do.
type guardedConn struct {
	net.Conn
	enter func() bool // called at the end of the login; tells whether there is room
	gone  func()      // called once

	head [8]byte // size, kind and version of the request that is being read
	next []byte  // what of head is not handed on yet
	left int     // bytes of the request after head

	login    login
	loggedIn atomic.Bool
}

func guard(conn net.Conn, l *listener) *guardedConn {
	// An error means that the connection is dead, as a read will tell.
	_ = conn.SetReadDeadline(time.Now().Add(loginMost))
	c := &guardedConn{Conn: conn}
	c.enter = func() bool { return l.enter(c) }
	c.gone = sync.OnceFunc(func() { l.leave(c) })
	return c
}

// Read is called by one goroutine at a time.
func (c *guardedConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.next) == 0 && c.left == 0 {
		if err := c.begin(); err != nil {
			return 0, err
		}
	}
	if len(c.next) > 0 {
		n := copy(p, c.next)
		c.next = c.next[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// begin reads the head of the next request.
func (c *guardedConn) begin() error {
	if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(c.head[:4])
	kind := int16(binary.BigEndian.Uint16(c.head[4:6]))
	const rest = 4 // kind and version, which are part of the size and of head
	most, loggedIn := uint32(maxFrameBefore), c.loggedIn.Load()
	if loggedIn {
		most = maxFrame
	}
	if size < rest || size > most || kmsg.RequestForKey(kind) == nil {
		return errFrame
	}
	if !loggedIn {
		c.login.asked(kind, binary.BigEndian.Uint16(c.head[6:]))
	}
	c.next, c.left = c.head[:], int(size)-rest
	return nil
}

// Write is called by one goroutine at a time, with one whole response.
func (c *guardedConn) Write(p []byte) (int, error) {
	// Before it is sent, since the other side may answer at once.
	if !c.loggedIn.Load() && c.login.answered(p) {
		if !c.enter() {
			return 0, errors.Join(errFull, c.Close())
		}
		c.loggedIn.Store(true)
		_ = c.SetReadDeadline(time.Time{}) // as above
	}
	return c.Conn.Write(p)
}

func (c *guardedConn) Close() error {
	defer c.gone()
	return c.Conn.Close()
}

// A login follows a connection's requests and their responses, which come in the
// same order, until SCRAM's two steps have been taken. A wrong step ends the
// connection, or is answered with an error.
type login struct {
	mu      sync.Mutex
	waiting []exchange // the oldest first; kfake reads one ahead
	taken   int
}

// An exchange is a request whose response is not sent yet.
type exchange struct {
	kind    int16
	version uint16
}

const saslAuthenticate = 36

func (l *login) asked(kind int16, version uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, exchange{kind, version})
}

// answered tells whether response ends the login.
func (l *login) answered(response []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return false
	}
	to := l.waiting[0]
	l.waiting = l.waiting[1:]
	code := 8 // after size and correlation id
	if to.version >= 2 {
		code++ // no tags
	}
	if to.kind == saslAuthenticate && len(response) >= code+2 && binary.BigEndian.Uint16(response[code:]) == 0 {
		l.taken++
	}
	return l.taken == 2
}
