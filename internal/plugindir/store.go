package plugindir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Store is the host's own folder of plugins: what runs is a copy in there, named
// by its digest, so that what was checked is what runs, a plugin can be replaced
// while it runs, and the one before is still there. Several hosts may share one.
type Store struct {
	dir string
}

// OpenStore opens the store in dir, and makes it where it is missing, if it is as
// [CheckStore] wants it. Others may pass through it, since a plugin may run as
// another user, and not look into it.
func OpenStore(dir string, strict bool) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("plugin store %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return nil, fmt.Errorf("plugin store: %w", err)
	}
	for _, d := range []string{abs, filepath.Join(abs, "builds")} {
		if err := mkdir(d, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("plugin store: %w", err)
		}
	}
	if err := CheckStore(abs, strict); err != nil {
		return nil, err
	}
	return &Store{abs}, nil
}

// CheckStore reports who else than this process's user and root could have put
// something into the store in dir: what is in there is run, whoever wrote it. If
// it is to be strict, the folders above count too, as with [CheckTrust]: who can
// rename one can put another store in its place. What is missing is well.
func CheckStore(dir string, strict bool) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("plugin store %s: %w", dir, err)
	}
	for _, d := range []string{abs, filepath.Join(abs, "builds")} {
		info, err := os.Stat(d)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("plugin store: %w", err)
		}
		if user := otherOwner(info); user != "" { // perhaps rightly: who types a command need not run the host
			return fmt.Errorf("plugin store: %s belongs to user %s (hint: run this as the user that runs the host; if it should not be theirs, remove it)", d, user)
		}
		if err := writable(d, info); err != nil {
			return fmt.Errorf("plugin store: %w (hint: remove what others may have put there, too)", err)
		}
	}
	if !strict {
		return nil
	}
	from := abs
	for _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist); _, err = os.Lstat(from) {
		from = filepath.Dir(from)
	}
	problems, err := above(from)
	if err == nil {
		err = errors.Join(problems...)
	}
	if err != nil {
		return fmt.Errorf("plugin store %s: others could put their own in its place: %w (hint: or set store in [plugins] to a folder where they cannot)", abs, err)
	}
	return nil
}

// Dir is the store's folder, absolute.
func (s *Store) Dir() string { return s.dir }

// A Build is one content of a plugin, in the store. Its files don't change.
type Build struct {
	Name    string
	Version string // the manifest's, else the one Go built in, else 12 digits of Digest
	Digest  string // SHA-256 over all files, in hex
	Program string // absolute
	Args    []string
	Dir     string // to run it in
	Folder  string // holds Dir and nothing else, and is open to the host alone
	// Outside is a program that is not in the store, such as an interpreter: it
	// is named, and not verified. Empty if there is none.
	Outside  string
	Manifest Manifest
}

// ErrBusy is wrapped by the error for a plugin that is being written.
var ErrBusy = errors.New("it is being written")

// Stage copies what f found into the store, unless it is there, and returns it.
func (s *Store) Stage(f Found) (Build, error) {
	if f.Err != nil {
		return Build{}, f.Err
	}
	builds := filepath.Join(s.dir, "builds")
	tmp, err := os.MkdirTemp(builds, ".tmp-")
	if err != nil {
		return Build{}, fmt.Errorf("copy plugin %s: %w", f.Name, err)
	}
	defer os.RemoveAll(tmp)
	before := f.Fingerprint()
	c := copier{f.Root, sha256.New(), f.Manifest.has}
	to := filepath.Join(tmp, "plugin")
	if f.Folder {
		err = c.folder(f.Root, to, "")
	} else if err = mkdir(to, 0o755); err == nil {
		c.note("", "/", nil) // as a folder with one file
		err = c.file(f.Root, filepath.Join(to, f.Name), f.Name, 0o555)
	}
	if err != nil {
		return Build{}, fmt.Errorf("copy plugin %s: %w", f.Name, err)
	}
	if f.Fingerprint() != before || before == "" {
		return Build{}, fmt.Errorf("plugin %s: %w", f.Name, ErrBusy)
	}
	digest := hex.EncodeToString(c.sum.Sum(nil))
	final := filepath.Join(builds, digest)
	if err := os.Rename(tmp, final); err != nil {
		// It is there already. What is in the store was checked when it came;
		// that nobody has touched it since is checked now.
		if have, e := digestOf(filepath.Join(final, "plugin"), Manifest{}); e != nil || have != digest {
			if e := os.RemoveAll(final); e != nil {
				return Build{}, fmt.Errorf("replace the damaged copy of plugin %s: %w", f.Name, e)
			}
			if err := os.Rename(tmp, final); err != nil {
				return Build{}, fmt.Errorf("copy plugin %s: %w", f.Name, err)
			}
		}
		now := time.Now() // it is wanted again: see Sweep
		if err := os.Chtimes(final, now, now); err != nil {
			return Build{}, fmt.Errorf("copy plugin %s: %w", f.Name, err)
		}
	}
	return s.build(f.Name, digest)
}

