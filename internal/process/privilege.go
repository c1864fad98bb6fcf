package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/guard"
)

// base is what all plugins may know of the host's environment.
// Another user has a HOME of its own, and no use for the host's TMPDIR.
var (
	base      = []string{"PATH", "HOME", "TMPDIR", "LANG", "TZ"}
	otherBase = []string{"PATH", "LANG", "TZ"}
)

// environment is the allow-list's part of the host's environment, and what
// follows from the plugin's user and limits. A key for sealing is never in it,
// whatever the list says.
func environment(cfg Config, user *guard.User) []string {
	names := append(base[:len(base):len(base)], cfg.Env...)
	if user != nil {
		names = append(otherBase[:len(otherBase):len(otherBase)], cfg.Env...)
	}
	var env []string
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok && name != "ENCRYPTION_KEY" {
			env = append(env, name+"="+value)
		}
	}
	if user != nil {
		env = append(env, "HOME="+user.Home, "USER="+user.Name, "LOGNAME="+user.Name)
	}
	// A Go program that knows its bounds collects before it is killed, and does
	// not start threads that would only wait. Others don't care.
	if m := cfg.Limits.Memory; m > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(m/10*9, 10))
	}
	if m := cfg.Limits.MilliCPUs; m > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa((m+999)/1000))
	}
	return env
}

// userOf finds the user that a plugin is to run as. Nil is own, the host's.
func userOf(name string, own int) (*guard.User, error) {
	user, err := guard.LookupUser(name)
	switch {
	case err != nil:
		return nil, &RefusedError{"user: " + err.Error()}
	case int(user.UID) == own:
		return nil, nil
	case own != 0:
		return nil, &RefusedError{fmt.Sprintf("user = %q needs a host that runs as root, and this one runs as user %d", name, own)}
	}
	return user, nil
}

// admit opens the folder that holds a plugin's files to its user and to nobody
// else. Whoever else is root or the host can pass through it anyhow.
func admit(folder string, user *guard.User) error {
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("the plugin's folder: %w", err)
	}
	mode := fs.FileMode(0o700)
	if user != nil {
		mode = 0o710
		err = os.Chown(folder, -1, int(user.GID))
	}
	if info.Mode().Perm() != mode {
		err = errors.Join(err, os.Chmod(folder, mode))
	}
	if err != nil {
		return fmt.Errorf("the plugin's folder: %w", err)
	}
	return nil
}

// CheckUser reports whether a host, which is this process, cannot run plugins of
// the plugin store in folder as the user. The empty user is the host's.
func CheckUser(name, folder string) error {
	if name == "" {
		return nil
	}
	user, err := userOf(name, os.Geteuid())
	if err != nil || user == nil {
		return err
	}
	if dir := barrier(filepath.Join(folder, "builds"), user); dir != "" {
		return closedTo(user, dir)
	}
	return nil
}

func closedTo(user *guard.User, dir string) error {
	return &RefusedError{fmt.Sprintf("user %s may not pass through %s: set store in [plugins] to a folder that it can reach", user.Name, dir)}
}

// explain says of a program that cannot be run why, where the system says less.
func (c *command) explain(err error) error {
	if reason := unrunnable(c.cfg.Path, err); reason != "" {
		return &RefusedError{c.cfg.Origin + ": " + reason}
	}
	if c.user == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	for _, path := range []string{c.cfg.Dir, c.cfg.Path} {
		if dir := barrier(path, c.user); dir != "" {
			return fmt.Errorf("%w: %w", closedTo(c.user, dir), err)
		}
	}
	return err
}

// barrier is the first folder above path that user may not pass through; empty if
// there is none.
func barrier(path string, user *guard.User) string {
	at := ""
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil {
			bit := fs.FileMode(0o001)
			if about, ok := info.Sys().(*syscall.Stat_t); ok && about.Uid == user.UID {
				bit = 0o100
			} else if ok && about.Gid == user.GID {
				bit = 0o010
			}
			if info.Mode()&bit == 0 {
				at = dir
			}
		}
		if dir == filepath.Dir(dir) {
			return at
		}
	}
}

// warned has what was said of limits that do not hold: it is the same at each
// start.
var warned sync.Map

// warnUnbound says once in the life of this process which limits do not hold.
func warnUnbound(logger hclog.Logger, plugin string, unbound []string) {
	for _, what := range unbound {
		if _, before := warned.LoadOrStore(plugin+": "+what, true); !before {
			logger.Warn("a limit does not hold as it should", "limit", what)
		}
	}
}
