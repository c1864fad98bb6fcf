package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// maxFrame is the largest request, in bytes, that is let through: Kafka's own
// default for socket.request.max.bytes.
const maxFrame = 100 << 20

// errFrame ends a connection whose bytes are no Kafka request.
var errFrame = errors.New("not a Kafka request")

// A listener hands out guarded connections, and can wait for the end of all.
type listener struct {
	net.Listener
	addr net.Addr

	mu     sync.Mutex
	closed bool
	open   sync.WaitGroup // connections; grows under mu while not closed
}

func listen(address string) (*listener, error) {
	ln, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("another program listens on %s (hint: stop it, or set [embedded] listen)", address)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return &listener{Listener: ln, addr: advertised(ln.Addr())}, nil
}

// advertised is what clients are told to dial: the address itself, and
// loopback where it is "every address", which cannot be dialled.
func advertised(addr net.Addr) net.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr
	}
	return hostPort(net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port)))
}

type hostPort string

func (hostPort) Network() string  { return "tcp" }
func (a hostPort) String() string { return string(a) }

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	l.open.Add(1)
	return &guardedConn{Conn: conn, gone: sync.OnceFunc(l.open.Done)}, nil
}

func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return l.Listener.Close()
}

// wait returns when every connection is closed.
func (l *listener) wait() { l.open.Wait() }

// A guardedConn lets whole requests through whose kind and size are possible.
// kfake believes both before anybody has logged in: a size makes it allocate,
// up to 4 GiB, and a kind that it does not know ends the process. A browser
// or a port scan would do.
type guardedConn struct {
	net.Conn
	gone func()

	head [8]byte // size, kind and version of the request that is being read
	next []byte  // what of head is not handed on yet
	left int     // bytes of the request after head
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
	if size < rest || size > maxFrame || kmsg.RequestForKey(kind) == nil {
		return errFrame
	}
	c.next, c.left = c.head[:], int(size)-rest
	return nil
}

func (c *guardedConn) Close() error {
	defer c.gone()
	return c.Conn.Close()
}
