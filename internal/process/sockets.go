package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"

	"rrhost/internal/attach"
	"rrhost/internal/guard"
)

// sockets is the private folder that a life's sockets are in. Its lock tells
// other hosts that it is in use, also those that cannot see this process.
type sockets struct {
	dir  string
	lock *os.File
}

// newSockets makes the folder, with a path short enough for the sockets in it:
// go-plugin adds up to 40 bytes. Before, it removes what hosts that were killed
// have left.
//
// user is whom the plugin runs as, nil for the host's: the folder can be passed
// through by its group, and is open to nobody else.
func newSockets(user *guard.User) (*sockets, error) {
	const added = 42
	parents := []string{os.TempDir()}
	if parents[0] != "/tmp" {
		parents = append(parents, "/tmp")
	}
	var errs []error
	for _, parent := range parents {
		sweep(parent)
		dir, err := os.MkdirTemp(parent, fmt.Sprintf("rr%d-", os.Getpid())) // 0700
		if err == nil && len(dir)+added > attach.MaxPath {
			err = errors.Join(os.Remove(dir),
				fmt.Errorf("%s is too long for the path of a unix socket (at most %d bytes): set TMPDIR to a shorter one", parent, attach.MaxPath-added))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if user != nil {
			if err := errors.Join(os.Chown(dir, -1, int(user.GID)), os.Chmod(dir, 0o710)); err != nil {
				errs = append(errs, err, os.Remove(dir))
				continue
			}
		}
		s := &sockets{dir: filepath.Clean(dir)}
		// Where it cannot be locked, nobody else can lock it to remove it.
		if s.lock, err = openFolder(dir); err == nil {
			_ = lock(s.lock)
		}
		return s, nil
	}
	return nil, fmt.Errorf("make a folder for sockets: %w", errors.Join(errs...))
}

// handOver makes the folder that the plugin creates its sockets in the plugin's.
func handOver(dir string, user *guard.User) error {
	if user == nil {
		return nil
	}
	return os.Chown(dir, int(user.UID), int(user.GID))
}

func (s *sockets) remove() {
	_ = os.RemoveAll(s.dir)
	_ = s.lock.Close() // nil is an error too
}

// socketsName is exactly what newSockets names its folders.
var socketsName = regexp.MustCompile(`^rr([1-9][0-9]{0,9})-[0-9]+$`)

// sweep removes the folders in parent whose host is gone. It leaves alone what it
// is not sure of.
func sweep(parent string) {
	entries, _ := os.ReadDir(parent) // what could be read is enough
	for _, e := range entries {
		name := socketsName.FindStringSubmatch(e.Name())
		if name == nil || !e.IsDir() {
			continue
		}
		if pid, err := strconv.Atoi(name[1]); err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		f, err := openFolder(path)
		if err != nil {
			continue
		}
		if owned(f) && lock(f) == nil {
			_ = os.RemoveAll(path)
		}
		_ = f.Close()
	}
}

// openFolder opens a folder, and nothing that a link points to.
func openFolder(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
}

// lock fails if another process holds the lock. The kernel lets go of it when its
// holder dies.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// owned tells whether a folder is this user's.
func owned(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	about, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(about.Uid) == os.Getuid()
}