// Get returns a plugin's build that was staged before. Its bytes are checked.
func (s *Store) Get(name, digest string) (Build, error) {
	dir := filepath.Join(s.dir, "builds", digest, "plugin")
	if have, err := digestOf(dir, Manifest{}); err != nil || have != digest {
		return Build{}, fmt.Errorf("the store has no usable copy of plugin %s with digest %.12s", name, digest)
	}
	return s.build(name, digest)
}

// build describes what lies in the store.
func (s *Store) build(name, digest string) (Build, error) {
	dir := filepath.Join(s.dir, "builds", digest, "plugin")
	m, err := readManifest(dir, name)
	if err != nil {
		return Build{}, err
	}
	b := Build{Name: name, Digest: digest, Dir: dir, Folder: filepath.Dir(dir), Manifest: m}
	inside := m.inside(dir, name)
	program := m.Command[0]
	b.Args = b.Manifest.Command[1:]
	if inside {
		b.Program = filepath.Join(dir, program)
		if err := checkProgram(b); err != nil {
			return Build{}, err
		}
		b.Outside = outside(b.Program, dir)
	} else {
		path, err := exec.LookPath(program)
		if err != nil {
			return Build{}, fmt.Errorf("plugin %s: %w", name, err)
		}
		if path, err = filepath.Abs(path); err != nil {
			return Build{}, fmt.Errorf("plugin %s: %w", name, err)
		}
		b.Program, b.Outside = path, path
	}
	b.Version = versionOf(m, filepath.Join(dir, program), digest)
	return b, nil
}

func checkProgram(b Build) error {
	if b.Manifest.SHA256 == "" {
		return nil
	}
	f, err := os.Open(b.Program)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", b.Name, err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("plugin %s: %w", b.Name, err)
	}
	if have := hex.EncodeToString(sum.Sum(nil)); !strings.EqualFold(have, b.Manifest.SHA256) {
		return fmt.Errorf("plugin %s: %s has the SHA-256 %s, and %s says %s", b.Name, b.Manifest.Command[0], have, ManifestName, strings.ToLower(b.Manifest.SHA256))
	}
	return nil
}

// outside is where a program in dir really lies or what it is run with, if that
// is elsewhere: the end of a link, the interpreter of a script.
func outside(program, dir string) string {
	if real, err := filepath.EvalSymlinks(program); err == nil && !strings.HasPrefix(real, dir+"/") {
		return real
	}
	f, err := os.Open(program)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head) // a short one is whole
	if line, isScript := strings.CutPrefix(string(head[:n]), "#!"); isScript {
		line, _, _ = strings.Cut(line, "\n")
		return strings.TrimSpace(line)
	}
	return ""
}

