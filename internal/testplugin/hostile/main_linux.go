// Hostile is a plugin that takes what it can: of the host, of its siblings and of
// the machine. It answers with what it got, so that a test can hold that against
// what docs/plugins-security.md says. It changes nothing.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"rrhost/plugin"
)

// Target is where to look.
type Target struct {
	Host    int    `json:"host"`    // the host's process
	Sibling int    `json:"sibling"` // another plugin's
	Folder  string `json:"folder"`  // of config.toml, key, data and plugins
	Store   string `json:"store"`
	Broker  string `json:"broker"`
	Topic   string `json:"topic"` // has records
}

// Report has for each attempt an empty text where it succeeded, else why not.
type Report struct {
	Attempts map[string]string `json:"attempts"`
	// Descriptors that it was born with, beside standard ones.
	Descriptors []string `json:"descriptors"`
}

// born are the descriptors at the beginning: before any is opened here, but for
// what the runtime needs itself.
var born = descriptors()

func main() { plugin.Serve(plugin.Handle("attack", attack)) }

func attack(ctx context.Context, t Target) (Report, error) {
	attempts := map[string]func() error{
		"host-environment": func() error { return read(proc(t.Host, "environ")) },
		"host-memory":      func() error { return memory(t.Host) },
		"host-files":       func() error { return list(proc(t.Host, "fd")) },
		"host-trace":       func() error { return trace(t.Host) },
		"host-signal":      func() error { return syscall.Kill(t.Host, 0) },
		"host-control":     func() error { return control(t.Store) },
		"guardian-signal":  func() error { return syscall.Kill(os.Getppid(), 0) },
		"guardian-memory":  func() error { return memory(os.Getppid()) },

		"configuration":      func() error { return read(filepath.Join(t.Folder, "config.toml")) },
		"key-file":           func() error { return read(filepath.Join(t.Folder, "data", "key")) },
		"audit-trail":        func() error { return read(filepath.Join(t.Folder, "data", "audit.db")) },
		"broker-password":    func() error { return read(filepath.Join(t.Folder, "data", "broker.password")) },
		"broker-anonymous":   func() error { return records(ctx, t, "") },
		"broker-as-the-host": func() error { return asHost(ctx, t) },
		"plugin-directory":   func() error { return writable(filepath.Join(t.Folder, "plugins")) },
		"plugin-store":       func() error { return writable(filepath.Join(t.Store, "builds")) },

		"sibling-environment": func() error { return read(proc(t.Sibling, "environ")) },
		"sibling-files":       func() error { return read(proc(t.Sibling, "exe")) },
		"sibling-signal":      func() error { return syscall.Kill(t.Sibling, 0) },
		"sibling-socket":      func() error { return siblingSocket(t.Sibling) },
	}
	r := Report{Attempts: make(map[string]string), Descriptors: born}
	for name, try := range attempts {
		r.Attempts[name] = ""
		if err := try(); err != nil {
			r.Attempts[name] = err.Error()
		}
	}
	return r, nil
}

func proc(pid int, file string) string { return "/proc/" + strconv.Itoa(pid) + "/" + file }

// read reads a byte of a file.
func read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err
}

func list(path string) error {
	entries, err := os.ReadDir(path)
	if err == nil && len(entries) == 0 {
		err = errors.New("nothing is there")
	}
	return err
}

func writable(dir string) error {
	const write = 2
	return syscall.Access(dir, write)
}

// memory reads what lies at the start of a process's first mapping.
func memory(pid int) error {
	maps, err := os.ReadFile(proc(pid, "maps"))
	if err != nil {
		return err
	}
	from, _, _ := strings.Cut(string(maps), "-")
	at, err := strconv.ParseInt(from, 16, 64)
	if err != nil {
		return fmt.Errorf("maps: %w", err)
	}
	mem, err := os.Open(proc(pid, "mem"))
	if err != nil {
		return err
	}
	defer mem.Close()
	_, err = mem.ReadAt(make([]byte, 1), at)
	return err
}

// trace stops a process as a debugger does, and lets it go on.
func trace(pid int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(pid); err != nil {
		return err
	}
	if _, err := syscall.Wait4(pid, nil, syscall.WALL, nil); err != nil {
		return err
	}
	return syscall.PtraceDetach(pid)
}

// control asks the host's control socket what is there.
func control(store string) error {
	paths, err := filepath.Glob(filepath.Join(store, "host-*.sock"))
	if err == nil && paths == nil {
		err = errors.New("no socket is to be seen")
	}
	if err != nil {
		return err
	}
	conn, err := net.Dial("unix", paths[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /plugins HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !bytes.Contains(answer, []byte("200 OK")) {
		err = fmt.Errorf("it answers %.20q", answer)
	}
	return err
}

// siblingSocket connects to a socket that the sibling listens on. That it calls
// nothing there without token and certificate has its own test.
func siblingSocket(sibling int) error {
	paths, err := filepath.Glob("/tmp/rr*/plugin-dir*/*")
	if err != nil {
		return err
	}
	last := errors.New("no socket is to be seen")
	for _, path := range paths {
		conn, err := net.Dial("unix", path)
		if err != nil {
			last = err
			continue
		}
		pid, err := peer(conn.(*net.UnixConn))
		_ = conn.Close()
		if err == nil && pid == sibling {
			return nil
		}
	}
	return last
}

func peer(conn *net.UnixConn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	e := raw.Control(func(fd uintptr) {
		var cred *syscall.Ucred
		if cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid, errors.Join(e, err)
}

// asHost logs in to the broker as the host does.
func asHost(ctx context.Context, t Target) error {
	password, err := os.ReadFile(filepath.Join(t.Folder, "data", "broker.password"))
	if err != nil {
		return err
	}
	return records(ctx, t, strings.TrimSpace(string(password)))
}

// records reads a record of the topic.
func records(ctx context.Context, t Target, password string) error {
	opts := []kgo.Opt{kgo.SeedBrokers(t.Broker), kgo.ConsumeTopics(t.Topic), kgo.RequestRetries(0)}
	if password != "" {
		opts = append(opts, kgo.SASL(scram.Auth{User: "rrhost", Pass: password}.AsSha256Mechanism()))
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Ping(ctx); err != nil {
		return err
	}
	fetches := c.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		return err
	}
	if fetches.NumRecords() == 0 {
		return errors.New("no record is to be seen")
	}
	return nil
}

// descriptors are what this process has open, beside standard input and output,
// the folder that is read here, and what Go's runtime opens itself.
func descriptors() (list []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:") || to == "/proc/"+strconv.Itoa(os.Getpid())+"/fd" || strings.HasPrefix(to, "/sys/fs/cgroup/") {
			continue // closed meanwhile, or the runtime's
		}
		list = append(list, e.Name()+" "+to)
	}
	return list
}
