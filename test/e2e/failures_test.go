package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/client"
	"rrhost/internal/testservices"
)

// What goes wrong reaches the requester typed, at the time it should, and the
// trail with its message for whoever has the key.
func TestFailuresReachTheRequesterAndTheTrail(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b backend) {
		s := newSite(t, b, layout{
			topics: "[[topic]]\nname = \"work-@\"\nplugin = \"testplugin\"\nhandler = \"work\"\n" +
				"[[topic]]\nname = \"calc-@\"\nplugin = \"calculate\"\n",
			plugins: map[string]string{"testplugin": "testplugin", "calculate": "calculate"},
		})
		s.start()
		tests := []struct {
			name, topic, request string
			code                 int
			status               string
			rejected             string // the error's code
			message              string // in it
		}{
			{"handler error", "work", `{"do":"fail","code":"no_such_account","text":"there is no account 17"}`, 4, "handler_error", "no_such_account", "there is no account 17"},
			{"division by zero", "calc", `{"a":1,"b":0,"op":"div"}`, 4, "handler_error", "division_by_zero", "divided by zero"},
			{"panic", "work", `{"do":"panic","text":"canary-of-a-panic"}`, 4, "handler_error", "panic", "panic"},
			{"wrong type", "calc", `{"a":"ten","b":5}`, 1, "invalid_payload", "invalid_payload", ""},
			{"too slow", "work", `{"do":"hang","ms":3000}`, 3, "deadline_exceeded", "deadline_exceeded", ""},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				got := s.rrclient("request", s.topic(tt.topic), tt.request, "--json", "--timeout", "2s")
				var answer struct {
					RequestID string `json:"request_id"`
					Status    string `json:"status"`
					Error     struct{ Code, Message string }
				}
				if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || got.code != tt.code {
					t.Fatalf("%+v: %v; want exit %d", got, err, tt.code)
				}
				// Near its deadline, a reply and the client's own timer race.
				if answer.Status != tt.status && !(tt.code == 3 && answer.Status == "timeout") {
					t.Errorf("status %q, want %q", answer.Status, tt.status)
				}
				if tt.code != 3 && (answer.Error.Code != tt.rejected || !strings.Contains(answer.Error.Message, tt.message)) {
					t.Errorf("error %+v, want %s: %s", answer.Error, tt.rejected, tt.message)
				}
				rows := s.logs("config.toml", answer.RequestID)
				if len(rows) != 2 {
					t.Fatalf("the trail has %d rows, want 2: %+v", len(rows), rows)
				}
				if row := rows[0]; row.Success || row.Status != tt.status || !strings.Contains(row.Error, tt.message) || row.Error == "" {
					t.Errorf("the trail has %+v, want success false with the status %s and the message", row, tt.status)
				}
			})
		}
		if log := s.hosts[0].log(); strings.Contains(log, "canary-of-a-panic") {
			t.Error("the host's log holds a panic's value")
		} else if !strings.Contains(log, "testplugin/main.go") {
			t.Error("the host's log does not hold a panic's stack")
		}

		t.Run("wrong key", func(t *testing.T) { s.wrongKey(t) })
		t.Run("absent worker", func(t *testing.T) { s.absentWorker(t) })
	})
}

// wrongKey asks with a key that the host does not have.
func (s *site) wrongKey(t *testing.T) {
	s.write("other.key", client.GenerateKey()+"\n")
	text, err := os.ReadFile(filepath.Join(s.dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), `key = "file:key"`, `key = "file:other.key"`, 1)
	if s.backend.embedded {
		other = "[encryption]\nkey = \"file:other.key\"\n" + other
	}
	s.write("other.toml", other)
	got := s.rrclientWith("other.toml", "request", s.topic("calc"), `{"a":10,"b":5}`, "--timeout", "30s")
	if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, "undecryptable") || !strings.Contains(got.stderr, "hint: ") ||
		!strings.Contains(got.stderr, "ENCRYPTION_KEY") {
		t.Errorf("%+v, want exit 1, undecryptable, and a hint at the key", got)
	}
	if got.took > 10*time.Second {
		t.Errorf("told after %s, want at once", got.took)
	}
}

