package plugindir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"rrhost/internal/hint"
)

// ManifestName is the manifest's file in a plugin's folder.
const ManifestName = "plugin.toml"

// A Manifest is what plugin.toml says: how to run a plugin that is more than one
// executable. All of it is optional.
type Manifest struct {
	// Name, where given, must be the folder's.
	Name string `toml:"name"`
	// Version that logs, metrics and replies name. Default: what Go built into
	// the program, else the first 12 digits of the digest.
	Version string `toml:"version"`
	// Command is the program and its arguments. A program with a slash, or that
	// the folder holds, is taken from the folder; any other is looked up in PATH.
	// Default: the executable that is named like the folder.
	Command []string `toml:"command"`
	// Files are the names of what in the folder belongs to the plugin, files and
	// folders, beside plugin.toml. The rest, such as its sources, is not run, and
	// is neither copied, nor in the digest, nor watched. Default: all is.
	Files []string `toml:"files"`
	// Build is the command, in the folder, that builds the plugin; `rrhost dev` runs
	// it whenever a source changes, and nobody else does. Default: none, but go
	// build where the folder has a Go program.
	Build []string `toml:"build"`
	// SHA256 of the program, where it lies in the folder: 64 hex digits. Another
	// one is not run.
	SHA256 string `toml:"sha256"`
	// Env lists variables of the host's environment that the plugin gets beside
	// those that every plugin does. The host's configuration must list them too.
	Env []string `toml:"env"`
	// Instances is how many processes share the requests. Default 1.
	Instances int `toml:"instances"`
	// TLS is false for a plugin whose TLS library lacks the curve P-521.
	TLS *bool `toml:"tls"`
}

var sha256Text = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// readManifest reads the manifest of a folder, fills in the command, and makes
// sure that it can be run.
func readManifest(folder, name string) (Manifest, error) {
	var m Manifest
	path := filepath.Join(folder, ManifestName)
	meta, err := toml.DecodeFile(path, &m)
	var syntax toml.ParseError
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, &syntax):
		return m, fmt.Errorf("%s:%d: %s", path, syntax.Position.Line, syntax.Message)
	case err != nil:
		return m, badType(path, err)
	case len(meta.Undecoded()) > 0:
		return m, fmt.Errorf("%s: %q is not a key of a manifest; known are name, version, command, files, build, sha256, env, instances and tls", path, meta.Undecoded()[0])
	case m.Name != "" && m.Name != name:
		return m, fmt.Errorf("%s: it names the plugin %q, and the folder's name is %q: they must be the same", path, m.Name, name)
	case m.Instances < 0 || m.Instances > 1024:
		return m, fmt.Errorf("%s: instances is %d; write a number from 1 to 1024", path, m.Instances)
	case m.SHA256 != "" && !sha256Text.MatchString(m.SHA256):
		return m, fmt.Errorf("%s: sha256 is not 64 hex digits", path)
	case meta.IsDefined("build") && (len(m.Build) == 0 || m.Build[0] == ""):
		return m, fmt.Errorf("%s: build is empty; write the program and its arguments, as in build = [\"npm\", \"run\", \"build\"]", path)
	case meta.IsDefined("command") && (len(m.Command) == 0 || m.Command[0] == ""):
		return m, fmt.Errorf("%s: command is empty; write the program and its arguments, as in command = [\"node\", \"main.js\"]", path)
	}
	if len(m.Command) == 0 {
		m.Command = []string{name}
	}
	return m, m.runnable(folder, name)
}

// mistyped is how the TOML library tells of a value of another type: not as its
// own type of error, but with line and key.
var mistyped = regexp.MustCompile(`^toml: line (\d+) \(last key "(\w+)"\): incompatible types`)

// badType says what a key of the manifest wants, where err is that it has
// something else.
func badType(path string, err error) error {
	found := mistyped.FindStringSubmatch(err.Error())
	if found == nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	line, key := found[1], found[2]
	want := "text in quotes"
	switch key {
	case "instances":
		want = "a whole number without quotes, from 1 to 1024"
	case "tls":
		want = "true or false, without quotes"
	case "command", "files", "build", "env":
		want = `a list of texts, as in ["main.py", "lib"]`
	}
	return fmt.Errorf("%s:%s: %s wants %s", path, line, key, want)
}

// runnable makes sure that the command's program is there.
func (m Manifest) runnable(folder, name string) error {
	program := m.Command[0]
	inside := m.inside(folder, name)
	for _, file := range m.Files {
		if file == "" || file != filepath.Base(file) || file == ".." || file == "." {
			return fmt.Errorf("%s: %q in files is no name of a file or folder beside it", filepath.Join(folder, ManifestName), file)
		}
		_, err := os.Lstat(filepath.Join(folder, file))
		if os.IsNotExist(err) && !(inside && file == program) {
			return fmt.Errorf("%s: there is no %q, which it names in files", filepath.Join(folder, ManifestName), file)
		}
	}
	if first, _, _ := strings.Cut(filepath.ToSlash(filepath.Clean(program)), "/"); inside && !m.has(first) {
		return fmt.Errorf("%s: files must name the program, %s", filepath.Join(folder, ManifestName), program)
	}
	if !inside {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("the folder %s has nothing to run: %s", folder, nothingToRun(folder, name, program))
		}
		return nil
	}
	path := filepath.Join(folder, program)
	if rel, err := filepath.Rel(folder, path); err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return fmt.Errorf("%s: the program %s is outside of the folder", filepath.Join(folder, ManifestName), program)
	}
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err) || err == nil && info.IsDir():
		return fmt.Errorf("the folder %s has nothing to run: %s", folder, nothingToRun(folder, name, program))
	case err != nil:
		return err
	case info.Mode()&0o111 == 0:
		return notExecutable(path, folder)
	}
	return nil
}

// has tells whether what is called so in the folder belongs to the plugin.
func (m Manifest) has(name string) bool {
	return len(m.Files) == 0 || name == ManifestName || slices.Contains(m.Files, name)
}

// inside tells whether the program is the folder's own.
func (m Manifest) inside(folder, name string) bool {
	if filepath.IsAbs(m.Command[0]) { // as of an interpreter that is not in PATH
		return false
	}
	if strings.Contains(m.Command[0], "/") || m.Command[0] == name {
		return true
	}
	_, err := os.Lstat(filepath.Join(folder, m.Command[0]))
	return err == nil
}

// nothingToRun says what to do: the command that builds, where the source is Go
// and lies in the folder.
func nothingToRun(folder, name, program string) string {
	target := filepath.Join(folder, program)
	if filepath.IsAbs(program) {
		return program + " is no executable file"
	}
	if program != name && !strings.Contains(program, "/") {
		return fmt.Sprintf("%s is neither in the folder nor in PATH", program)
	}
	what := "build the plugin into it, as " + target
	if sources, _ := filepath.Glob(filepath.Join(folder, "*.go")); len(sources) > 0 {
		what += fmt.Sprintf(" (go build -C %s -o %s .)", hint.Quote(folder), hint.Quote(target))
	}
	return what
}
