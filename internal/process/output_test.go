package process

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
)

func logLines(t testing.TB, json bool, input []byte) string {
	t.Helper()
	var text bytes.Buffer
	logger := hclog.New(&hclog.LoggerOptions{Output: &text, JSONFormat: json, Level: hclog.Trace, DisableTime: true})
	o := output{logger: logger.With("plugin", "p", "version", "v", "pid", 7)}
	drain(bufio.NewReaderSize(bytes.NewReader(input), maxLine), o.stderr)
	return text.String()
}

func TestLogLines(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"record", `{"@level":"warn","@message":"hot","@timestamp":"x","b":1,"a":"two words"}`, `[WARN]  hot: pid=7 plugin=p version=v a="two words" b=1`},
		{"level of no kind", `{"@level":42,"@message":"m"}`, `[INFO]  m: pid=7 plugin=p version=v`},
		{"off is no way to hide", `{"@level":"off","@message":"m"}`, `[INFO]  m: pid=7 plugin=p version=v`},
		{"message of no kind", `{"@level":"info","@message":42}`, `[INFO]  {"@level":"info","@message":42}: pid=7 plugin=p version=v stream=stderr`},
		{"our keys", `{"@message":"m","plugin":"other","pid":1,"a b=c":"x"}`, `[INFO]  m: pid=7 plugin=p version=v a_b_c=x plugin_pid=1 plugin_plugin=other`},
		{"forged line", `{"@message":"m\n[ERROR] forged"}`, `[INFO]  m\n[ERROR] forged: pid=7 plugin=p version=v`},
		{"forged line in a field", `{"@message":"m","k":"a\n[ERROR] forged\u001b[2J","n":["\u007f\u0085"]}`, `[INFO]  m: pid=7 plugin=p version=v k="a\n[ERROR] forged\x1b[2J" n="[\"\x7f\u0085\"]"`},
		{"formats", `{"@message":"%s %d %!","k":"%v"}`, `[INFO]  %s %d %!: pid=7 plugin=p version=v k="%v"`},
		{"nested", `{"@message":"m","k":{"a":[1,null]},"n":null,"t":true,"f":1.50}`, `[INFO]  m: pid=7 plugin=p version=v f=1.50 k="{\"a\":[1,null]}" n=<nil> t=true`},
		{"terminal", "a\x1b[31mred\xff", `[INFO]  a\x1b[31mred\xff: pid=7 plugin=p version=v stream=stderr`},
		{"text", "hello", `[INFO]  hello: pid=7 plugin=p version=v stream=stderr`},
		{"not all JSON", `{"@message":"m"} x`, `[INFO]  {"@message":"m"} x: pid=7 plugin=p version=v stream=stderr`},
		{"empty", "\n\r\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.TrimSuffix(logLines(t, false, []byte(tt.in+"\n")), "\n"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestDeathOfAGoProgram: everything but what it panicked with.
func TestDeathOfAGoProgram(t *testing.T) {
	got := logLines(t, false, []byte("panic: secret one\nsecret two\n\t[recovered]\n\ngoroutine 1 [running]:\nmain.f({0x1, 0x2})\n\t/x/main.go:7 +0x1d\n"))
	for _, want := range []string{"panic: (its value is not logged)", "goroutine 1 [running]", "main.f(…)", "/x/main.go:7"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "secret") || strings.Contains(got, "0x2") {
		t.Errorf("the value is logged:\n%s", got)
	}
}

func TestLongLinesAreCutAndDrained(t *testing.T) {
	got := logLines(t, false, []byte(strings.Repeat("x", 5*maxLine)+"\nnext\n"))
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "truncated=true") || len(lines[0]) > maxLine+200 || !strings.Contains(lines[1], "next") {
		t.Errorf("%d lines, the last %s", len(lines), lines[len(lines)-1])
	}
}

// FuzzOutput: whatever a plugin prints, each line of the host's log is whole and
// the plugin's own.
func FuzzOutput(f *testing.F) {
	for _, s := range []string{
		`{"@level":"info","@message":"m","k":1}`, `{"@message":{}}`, `{"@level":[],"@message":"m","@timestamp":3}`,
		"panic: x\ny\ngoroutine 1 [running]:\nmain.f(0x1)\n", "fatal error: x\n", "plain\r\n\x00\x1b[2J", `{"@message":"a\u2028b\nc"}`,
		`{"@message":"m","pid":"x","":1}`, "{", "\xff\xfe\n", `{"@message":"m","k":` + strings.Repeat("[", 100),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for line := range strings.Lines(logLines(t, true, in)) {
			var rec map[string]any
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				t.Fatalf("log line %q: %v", line, err)
			}
			if rec["plugin"] != "p" || rec["version"] != "v" || rec["pid"] != 7.0 {
				t.Fatalf("a line that is not the plugin's: %s", line)
			}
			for key, v := range rec {
				text, _ := v.(string)
				if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
					t.Fatalf("%s is %q, which has what doesn't print", key, text)
				}
			}
		}
	})
}

const folder = "/tmp/rr1/plugin-dir2"

// FuzzHandshake: what is accepted has a socket in the folder, and go-plugin will
// find in it what we found.
func FuzzHandshake(f *testing.F) {
	cert := base64.RawStdEncoding.EncodeToString([]byte("no certificate"))
	for _, s := range []string{
		"1|1|unix|" + folder + "/s|grpc|", "1|1|unix|" + folder + "/s|grpc|" + cert, "1|1|unix|" + folder + "/../s|grpc|",
		"1|1|unix|" + folder + "//s|grpc|", "1|1|unix|" + folder + "|grpc|", "1|2|unix|" + folder + "/s|grpc|", "2|1|unix|" + folder + "/s|grpc|",
		"1|1|tcp|127.0.0.1:1|grpc|", "1|1|unix|" + folder + "/s|netrpc|", "1|1|unix|" + folder + "/s|grpc", "1|1|unix|" + folder + "/s|grpc||true",
		"1|1|unix|" + folder + "/s\x00|grpc|", "1|1|unix|" + folder + "/..0|grpc|", "", "|||||", "1|-1|unix|a|grpc|", "1|1|unix|" + folder + "/" + strings.Repeat("s", 100) + "|grpc|",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, line []byte, mtls bool) {
		if vetHandshake(line, folder, mtls) != nil {
			return
		}
		fields := strings.Split(string(line), "|")
		if len(fields) != 6 || fields[2] != "unix" {
			t.Fatalf("accepted %q", line)
		}
		if name, in := strings.CutPrefix(fields[3], folder+"/"); !in || strings.ContainsAny(name, "/\x00") || name == "" || name == "." || name == ".." {
			t.Fatalf("accepted %q", line)
		}
		if mtls == (fields[5] == "") {
			t.Fatalf("accepted %q, TLS %v", line, mtls)
		}
	})
}

func TestGoodHandshake(t *testing.T) {
	if err := vetHandshake([]byte("1|1|unix|"+folder+"/plugin123|grpc|"), folder, false); err != nil {
		t.Error(err)
	}
}
