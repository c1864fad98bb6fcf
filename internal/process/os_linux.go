package process

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"rrhost/internal/attach"
)

// checkPeer makes sure that who listens is the plugin's user, in the plugin's
// group: a wrapper script's child is, another plugin isn't. (A group is in one
// session, and each plugin has one of its own: others cannot join.)
func (c *command) checkPeer(conn *net.UnixConn) error {
	peer, err := attach.Peer(conn)
	if err != nil {
		return err
	}
	want := uint32(os.Geteuid())
	if c.user != nil {
		want = c.user.UID
	}
	if peer.Uid != want {
		return fmt.Errorf("user %d listens on the plugin's socket, and it runs as user %d", peer.Uid, want)
	}
	if got, err := unix.Getpgid(int(peer.Pid)); err != nil || got != c.child.PID {
		return fmt.Errorf("process %d, which is not the plugin's, listens on its socket", peer.Pid)
	}
	return nil
}
