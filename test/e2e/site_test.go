package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/client"
	"rrhost/config"
	"rrhost/internal/testservices"
)

// A backend is where the log and the trail are: the sections of config.toml that
// say so.
type backend struct {
	name     string
	embedded bool
	sections func(t *testing.T, s *site) map[string]string
}

// real is Apache Kafka and Apache Cassandra.
var real = backend{name: "kafka", sections: func(t *testing.T, s *site) map[string]string {
	return kafkaAndCassandra(s, testservices.Kafka(t), testservices.Cassandra(t))
}}

// embedded is what is there with Go alone.
var embedded = backend{name: "embedded", embedded: true, sections: func(t *testing.T, _ *site) map[string]string {
	return map[string]string{"embedded": fmt.Sprintf("listen = %q\n", freeAddress(t))}
}}

// realWith is Apache Kafka, and a Cassandra of the test's own.
func realWith(cassandra string) backend {
	return backend{name: "kafka", sections: func(t *testing.T, s *site) map[string]string {
		return kafkaAndCassandra(s, testservices.Kafka(t), cassandra)
	}}
}

func kafkaAndCassandra(s *site, brokers, cassandra string) map[string]string {
	return map[string]string{
		"kafka":           fmt.Sprintf("brokers = [%s]\ngroup = \"workers-%s\"\n", quoted(brokers), s.suffix),
		"encryption":      "key = \"file:key\"\n",
		"audit":           "store = \"cassandra\"\n",
		"audit.cassandra": fmt.Sprintf("hosts = [%q]\nkeyspace = %q\n", cassandra, keyspace),
	}
}

// keyspace is one for all sites, since Cassandra is slow at making tables; what
// rows are a site's is told by their topics.
var keyspace = "e2e_" + strings.ToLower(rand.Text()[:12])

// quoted makes a TOML list's items of a comma-separated list.
func quoted(list string) string {
	return `"` + strings.ReplaceAll(list, ",", `","`) + `"`
}

// onBoth runs a test with the real services and with the embedded ones.
func onBoth(t *testing.T, test func(t *testing.T, b backend)) {
	for _, b := range []backend{real, embedded} {
		t.Run(b.name, func(t *testing.T) { test(t, b) })
	}
}

// A layout is what a site is made of.
type layout struct {
	// topics are [[topic]] tables. @ stands for what makes names the site's own.
	topics string
	// plugins are the files of the plugin directory: the name there, and the
	// program.
	plugins map[string]string
	// more are lines to add to sections of the configuration.
	more map[string]string
}

// A site is a folder with a configuration, and what runs on it: topics, group,
// keyspace and ports are its own.
type site struct {
	t       *testing.T
	dir     string
	suffix  string
	backend backend
	began   time.Time
	cfg     config.Config       // of config.toml
	hosts   []*process          // all that were started, the last one newest
	as      *syscall.Credential // whom hosts run as; nil: the test's user
}

func newSite(t *testing.T, b backend, l layout) *site {
	t.Helper()
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails
	s := &site{t: t, dir: t.TempDir(), suffix: hex.EncodeToString(random), backend: b, began: time.Now()}

	// First, since they skip tests that ask for services where there are none.
	sections := map[string]string{
		"replies":   "topic = \"replies-@\"\npartitions = 4\n",
		"discovery": "topic = \"control-@\"\n",
		"admin":     fmt.Sprintf("listen = %q\n", freeAddress(t)),
	}
	if l.more["log"] == "" {
		sections["log"] = "level = \"debug\"\n"
	}
	for _, more := range []map[string]string{b.sections(t, s), l.more} {
		for name, lines := range more {
			sections[name] += lines
		}
	}
	s.write("key", client.GenerateKey()+"\n")
	s.configure("config.toml", l.topics, sections)
	if err := os.MkdirAll(filepath.Join(s.dir, "plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, of := range l.plugins {
		s.install(name, program(t, of))
	}
	return s
}

// configure writes a configuration and, if it is config.toml, reads it.
func (s *site) configure(file, topics string, sections map[string]string) {
	s.t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		fmt.Fprintf(&b, "[%s]\n%s\n", name, strings.ReplaceAll(sections[name], "@", s.suffix))
	}
	b.WriteString(strings.ReplaceAll(topics, "@", s.suffix))
	s.write(file, b.String())
	cfg, err := config.Load(filepath.Join(s.dir, file))
	if err != nil {
		s.t.Fatal(err)
	}
	if file == "config.toml" {
		s.cfg = cfg
	}
}

// write writes a file of the site, for its owner alone.
func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// topic is the site's own name of a topic.
func (s *site) topic(name string) string { return name + "-" + s.suffix }

// install puts a program into the plugin directory, as the README says: write,
// then rename.
func (s *site) install(name, program string) {
	s.t.Helper()
	to := filepath.Join(s.dir, "plugins", name)
	if err := copyFile(filepath.Join(filepath.Dir(to), ".tmp"), program); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(filepath.Dir(to), ".tmp"), to); err != nil {
		s.t.Fatal(err)
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// client opens a client in this process.
func (s *site) client(opts ...client.Option) *client.Client {
	s.t.Helper()
	c, err := client.Open(s.t.Context(), s.cfg, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Errorf("close the client: %v", err)
		}
	})
	return c
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := testservices.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// until waits for a condition, which says what is missing.
func until(t *testing.T, limit time.Duration, met func() (missing string)) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		missing := met()
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: %s", limit, missing)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
