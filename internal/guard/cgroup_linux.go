package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// A cgroup is one program's own, of version 2. A nil one does nothing.
type cgroup struct {
	folder *os.File
	memory int64
}

// cgroupName begins the names of those that hosts and guardians make.
const cgroupName = "rrhost-"

// delegated is the cgroup in which those of programs can be made: the one that
// this process was started in, if it may write there.
var delegated = sync.OnceValues(func() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	of, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	dir, err := cgroupFolder(string(mounts), string(of))
	if err != nil {
		return "", err
	}
	if err := divide(dir, os.Getpid(), "memory", "cpu"); err != nil {
		return "", err
	}
	return dir, nil
})

// cgroupFolder finds the folder of a process's cgroup from its mountinfo and
// cgroup files.
func cgroupFolder(mountinfo, of string) (string, error) {
	path := ""
	for line := range strings.Lines(of) {
		if rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			path = rest
		}
	}
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if path == "" || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		root, mounted := fields[3], fields[4]
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
			return filepath.Join(mounted, rel), nil
		}
	}
	return "", errors.New("no cgroup of version 2 is to be seen here")
}

// divide makes the cgroup at dir one that can have others below with bounds by
// these controllers. For that no process may be in it: this one, pid, moves to one
// below.
func divide(dir string, pid int, controllers ...string) error {
	var missing, enable []string
	has, err := words(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	on, err := words(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	for _, c := range controllers {
		if !slices.Contains(has, c) {
			missing = append(missing, c)
		}
		if !slices.Contains(on, c) {
			enable = append(enable, "+"+c)
		}
	}
	if missing != nil {
		return fmt.Errorf("the cgroup %s has no controller for %s", dir, strings.Join(missing, " and "))
	}
	if enable == nil {
		return nil
	}
	// What hosts and guardians that were killed have left is empty, and the rest
	// cannot be removed.
	left, _ := filepath.Glob(filepath.Join(dir, cgroupName+"*"))
	for _, path := range left {
		_ = os.Remove(path)
	}
	leaf := filepath.Join(dir, fmt.Sprintf("%s%d", cgroupName, pid))
	if err := os.Mkdir(leaf, 0o755); err != nil {
		return err
	}
	self := strconv.Itoa(pid)
	if err := set(leaf, "cgroup.procs", self); err != nil {
		return errors.Join(err, os.Remove(leaf))
	}
	if err := set(dir, "cgroup.subtree_control", strings.Join(enable, " ")); err != nil {
		if errors.Is(err, syscall.EBUSY) {
			err = fmt.Errorf("other processes are in the host's cgroup %s (hint: give the host one of its own; in a systemd unit, Delegate=yes)", dir)
		}
		return errors.Join(err, set(dir, "cgroup.procs", self), os.Remove(leaf))
	}
	return nil
}

// newCgroup makes one for this guardian's program in parent.
func newCgroup(parent string, l Limits) (*cgroup, error) {
	dir := filepath.Join(parent, fmt.Sprintf("%splugin-%d", cgroupName, os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	var errs []error
	if l.Memory > 0 {
		errs = append(errs, set(dir, "memory.max", strconv.FormatInt(l.Memory, 10)))
		// Where it may swap, a bound of memory bounds nothing. Not every kernel
		// has these.
		for file, value := range map[string]string{"memory.swap.max": "0", "memory.oom.group": "1"} {
			if err := set(dir, file, value); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	if l.MilliCPUs > 0 {
		const period, least = 100_000, 1000 // µs, the kernel's own
		errs = append(errs, set(dir, "cpu.max", fmt.Sprintf("%d %d", max(l.MilliCPUs*period/1000, least), period)))
	}
	folder, err := os.Open(dir)
	if err = errors.Join(append(errs, err)...); err != nil {
		if folder != nil {
			_ = folder.Close()
		}
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &cgroup{folder, l.Memory}, nil
}

// kill kills all in it at once. Older kernels cannot; groups of processes are
// killed besides.
func (c *cgroup) kill() {
	if c != nil {
		_ = set(c.folder.Name(), "cgroup.kill", "1")
	}
}

// outOfMemory tells whether the kernel has killed in it because of its bound.
func (c *cgroup) outOfMemory() bool {
	return c != nil && counter(filepath.Join(c.folder.Name(), "memory.events"), "oom_kill") > 0
}

// remove removes it. Nobody is left in it; if all the same it cannot be removed,
// the next host does it.
func (c *cgroup) remove() {
	if c != nil {
		_ = c.folder.Close()
		_ = os.Remove(c.folder.Name())
	}
}

// oomKills is how many processes the kernel has killed for want of memory since
// the machine was started.
func oomKills() uint64 { return counter("/proc/vmstat", "oom_kill") }

// counter reads one number of a file of names and numbers; 0 if there is none.
func counter(path, name string) uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64) // 0 if it is none
			return n
		}
	}
	return 0
}

// set writes to one of a cgroup's files. It makes none.
func set(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func words(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	return strings.Fields(string(text)), err
}

// unboundBy says which of the limits that need a cgroup do not hold, and why.
func unboundBy(l Limits, why error) (list []string) {
	if l.Memory > 0 {
		list = append(list, fmt.Sprintf("memory is looked at every %s rather than bounded by the kernel: %v", memoryLook, why))
	}
	if l.MilliCPUs > 0 {
		list = append(list, fmt.Sprintf("millicpus is only a hint (GOMAXPROCS) and no bound: %v", why))
	}
	return list
}