// absentWorker asks when no host runs.
func (s *site) absentWorker(t *testing.T) {
	s.end(s.hosts[len(s.hosts)-1], syscall.SIGTERM)
	const asked = 3 * time.Second
	got := s.rrclient("request", s.topic("calc"), `{"a":10,"b":5}`, "--timeout", asked.String())
	if s.backend.embedded { // there is no broker then
		if got.code != 1 || !strings.Contains(got.stderr, "no host is running") || !strings.Contains(got.stderr, "hint: ") {
			t.Errorf("%+v, want exit 1 that says how to start one", got)
		}
		return
	}
	if got.code != 3 || got.stdout != "" || !strings.Contains(got.stderr, "timeout") {
		t.Errorf("%+v, want exit 3 and a timeout", got)
	}
	if got.took < asked || got.took > asked+10*time.Second { // a request waits for 30 s that does not say
		t.Errorf("it took %s, want %s and what the program needs to start and end", got.took, asked)
	}
}

// A plugin that cannot be run is told before the requester's own timer ends.
func TestPluginUnavailableIsToldInTime(t *testing.T) {
	testservices.Long(t)
	t.Parallel()
	onBoth(t, func(t *testing.T, b backend) {
		s := newSite(t, b, layout{
			topics: "[[topic]]\nname = \"dead-@\"\nplugin = \"dead\"\n[[topic]]\nname = \"absent-@\"\nplugin = \"absent\"\n" +
				"[[topic]]\nname = \"calc-@\"\nplugin = \"calculate\"\n",
			plugins: map[string]string{"calculate": "calculate"},
		})
		dead := filepath.Join(t.TempDir(), "dead")
		if err := os.WriteFile(dead, []byte("#!/bin/sh\necho it cannot be >&2\nexit 7\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.install("dead", dead)
		p := s.launch(program(t, "rrhost"))
		until(t, 30*time.Second, func() string { // a member of the group, and with plugins missing
			code, body := s.get("/readyz")
			if code == 503 && strings.Contains(body, "plugin dead") && strings.Contains(body, "plugin absent") && strings.Count(body, "not ready:") == 2 {
				return ""
			}
			return fmt.Sprintf("/readyz is %d %s\n%s", code, body, p.tail())
		})
		for _, name := range []string{"dead", "absent"} {
			const asked = 3 * time.Second
			got := s.rrclient("request", s.topic(name), `{}`, "--timeout", asked.String())
			if got.code != 1 || !strings.Contains(got.stderr, "plugin_unavailable") || !strings.Contains(got.stderr, "plugin "+name) {
				t.Errorf("%s: %+v, want exit 1, plugin_unavailable and why", name, got)
			}
		}
		// The host and the other plugins go on.
		if got := s.rrclient("request", s.topic("calc"), `{"a":10,"b":5}`); got.code != 0 || got.stdout != "{\"result\":15}\n" {
			t.Errorf("another plugin: %+v", got)
		}
	})
}

// One poisonous request kills the plugin as often as it is tried; its neighbours
// are answered.
func TestPoisonTakesNoNeighbourAlong(t *testing.T) {
	testservices.Long(t)
	t.Parallel()
	onBoth(t, func(t *testing.T, b backend) {
		s := working(t, b)
		s.start()
		topic := s.topic("work")
		l := startLoad(s, topic, 40, 20, order{Do: "sleep", MS: 50})
		for range 2 { // each time the plugin dies twice
			got := s.rrclient("request", topic, `{"do":"exit","ms":9,"nonce":"poison"}`, "--json", "--timeout", "60s")
			if got.code != 1 || !strings.Contains(got.stdout, `"status":"plugin_crashed"`) || !strings.Contains(got.stdout, `"attempt":2`) {
				t.Errorf("poison: %+v, want plugin_crashed at the second attempt", got)
			}
			l.awaitMore(20)
		}
		hit := 0
		calls := l.finish()
		for _, c := range calls {
			if problem := c.wrong(); problem != "" {
				t.Errorf("a neighbour, request %s: %s", c.id, problem)
			}
			if c.report.Attempt == 2 {
				hit++
			}
		}
		if hit == 0 {
			t.Error("no neighbour was in the plugin when it died: the test shows nothing")
		}
		t.Logf("%d neighbours answered, %d of them at the second attempt", len(calls), hit)
		s.awaitCommitted(topic)
		s.checkTrail()
	})
}
