package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A process is one life of rrhost run.
type process struct {
	cmd   *exec.Cmd
	file  string        // its log
	ended chan struct{} // closed when it has ended
}

// log is what it has written so far.
func (p *process) log() string {
	text, err := os.ReadFile(p.file)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// tail is the end of the log, for the report of a failure.
func (p *process) tail() string {
	lines := strings.Split(strings.TrimSpace(p.log()), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// launch starts rrhost run and does not wait.
func (s *site) launch(program string) *process {
	s.t.Helper()
	p := &process{file: filepath.Join(s.dir, fmt.Sprintf("host-%d.log", len(s.hosts)+1)), ended: make(chan struct{})}
	log, err := os.Create(p.file)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close() // the process has it too
	p.cmd = exec.Command(program, "run", "--config", filepath.Join(s.dir, "config.toml"))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A Ctrl-C ends the test, which ends the host.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.as}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // told by ProcessState
		close(p.ended)
	}()
	s.hosts = append(s.hosts, p)
	s.t.Cleanup(func() {
		if p.running() {
			s.end(p, syscall.SIGTERM)
		}
		if strings.Contains(p.log(), "WARNING: DATA RACE") || s.t.Failed() {
			s.t.Errorf("the log of the host, process %d, ends so:\n%s", p.cmd.Process.Pid, p.tail())
		}
	})
	return p
}

// start starts a host and waits until it is ready.
func (s *site) start() *process {
	s.t.Helper()
	return s.awaitReady(s.launch(program(s.t, "rrhost")))
}

// startWatched is start, with the race detector where the tests have it.
func (s *site) startWatched() *process {
	s.t.Helper()
	return s.awaitReady(s.launch(hostUnderRace(s.t)))
}

func (s *site) awaitReady(p *process) *process {
	s.t.Helper()
	until(s.t, 60*time.Second, func() string {
		if !p.running() {
			s.t.Fatalf("the host ended: %s\n%s", p.cmd.ProcessState, p.tail())
		}
		code, body := s.get("/readyz")
		if code == http.StatusOK {
			return ""
		}
		return "the host is not ready: " + body
	})
	s.awaitIngester()
	return p
}

// awaitIngester waits until the host copies the log into the trail, which is no
// condition for being ready: making the tables takes seconds.
func (s *site) awaitIngester() {
	s.t.Helper()
	until(s.t, 60*time.Second, func() string {
		if _, metrics := s.get("/metrics"); !strings.Contains(metrics, "\nrrhost_audit_lag{") {
			return "the trail is not written"
		}
		return ""
	})
}

// end signals a host and waits for its end. One that is asked to stop must do
// so by itself, and well.
func (s *site) end(p *process, signal syscall.Signal) {
	s.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(45 * time.Second):
		s.t.Errorf("the host runs on, 45 s after %s:\n%s", signal, p.tail())
		if err := p.cmd.Process.Kill(); err != nil {
			s.t.Error(err)
		}
		<-p.ended
		return
	}
	if code := p.cmd.ProcessState.ExitCode(); signal == syscall.SIGTERM && code != 0 {
		s.t.Errorf("the host exits with %d after SIGTERM, want 0:\n%s", code, p.tail())
	}
}

// get asks the host's admin listener. Code 0 means no answer.
func (s *site) get(path string) (code int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.cfg.Admin.Listen+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// A said is how a command ended.
type said struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// rrclient runs a command as a user types it.
func (s *site) rrclient(args ...string) said {
	s.t.Helper()
	return s.rrclientWith("config.toml", args...)
}

// rrclientWith is rrclient with another configuration of the site.
func (s *site) rrclientWith(file string, args ...string) said {
	s.t.Helper()
	return s.command(program(s.t, "rrclient"), append(args, "--config", filepath.Join(s.dir, file))...)
}

// command runs a program to its end.
func (s *site) command(program string, args ...string) said {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 90*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begun := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		s.t.Fatalf("%s %v: %v\n%s%s", filepath.Base(program), args, err, &stdout, &stderr)
	}
	return said{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(begun)}
}
