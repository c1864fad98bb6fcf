package attach

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peer makes sure that the other end is this user's, and returns its process.
func peer(conn *net.UnixConn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var (
		cred  *unix.Ucred
		other error
	)
	if err := raw.Control(func(fd uintptr) {
		cred, other = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if other != nil {
		return 0, fmt.Errorf("who is at the other end of the socket: %w", other)
	}
	if int(cred.Uid) != os.Getuid() {
		return 0, fmt.Errorf("user %d is at the other end of the socket", cred.Uid)
	}
	return int(cred.Pid), nil
}
