package testservices

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startLimit bounds the wait for a service. The first start on a machine
// fetches some 100 MB of jars, and maybe Java.
const startLimit = 8 * time.Minute

// A service is one run of kafka.sh or cassandra.sh, which lives until hold is
// closed.
type service struct {
	script   string
	dir      string
	settings map[string]string
	cmd      *exec.Cmd
	hold     *os.File // kept referenced: a finalizer would close it, and so end the service
}

// start runs a script's service in a fresh folder and waits until it serves.
func start(name string, options ...string) (*service, error) {
	script, err := findScript(name)
	if err != nil {
		return nil, err
	}
	// Not in a test's own temporary folder: that would be gone before a shared
	// service is.
	dir, err := os.MkdirTemp("", "rrhost-"+name+"-")
	if err != nil {
		return nil, err
	}
	s := &service{script: script, dir: dir}
	if err := s.run(options); err != nil {
		s.close()
		os.RemoveAll(dir) // where the script did not get so far
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return s, nil
}

func (s *service) run(options []string) error {
	stdin, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	s.hold = hold
	out, stdout, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	defer stdout.Close()
	// Not the test's own stderr: go test waits until everybody has closed it.
	errs, err := os.CreateTemp("", "rrhost-service-")
	if err != nil {
		return err
	}
	defer errs.Close()
	os.Remove(errs.Name())

	// With files alone, exec starts no goroutine.
	s.cmd = exec.Command(s.script, append([]string{"run", s.dir}, options...)...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = stdin, stdout, errs
	// A Ctrl-C ends the tests, and so the services by the pipe.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	stdout.Close()

	if err := out.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		return err
	}
	s.settings = map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			s.settings[key] = value
		}
		if s.settings["READY"] != "" {
			return nil
		}
	}
	said := make([]byte, 16<<10)
	n, err := errs.ReadAt(said, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("not ready, and %s says:\n%s", filepath.Base(s.script), said[:n])
}

// do runs another command of the script on this service's folder.
func (s *service) do(verb string, arguments ...string) error {
	said, err := exec.Command(s.script, append([]string{verb, s.dir}, arguments...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s %v: %w\n%s", filepath.Base(s.script), verb, arguments, err, said)
	}
	return nil
}

// close ends the service and waits until it and its folder are gone.
func (s *service) close() {
	if s.hold != nil {
		s.hold.Close()
	}
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Wait() // its end is all that is asked for
	}
}

// findScript looks for scripts/services above the working directory, which is
// the package's under go test.
func findScript(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		script := filepath.Join(dir, "scripts", "services", name+".sh")
		if _, err := os.Stat(script); err == nil {
			return script, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("scripts/services/%s.sh is in no folder above the working directory", name)
		}
		dir = filepath.Dir(dir)
	}
}
