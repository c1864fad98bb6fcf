package embedded

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxConns is how many connections may be logged in at a time. A host and a
	// client take about five each.
	maxConns = 1024
	// maxStrangers is how many others there may be. Who has no password can
	// fill these alone, and there the next one takes the place of the oldest. It
	// is not less than maxConns: after a restart all clients log in at once, and
	// would end each other's logins.
	maxStrangers = maxConns
)

// A listener hands out guarded connections, and can wait for the end of all.
type listener struct {
	net.Listener
	addr net.Addr

	mu        sync.Mutex
	closed    bool
	strangers []*guardedConn        // not logged in, the oldest first
	members   map[*guardedConn]bool // logged in
	open      sync.WaitGroup        // both; grows under mu while not closed
}

func listen(address string) (*listener, error) {
	ln, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("another program listens on %s (hint: stop it, or set [embedded] listen)", address)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return &listener{Listener: ln, addr: advertised(ln.Addr()), members: map[*guardedConn]bool{}}, nil
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
	return l.admit(conn)
}

// admit guards a connection, and ends the oldest stranger if there are too many.
func (l *listener) admit(conn net.Conn) (net.Conn, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	var oldest *guardedConn
	if len(l.strangers) == maxStrangers {
		oldest = l.strangers[0]
		l.strangers = slices.Delete(l.strangers, 0, 1) // it cannot log in from here on
	}
	c := guard(conn, l)
	l.strangers = append(l.strangers, c)
	l.open.Add(1)
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // not under mu: it leaves
	}
	return c, nil
}

// enter makes a stranger a member, if there is room.
func (l *listener) enter(c *guardedConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.strangers, c)
	if i < 0 || len(l.members) == maxConns {
		return false
	}
	l.strangers = slices.Delete(l.strangers, i, i+1)
	l.members[c] = true
	return true
}

// leave forgets a connection that is closed.
func (l *listener) leave(c *guardedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.strangers, c); i >= 0 {
		l.strangers = slices.Delete(l.strangers, i, i+1)
	}
	delete(l.members, c)
	l.open.Done()
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
