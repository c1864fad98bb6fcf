//go:build !linux

package process

import "net"

// checkPeer trusts the folder's permissions.
func (*command) checkPeer(*net.UnixConn) error { return nil }
