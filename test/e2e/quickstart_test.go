package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/internal/testprograms"
	"rrhost/internal/testservices"
)

// One request as the README begins: with real services, and then over TLS with a
// login on the same topics.
func TestQuickStartOnKafkaAndCassandra(t *testing.T) {
	const topics = "[[topic]]\nname = \"calculate\"\n"
	s := newSite(t, real, layout{topics: topics, plugins: map[string]string{"calculate": "calculate"}})
	s.t.Cleanup(func() { s.deleteTopics() })
	p := s.start()
	s.quickStart("config.toml")
	s.end(p, syscall.SIGTERM)

	secure := testservices.KafkaSecure(t)
	s.write("kafka.password", secure.Password+"\n")
	sections := real.sections(t, s)
	sections["kafka"] = fmt.Sprintf("brokers = [%s]\ngroup = %q\n", quoted(secure.Bootstrap), s.cfg.Kafka.Group)
	sections["kafka.tls"] = fmt.Sprintf("ca = %q\n", secure.CA)
	sections["kafka.sasl"] = fmt.Sprintf("mechanism = \"SCRAM-SHA-512\"\nusername = %q\npassword = \"file:kafka.password\"\n", secure.User)
	sections["replies"] = "topic = \"replies-@\"\n"
	sections["admin"] = fmt.Sprintf("listen = %q\n", s.cfg.Admin.Listen)
	plain := s.cfg
	s.configure("config.toml", topics, sections)
	s.start()
	s.quickStart("config.toml")
	s.cfg = plain // to look from outside
}

// The shipped configuration as it is, but for its ports.
func TestQuickStartWithGoAlone(t *testing.T) {
	s := newSite(t, embedded, layout{plugins: map[string]string{"calculate": "calculate", "echo": "echo"}})
	root, err := testprograms.Repository()
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile(filepath.Join(root, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(shipped)
	for section, address := range map[string]string{"embedded": s.cfg.Embedded.Listen, "admin": s.cfg.Admin.Listen} {
		listen := regexp.MustCompile(`(?ms)^(\[` + section + `\]\n.*?)^#listen = "[^"]*"`)
		if !listen.MatchString(text) {
			t.Fatalf("config.toml has no listen in [%s]", section)
		}
		text = listen.ReplaceAllString(text, `${1}listen = "`+address+`"`)
	}
	s.write("config.toml", text)

	// Before there is a host, a request says so, and quickly.
	fastest := time.Hour // of three: the machine may be busy with something else
	for range 3 {
		got := s.rrclient("request", "calculate", `{"a":10,"b":5}`)
		fastest = min(fastest, got.took)
		if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, "rrhost run") {
			t.Errorf("without a host: %+v, want exit 1 with a hint", got)
		}
	}
	if fastest > 1500*time.Millisecond {
		t.Errorf("without a host: told after %s, want within a second", fastest)
	}
	s.start()
	s.quickStart("config.toml")
}

// quickStart sends one request and reads it back.
func (s *site) quickStart(file string) {
	t := s.t
	t.Helper()
	got := s.rrclientWith(file, "request", "calculate", `{"a":10,"b":5}`)
	if got.code != 0 || got.stdout != "{\"result\":15}\n" {
		t.Fatalf("request: %+v, want {\"result\":15} alone", got)
	}
	id := requestID(t, got)
	got = s.rrclientWith(file, "logs", "--id", id)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	if got.code != 0 || len(lines) != 2 || !strings.Contains(lines[0], `{"result":15}`) || !strings.Contains(lines[1], `{"a":10,"b":5}`) {
		t.Errorf("logs --id: %+v, want the response and then the request, opened", got)
	}
	rows := s.logs(file, id)
	if len(rows) != 2 || rows[0].Type != "response" || string(rows[0].Payload) != `{"result":15}` || !rows[0].Success ||
		rows[1].Type != "request" || string(rows[1].Payload) != `{"a":10,"b":5}` || rows[1].RequestID != id {
		t.Errorf("logs --json: %+v, want the response and then the request, opened", rows)
	}
}

// requestID is what a request prints to stderr.
func requestID(t *testing.T, got said) string {
	t.Helper()
	_, after, ok := strings.Cut(got.stderr, "request_id: ")
	if !ok {
		t.Fatalf("no request_id on stderr: %+v", got)
	}
	id, _, _ := strings.Cut(after, "\n")
	return id
}

// A line is what rrclient logs --json prints a row.
type line struct {
	RequestID string          `json:"request_id"`
	Type      string          `json:"type"`
	Success   bool            `json:"success"`
	Status    string          `json:"status"`
	Error     string          `json:"error"`
	Attempt   int             `json:"attempt"`
	Payload   json.RawMessage `json:"payload"`
}

// logs are the rows of a request, the newest first.
func (s *site) logs(file, id string) []line {
	s.t.Helper()
	got := s.rrclientWith(file, "logs", "--id", id, "--json")
	if got.code != 0 {
		s.t.Fatalf("logs: %+v", got)
	}
	var rows []line
	for scanner := bufio.NewScanner(strings.NewReader(got.stdout)); scanner.Scan(); {
		var row line
		if err := json.Unmarshal(scanner.Bytes(), &row); err != nil {
			s.t.Fatalf("%q: %v", scanner.Text(), err)
		}
		rows = append(rows, row)
	}
	return rows
}
