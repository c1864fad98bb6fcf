package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes make the child the leader of a group of its own, which dies with
// the host, also where the host is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// waitAndSweep waits for cmd's exit, ends what it left behind in its group, and
// reaps it: in this order, because until then the group's number is nobody
// else's.
func waitAndSweep(cmd *exec.Cmd, sweep func()) error {
	for errors.Is(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	sweep()
	return cmd.Wait()
}

// checkPeer makes sure that who listens is our user, in the plugin's group: a
// wrapper script's child is, another plugin isn't.
func checkPeer(conn *net.UnixConn, pgid int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var (
		peer *unix.Ucred
		cred error
	)
	if err := raw.Control(func(fd uintptr) {
		peer, cred = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if cred != nil {
		return fmt.Errorf("who listens on the plugin's socket: %w", cred)
	}
	if int(peer.Uid) != os.Getuid() {
		return fmt.Errorf("user %d listens on the plugin's socket", peer.Uid)
	}
	if got, err := unix.Getpgid(int(peer.Pid)); err != nil || got != pgid {
		return fmt.Errorf("process %d, which is not the plugin's, listens on its socket", peer.Pid)
	}
	return nil
}
