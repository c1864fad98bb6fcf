// Package attach is how a host comes to use a plugin that somebody else started,
// such as its author under a debugger: the plugin listens on a unix socket in a
// folder that their common user alone can enter, and the host connects to it.
package attach

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Env is the environment variable that makes a plugin wait for a host rather than
// be started by one. It has the path of the socket to listen on.
const Env = "RRHOST_ATTACH"

// MaxPath is how long a socket's path may be: 108 bytes with the ending zero on
// Linux, 104 on macOS.
const MaxPath = 100

// Path is where a plugin and the host with this plugin store meet. It is the same
// at every start, so that it can stand in an IDE's settings. It makes the folder.
func Path(store, plugin string) (string, error) {
	abs, err := filepath.Abs(store)
	if err != nil {
		return "", fmt.Errorf("attach to plugin %s: %w", plugin, err)
	}
	parent := os.Getenv("XDG_RUNTIME_DIR")
	if info, err := os.Stat(parent); !filepath.IsAbs(parent) || err != nil || !info.IsDir() {
		parent = os.TempDir()
	}
	sum := sha256.Sum256([]byte(abs))
	path := filepath.Join(parent, fmt.Sprintf("rrhost-%d-%x", os.Getuid(), sum[:4]), plugin)
	if err := prepare(path); err != nil {
		return "", fmt.Errorf("attach to plugin %s: %w", plugin, err)
	}
	return path, nil
}

// prepare makes the folder that a socket is in, and makes sure that nobody else
// can enter it: that is what keeps others from either end.
func prepare(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s is no absolute path", path)
	}
	if len(path) > MaxPath {
		return fmt.Errorf("%s is too long for the path of a unix socket (at most %d bytes): set TMPDIR to a shorter one", path, MaxPath)
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	about, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(about.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s must be a folder that you own and nobody else can enter: remove it, or chmod 700 it", dir)
	}
	return nil
}

// tokenFile is where the plugin leaves its token for the host, beside the socket.
func tokenFile(path string) string { return path + ".token" }

// Listen is the plugin's end. The listener hands out connections of this user
// alone. Who dials gets the token. It is an error
// if another process listens there.
func Listen(path, token string) (net.Listener, error) {
	if err := prepare(path); err != nil {
		return nil, err
	}
	// A debugger kills what it runs, and the socket stays.
	switch conn, err := net.Dial("unix", path); {
	case err == nil:
		return nil, errors.Join(fmt.Errorf("another process listens on %s: end it first", path), conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	tmp := tokenFile(path) + ".tmp"
	if err := os.WriteFile(tmp, []byte(token), 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, tokenFile(path)); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return listener{l, path}, nil
}

type listener struct {
	net.Listener
	path string
}

// Close removes the socket and the token.
func (l listener) Close() error {
	_ = os.Remove(tokenFile(l.path)) // without the socket it opens nothing
	return l.Listener.Close()
}

// Accept waits for the next connection of this user.
func (l listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, err := peer(conn.(*net.UnixConn)); err == nil {
			return conn, nil
		}
		_ = conn.Close() // somebody else's
	}
}

// A Conn is a connection to a plugin that listens.
type Conn struct {
	net.Conn
	// PID is the number of the process that listens, 0 where the system does not
	// tell.
	PID int
	// Token is what it wants to see with every call. It is a secret.
	Token string
}

// Dial is the host's end. [Absent] tells whether an error only means that nobody
// listens yet.
func Dial(ctx context.Context, path string) (Conn, error) {
	if err := prepare(path); err != nil {
		return Conn{}, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return Conn{}, err
	}
	pid, err := peer(conn.(*net.UnixConn))
	if err != nil {
		return Conn{}, errors.Join(err, conn.Close())
	}
	token, err := os.ReadFile(tokenFile(path))
	if err != nil { // which does not mean that nobody listens
		return Conn{}, errors.Join(fmt.Errorf("the plugin that listens has left no token beside its socket: %v", err), conn.Close())
	}
	return Conn{conn, pid, string(token)}, nil
}

// Absent tells whether Dial failed because nobody listens.
func Absent(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}
