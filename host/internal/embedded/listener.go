package embedded

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// maxConns is how many connections there may be at a time. A host and a client
// take about five each.
const maxConns = 1024

// A listener hands out guarded connections, and can wait for the end of all.
type listener struct {
	net.Listener
	addr net.Addr

	mu     sync.Mutex
	closed bool
	conns  int
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
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if guarded, err := l.admit(conn); guarded != nil || err != nil {
			return guarded, err
		}
	}
}

// admit guards a connection, or ends it if there are too many.
func (l *listener) admit(conn net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	if l.conns == maxConns {
		_ = conn.Close()
		return nil, nil
	}
	l.conns++
	l.open.Add(1)
	return guard(conn, l.leave), nil
}

// leave counts a connection that is closed.
func (l *listener) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns--
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
