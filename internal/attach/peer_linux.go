package attach

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Peer returns who is at the other end of a socket: its user, and the process
// that listened or connected there.
func Peer(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var (
		cred  *unix.Ucred
		other error
	)
	if err := raw.Control(func(fd uintptr) {
		cred, other = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	if other != nil {
		return nil, fmt.Errorf("who is at the other end of the socket: %w", other)
	}
	return cred, nil
}

// peer makes sure that the other end is this user's, and returns its process.
func peer(conn *net.UnixConn) (pid int, err error) {
	cred, err := Peer(conn)
	if err != nil {
		return 0, err
	}
	if int(cred.Uid) != os.Getuid() {
		return 0, fmt.Errorf("user %d is at the other end of the socket", cred.Uid)
	}
	return int(cred.Pid), nil
}