// mkdir makes a folder with exactly these permissions, whatever the umask.
func mkdir(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// stored are the permissions of a file in the store, where they tell only whether
// it can be run.
func stored(mode fs.FileMode) fs.FileMode {
	if mode.Perm()&0o111 != 0 {
		return 0o555
	}
	return 0o444
}

// A copier copies files and sums up what it copies.
type copier struct {
	root string // of the plugin
	sum  hash.Hash
	has  func(name string) bool // tells what of the plugin's folder is copied
}

// skips tells whether an entry of the folder called parent is none of the plugin's.
func (c copier) skips(parent, name string) bool { return parent == "" && !c.has(name) }

// note adds an entry to the sum: what it is called, what it is, what is in it.
func (c copier) note(name, kind string, content []byte) {
	fmt.Fprintf(c.sum, "%d:%s%s%x\n", len(name), name, kind, content)
}

// folder copies from to to. Names are relative to the plugin's root.
func (c copier) folder(from, to, name string) error {
	if err := mkdir(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from) // sorted
	if err != nil {
		return err
	}
	c.note(name, "/", nil)
	for _, e := range entries {
		if c.skips(name, e.Name()) {
			continue
		}
		src, dst, name := filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), filepath.Join(name, e.Name())
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			err = c.folder(src, dst, name)
		case mode.IsRegular():
			err = c.file(src, dst, name, stored(mode))
		case mode&fs.ModeSymlink != 0:
			var target string
			if target, err = c.link(src, name); err == nil {
				err = os.Symlink(target, dst)
			}
		default:
			err = fmt.Errorf("%s is neither file nor folder", src)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// link notes where a link leads, which is within the plugin: what is outside would
// be run without having been looked at.
func (c copier) link(src, name string) (target string, err error) {
	if target, err = os.Readlink(src); err != nil {
		return "", err
	}
	root, err := filepath.EvalSymlinks(c.root)
	if err != nil {
		return "", err
	}
	to, err := filepath.EvalSymlinks(src)
	if err != nil {
		return "", fmt.Errorf("a link that leads nowhere: %w", err)
	}
	if rel, err := filepath.Rel(root, to); err != nil || filepath.IsAbs(target) || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is a link out of the plugin's folder: put what it leads to in its place", src)
	}
	c.note(name, "@", []byte(target))
	return target, nil
}

func (c copier) file(from, to, name string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if beingWritten(src) {
		return ErrBusy
	}
	sum := sha256.New()
	if to == "" {
		if _, err := io.Copy(sum, src); err != nil {
			return err
		}
	} else if err := write(to, mode, src, sum); err != nil {
		return err
	}
	kind := "-"
	if mode&0o111 != 0 {
		kind = "*"
	}
	c.note(name, kind, sum.Sum(nil))
	return nil
}

// write copies src to a new file and to sum. Another thread that forks while the
// file is open for writing would make its execution fail (golang.org/issue/22315):
// no fork happens meanwhile.
func write(to string, mode fs.FileMode, src io.Reader, sum io.Writer) (err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(dst, sum), src)
	return errors.Join(err, dst.Chmod(mode), dst.Close())
}

// Identify returns the digest and the version of what f found, as staging would.
func Identify(f Found) (digest, version string, err error) {
	if f.Err != nil {
		return "", "", f.Err
	}
	if f.Folder {
		digest, err = digestOf(f.Root, f.Manifest)
	} else {
		c := copier{f.Root, sha256.New(), f.Manifest.has}
		c.note("", "/", nil)
		err = c.file(f.Root, "", f.Name, 0o555)
		digest = hex.EncodeToString(c.sum.Sum(nil))
	}
	if err != nil {
		return "", "", fmt.Errorf("read plugin %s: %w", f.Name, err)
	}
	program := f.Root
	if f.Folder {
		program = filepath.Join(f.Root, f.Manifest.Command[0])
	}
	return digest, versionOf(f.Manifest, program, digest), nil
}

// versionOf is the manifest's, else the one that Go built in, else of the digest.
func versionOf(m Manifest, program, digest string) string {
	if m.Version != "" {
		return m.Version
	}
	if v := goVersion(program); v != "" {
		return v
	}
	return digest[:12]
}

// digestOf sums up a folder, of which all belongs to the plugin that m says: in the
// store, that is all.
func digestOf(dir string, m Manifest) (string, error) {
	sum := sha256.New()
	if err := (copier{dir, sum, m.has}).check(dir, ""); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// check is folder without a copy.
func (c copier) check(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	c.note(name, "/", nil)
	for _, e := range entries {
		if c.skips(name, e.Name()) {
			continue
		}
		src, name := filepath.Join(dir, e.Name()), filepath.Join(name, e.Name())
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			err = c.check(src, name)
		case mode.IsRegular():
			err = c.file(src, "", name, mode.Perm())
		default:
			_, err = c.link(src, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
