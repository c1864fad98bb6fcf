package plugindir

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"rrhost/internal/hint"
)

// CheckTrust reports who else than this process's user and root could have
// written the plugin: each file and folder of it, and each folder above it and
// above the directory that it was found in. The errors, joined, name the command that mends each.
//
// A folder that others may write counts as safe if it is sticky, as /tmp is: what
// is in it belongs to its owner alone. A group that has its owner for its only
// member is no other.
func CheckTrust(f Found) error {
	real, err := filepath.EvalSymlinks(f.Root)
	if err != nil {
		return err
	}
	problems, err := above(f.Dir, filepath.Dir(real))
	if err != nil {
		return err
	}
	err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode()
		if err := owned(path, info); err != nil {
			problems = append(problems, err)
			return nil
		}
		if mode&fs.ModeSymlink != 0 {
			return nil
		}
		if err := writable(path, info); err != nil {
			problems = append(problems, err)
		}
		if !mode.IsDir() && !mode.IsRegular() {
			problems = append(problems, fmt.Errorf("%s is neither file nor folder: remove it", path))
		}
		if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && mode.IsRegular() {
			problems = append(problems, fmt.Errorf("%s changes its user when it is run: chmod ug-s %s", path, hint.Quote(path)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(problems...)
}

// above reports by whom else folders could be replaced: each of them, each above
// it, and those of the links on the way. They are absolute.
func above(folders ...string) (problems []error, err error) {
	seen := make(map[string]bool)
	var visit func(path string) error
	visit = func(path string) error {
		if seen[path] {
			return nil
		}
		seen[path] = true
		parent := filepath.Dir(path)
		if err := visit(parent); err != nil { // the root's is itself
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if err := owned(path, info); err != nil {
			problems = append(problems, err)
		} else if info.Mode()&(fs.ModeSymlink|fs.ModeSticky) == 0 {
			if err := writable(path, info); err != nil {
				problems = append(problems, err)
			}
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		at := "/"
		if !filepath.IsAbs(to) {
			if at, err = filepath.EvalSymlinks(parent); err != nil {
				return err
			}
		}
		for _, name := range strings.Split(to, "/") {
			if name != ".." {
				at = filepath.Join(at, name)
				continue
			}
			// What it leads out of may be a link, too.
			if err := visit(at); err != nil {
				return err
			}
			if at, err = filepath.EvalSymlinks(at); err != nil {
				return err
			}
			at = filepath.Dir(at)
		}
		return visit(at)
	}
	for _, folder := range folders {
		if err := visit(folder); err != nil {
			return nil, err
		}
	}
	return problems, nil
}

// owned tells who else than this process's user and root owns path.
func owned(path string, info fs.FileInfo) error {
	user := otherOwner(info)
	if user == "" {
		return nil
	}
	return fmt.Errorf("%s belongs to user %s: chown %d %s", path, user, os.Geteuid(), hint.Quote(path))
}

// otherOwner names the owner of what info is of, if that is neither this process's
// user nor root.
func otherOwner(info fs.FileInfo) string {
	about, ok := info.Sys().(*syscall.Stat_t)
	if !ok || about.Uid == 0 || int(about.Uid) == os.Geteuid() {
		return ""
	}
	return userName(about.Uid)
}

// writable is [owned], and tells who else may write path by its permissions.
func writable(path string, info fs.FileInfo) error {
	about, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := owned(path, info); err != nil {
		return err
	}
	var who []string
	if info.Mode().Perm()&0o020 != 0 && !groupOfOne("/etc/group", "/etc/passwd", about.Gid, about.Uid) {
		who = append(who, "g")
	}
	if info.Mode().Perm()&0o002 != 0 {
		who = append(who, "o")
	}
	if len(who) == 0 {
		return nil
	}
	return fmt.Errorf("%s can be written by others: chmod %s-w %s", path, strings.Join(who, ""), hint.Quote(path))
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// groupOfOne tells whether a group has owner for its only member, as the group
// of a user's own that many systems make. It believes the files alone: whoever
// keeps groups elsewhere is told to take the bit away.
func groupOfOne(groups, users string, gid, owner uint32) bool {
	name := ""
	members := make(map[string]bool)
	for fields := range lines(groups) {
		if len(fields) == 4 && fields[2] == strconv.FormatUint(uint64(gid), 10) {
			name = fields[0]
			for m := range strings.SplitSeq(fields[3], ",") {
				if m != "" {
					members[m] = true
				}
			}
		}
	}
	own := ""
	for fields := range lines(users) {
		if len(fields) < 4 {
			continue
		}
		if fields[2] == strconv.FormatUint(uint64(owner), 10) {
			own = fields[0]
		}
		if fields[3] == strconv.FormatUint(uint64(gid), 10) {
			members[fields[0]] = true
		}
	}
	delete(members, own)
	return name != "" && own != "" && len(members) == 0
}

// lines yields the fields of each line of a file such as /etc/passwd.
func lines(path string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		f, err := os.Open(path)
		if err != nil {
			return // nobody is known, so nobody is trusted
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if !yield(strings.Split(s.Text(), ":")) {
				return
			}
		}
	}
}
