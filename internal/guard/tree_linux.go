package guard

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// A process is one line of what /proc says.
type process struct {
	pid, parent, group int
	zombie             bool
	started            uint64 // in clock ticks since the machine was
}

// tree is some processes.
type tree []process

// processes are all that can be seen.
func processes() (all tree) {
	folder, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(-1) // what could be read is enough
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // gone meanwhile
		}
		if p, ok := parseStat(pid, stat); ok {
			all = append(all, p)
		}
	}
	return all
}

// parseStat reads /proc/PID/stat. The name in it may contain anything.
func parseStat(pid int, stat []byte) (p process, ok bool) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return p, false
	}
	const state, parent, group, started = 0, 1, 2, 19
	fields := bytes.Fields(stat[i+1:])
	if len(fields) <= started {
		return p, false
	}
	p = process{pid: pid, zombie: fields[state][0] == 'Z'}
	var err1, err2, err3 error
	p.parent, err1 = strconv.Atoi(string(fields[parent]))
	p.group, err2 = strconv.Atoi(string(fields[group]))
	p.started, err3 = strconv.ParseUint(string(fields[started]), 10, 64)
	return p, err1 == nil && err2 == nil && err3 == nil
}

// descendants are this process's children, theirs, and so on.
func descendants() (found tree) {
	children := make(map[int]tree)
	for _, p := range processes() {
		children[p.parent] = append(children[p.parent], p)
	}
	found = children[os.Getpid()]
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found
}

// groups are the process groups that t's processes are in. A guardian's own isn't
// one of them: what it starts begins with a session of its own.
func (t tree) groups() (ids []int) {
	for _, p := range t {
		if p.group > 1 && !p.zombie && !slices.Contains(ids, p.group) {
			ids = append(ids, p.group)
		}
	}
	return ids
}

// memory is what t's processes hold in memory and share with no file, in bytes.
// Pages that a fork shares count for each.
func (t tree) memory() (sum int64) {
	for _, p := range t {
		var size, resident, shared int64
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
		if err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err == nil {
			sum += max(0, resident-shared)
		}
	}
	return sum * int64(os.Getpagesize())
}
