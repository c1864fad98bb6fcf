package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	shipped, err := os.ReadFile("../config.toml")
	if err != nil {
		f.Fatalf("the shipped file is the first seed: %v", err)
	}
	f.Add(shipped)
	for _, seed := range []string{
		"",
		uncommented(string(shipped)),
		"[[topic]]\nname = \"a\"\ntimeout = 30\n[[topic]]\nname = \"a\"\ntimeout = \"1d\"",
		"kafka = {brokers = [\"a:1\", 2, [\"b\"], {c = 1}], tls = {ca = 1}}\r\n",
		"[kafka]\nBrokers = []\n[Audit.Cassandra]\nhosts = 1",
		"[plugin.\"a.b\".config]\nx.\"y z\" = [{a = 1}, {a = [1, 2]}]\n[plugin.a]\nb = 2",
		"[[topic.x]]\n[[topic.x]]\ny = 1\n[topic.x.z]",
		"[[topic]]\n[[topic.plugin]]\na=1\n[[topic.plugin]]\n[topic.plugin.b]",
		"topic = [1, [2], {name = 3}]",
		"[encryption]\nkey = \"env:\"\nopen = [\"file:\", 'x', 1]",
		"a = 99999999999999999999999\nb = 2024-99-99",
		"a = \"\"\"\n\n\\\n  x\"\"\"\nb = '''\n'''\nc = inf",
		"[host]\nmax_payload = \"9223372036854775807B\"\nmax_inflight_bytes = \"-1KiB\"",
		"\ufeff[log]\nlevel = \"\\u00e9\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("config.toml", text)
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("Parse takes what Validate does not: %v", err)
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) || len(e.Faults) == 0 {
			t.Fatalf("%v is not an *Error with faults", err)
		}
		last, lines := 1, bytes.Count(text, []byte("\n"))+1
		for _, fault := range e.Faults {
			if fault.Line < last || fault.Line > lines {
				t.Errorf("line %d after %d, of %d: %v", fault.Line, last, lines, fault)
			}
			last = fault.Line
			if fault.Problem == "" || strings.Contains(fault.Error(), "\n") {
				t.Errorf("%q is not a line", fault.Error())
			}
		}
		if _, again := Parse("config.toml", text); again == nil || again.Error() != err.Error() {
			t.Errorf("first %v\nthen  %v", err, again)
		}
	})
}
