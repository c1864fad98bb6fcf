package process

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rrhost/internal/guard"
)

// The host talks to nobody on a plugin's socket but a process of the plugin's own
// group and user.
func TestPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own, me := syscall.Getpgrp(), uint32(os.Geteuid())
	for _, tt := range []struct {
		name  string
		group int
		user  *guard.User
		want  string
	}{
		{"the plugin", own, nil, ""},
		{"the plugin, with a user of its own", own, &guard.User{UID: me}, ""},
		{"another process", own + 1, nil, "which is not the plugin's, listens on its socket"},
		{"another user", own, &guard.User{UID: me + 1}, "listens on the plugin's socket, and it runs as user"},
	} {
		c := &command{addr: path, child: &guard.Child{PID: tt.group}, user: tt.user}
		conn, err := c.dial(t.Context())
		if err == nil {
			conn.Close()
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
