// Package guard runs a program so that it gets no more than it needs and nothing
// of it outlives this process.
//
// On Linux each program has a guardian: this process's own executable, run
// again, which turns into the guardian before main begins (so nothing needs to be
// called for it). The guardian is the program's parent, and adopts whatever the
// program's children leave behind, also in sessions of their own. It ends all of
// them when the program exits, when it is told to, and when this process is gone,
// however that went: it holds the other end of a socket that the kernel closes.
//
// Elsewhere a program has its process group, which is ended with it.
package guard

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// A Program is what [Start] starts.
type Program struct {
	Name string // for lists of processes
	Path string
	Args []string // without the program itself
	Dir  string
	Env  []string // all of it; of two values of a variable the last one holds

	// Stdin, Stdout and Stderr become the program's. The caller closes them.
	Stdin, Stdout, Stderr *os.File

	// User is whom it runs as; nil means as this process, which else must be
	// root.
	User *User
	// Limits bound it and all that it starts, together.
	Limits Limits
}

// Limits of a program; zero means none.
type Limits struct {
	Memory    int64 // bytes
	MilliCPUs int   // thousandths of a processor
	OpenFiles int   // of each process
}

// A User is one of the system's.
type User struct {
	Name     string
	UID, GID uint32 // GID is its own group; a program gets no other
	Home     string
}

// LookupUser finds a user by name or number.
func LookupUser(name string) (*User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("there is no user %q on this machine", name)
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("user %q: %w", name, err)
	}
	return &User{Name: u.Username, UID: uint32(uid), GID: uint32(gid), Home: u.HomeDir}, nil
}

// causeOf names how a process ended.
func causeOf(ws syscall.WaitStatus) error {
	if ws.Signaled() {
		return fmt.Errorf("killed by signal %d (%s)", int(ws.Signal()), ws.Signal())
	}
	return fmt.Errorf("exited with code %d", ws.ExitStatus())
}
