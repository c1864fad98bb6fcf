//go:build !linux

package attach

import "net"

// peer trusts the folder's permissions.
func peer(*net.UnixConn) (pid int, err error) { return 0, nil }
