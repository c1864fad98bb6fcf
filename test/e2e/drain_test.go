package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rrhost/client"
	"rrhost/internal/testservices"
)

// A host that is told to stop while requests wait for their plugin leaves them to
// its next life: none is passed over.
func TestRequestsThatWaitForAPluginOutliveTheHost(t *testing.T) {
	t.Parallel()
	s := newSite(t, embedded, layout{topics: "[[topic]]\nname = \"late\"\ntimeout = \"120s\"\n[[topic]]\nname = \"echo\"\n", plugins: map[string]string{"echo": "echo"}})
	gate := filepath.Join(s.dir, "gate")
	script := fmt.Sprintf("#!/bin/sh\nwhile [ ! -e '%s' ]; do sleep 0.1; done\nexec '%s'\n", gate, program(t, "echo"))
	if err := os.WriteFile(filepath.Join(s.dir, "plugins", "late"), []byte(script), 0o700); err != nil { //nolint:gosec // a plugin is executable
		t.Fatal(err)
	}
	host := s.launch(program(t, "rrhost"))
	until(t, 60*time.Second, func() string {
		code, body := s.get("/readyz")
		if code == 503 && !strings.Contains(body, "kafka:") && strings.Contains(body, "plugin late") && !strings.Contains(body, "plugin echo") {
			return ""
		}
		return "the host is not up but for the plugin: " + body
	})
	answers := s.callAll("late", 5)
	s.untilInFlight(5)
	s.end(host, syscall.SIGTERM)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	answers.check(t)
}

// A plugin that dies while the host drains takes no request along.
func TestPluginThatDiesWhileTheHostDrains(t *testing.T) {
	testservices.Long(t)
	t.Parallel()
	s := working(t, embedded)
	host := s.start()
	pid := s.pluginPID()
	orders := s.workAll(3, order{Do: "sleep", MS: 6000})
	s.untilInFlight(3)
	if err := host.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, func() string {
		if strings.Contains(host.log(), "stopping: requests in flight may finish") {
			return ""
		}
		return "the host does not say that it stops"
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-host.ended:
	case <-time.After(45 * time.Second):
		t.Fatal("the host runs on")
	}
	s.start()
	orders.check(t)
}

// answers are calls under way.
type answers struct {
	wg   sync.WaitGroup
	mu   sync.Mutex // guards errs
	errs []error
}

func (a *answers) check(t *testing.T) {
	t.Helper()
	a.wg.Wait()
	for _, err := range a.errs {
		t.Error(err)
	}
}

func (s *site) call(n int, one func(c *client.Client, i int) error) *answers {
	c := s.client(client.WithDefaultTimeout(100 * time.Second))
	a := new(answers)
	for i := range n {
		a.wg.Go(func() {
			if err := one(c, i); err != nil {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.errs = append(a.errs, err)
			}
		})
	}
	return a
}

// callAll sends n requests to an echo, each of which must come back.
func (s *site) callAll(topic string, n int) *answers {
	return s.call(n, func(c *client.Client, i int) error {
		want := fmt.Sprintf(`{"n":%d}`, i)
		got, err := client.Call[json.RawMessage](context.Background(), c, topic, json.RawMessage(want))
		if err == nil && string(got) != want {
			err = fmt.Errorf("sent %s, got %s", want, got)
		}
		return err
	})
}

// workAll sends n orders.
func (s *site) workAll(n int, o order) *answers {
	return s.call(n, func(c *client.Client, i int) error {
		o := o
		o.Nonce = fmt.Sprint("nonce", i)
		got, err := client.Call[report](context.Background(), c, s.topic("work"), o)
		if err == nil && got.F != f(o.Nonce) {
			err = fmt.Errorf("sent %s, got %+v", o.Nonce, got)
		}
		return err
	})
}

// pluginPID asks the test plugin for its process.
func (s *site) pluginPID() int {
	s.t.Helper()
	got, err := client.Call[report](s.t.Context(), s.client(), s.topic("work"), order{Nonce: "who"})
	if err != nil {
		s.t.Fatal(err)
	}
	return got.PID
}

// untilInFlight waits until n requests are in flight, as the host's metrics say.
func (s *site) untilInFlight(n int) {
	s.t.Helper()
	until(s.t, 30*time.Second, func() string {
		_, body := s.get("/metrics")
		sum := 0
		for line := range strings.Lines(body) {
			var v int
			if strings.HasPrefix(line, "rrhost_in_flight{") {
				if _, err := fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &v); err == nil {
					sum += v
				}
			}
		}
		if sum == n {
			return ""
		}
		return fmt.Sprintf("%d requests are in flight, want %d", sum, n)
	})
}
