package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxPartitions = 10_000

	// deadLetters ends the name of a topic's dead-letter topic.
	deadLetters = ".dlq"

	wantSecret = `write "env:NAME" or "file:PATH"`
)

// between allows low to high; format prints a limit as it is written.
func between[T ~int64](low, high T, noun string, format func(T) string) rule[T] {
	return func(v T) (string, string) {
		switch {
		case v < low:
			return format(v) + " is too small", fmt.Sprintf("write a %s from %s", noun, format(low))
		case v > high:
			return format(v) + " is too large", fmt.Sprintf("write a %s up to %s", noun, format(high))
		}
		return "", ""
	}
}

// oneOf allows these texts.
func oneOf(allowed ...string) rule[string] {
	quoted := make([]string, len(allowed))
	for i, a := range allowed {
		quoted[i] = strconv.Quote(a)
	}
	last := len(quoted) - 1
	want := "write " + strings.Join(quoted[:last], ", ") + " or " + quoted[last]
	return func(v string) (string, string) {
		if slices.Contains(allowed, v) {
			return "", ""
		}
		return show(v) + " is not one of its values", want
	}
}

func ordering(v string) (string, string) {
	if v == "key" {
		return `"key" is reserved for later`, `write "none"`
	}
	return oneOf("none", "key")(v)
}

var kafkaChars = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// kafkaName is what Kafka takes as a client id, a static member's id, a topic.
func kafkaName(v string) (string, string) {
	const want = "write up to 249 of the characters A-Z a-z 0-9 . _ -"
	switch {
	case v == "":
		return "is empty", want
	case len(v) > 249:
		return "is too long for Kafka", want
	case !kafkaChars.MatchString(v):
		return show(v) + " is not a name that Kafka takes", want
	}
	return "", ""
}

func topicName(v string) (string, string) {
	if problem, want := kafkaName(v); problem != "" {
		return problem, want
	}
	switch {
	case v == "." || v == "..":
		return show(v) + " is not a name that Kafka takes", "write another name"
	case strings.HasPrefix(v, "__"):
		return show(v) + " is among Kafka's own topics", "write a name that does not begin with __"
	case strings.HasSuffix(v, deadLetters):
		return show(v) + " is the name of a dead-letter topic", "write a name that does not end in " + deadLetters
	case len(v)+len(deadLetters) > 249:
		return "leaves no room for " + deadLetters, fmt.Sprintf("write up to %d characters", 249-len(deadLetters))
	}
	return "", ""
}

// groupName is what the host's group and, with .audit, the ingester's may be.
func groupName(v string) (string, string) {
	const want = "write up to 200 characters without spaces"
	switch {
	case v == "":
		return "is empty", want
	case len(v) > 200:
		return "is too long", want
	case strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) }):
		return show(v) + " is not a group's name", want
	}
	return "", ""
}

// pluginName is the name of a file or folder in the plugin directory.
func pluginName(v string) (string, string) {
	const want = "write the name of a file or folder in the plugin directory"
	switch {
	case v == "":
		return "is empty", want
	case strings.ContainsAny(v, `/\`):
		return show(v) + " is a path", want
	case strings.HasPrefix(v, "."):
		return show(v) + " begins with a dot, and is never run", want
	case len(v) > 200 || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }):
		return show(v) + " is not a plugin's name", want
	}
	return "", ""
}

// pluginName is silent about a name that is wrong for the topic already.
func (t *Topic) pluginName(v string) (string, string) {
	if problem, _ := topicName(t.Name); v == t.Name && problem != "" {
		return "", ""
	}
	return pluginName(v)
}

func handlerName(v string) (string, string) {
	if len(v) > 200 || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return show(v) + " is not a handler's name", "write a name that the plugin's Describe lists"
	}
	return "", ""
}

// hostPort tells whether v is a host and a port from low on.
func hostPort(v string, low uint64) (host string, ok bool) {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	ok = err == nil && n >= low && !strings.ContainsAny(host, "/@ ")
	return host, ok
}

// showAddress shows nothing of an address that may have a password in it.
func showAddress(v string) string {
	if strings.Contains(v, "@") {
		return "user@host"
	}
	return show(v)
}

// address is a service to connect to.
func address(v string) (string, string) {
	if host, ok := hostPort(v, 1); !ok || host == "" {
		return showAddress(v) + " is not host:port", `write it as in "localhost:9042"`
	}
	return "", ""
}

func brokerAddress(v string) (string, string) {
	if host, ok := hostPort(v, 1); v != Embedded && (!ok || host == "") {
		return showAddress(v) + " is not host:port", `write it as in "broker1:9092", or "embedded" alone`
	}
	return "", ""
}

// loopback is an address that only this machine reaches, since the embedded
// broker speaks without TLS.
func loopback(v string) (string, string) {
	host, ok := hostPort(v, 0)
	if !ok {
		return show(v) + " is not host:port", fmt.Sprintf("write it as in %q", DefaultEmbeddedListen)
	}
	if !isLoopback(host) {
		return show(v) + " is open to other machines", fmt.Sprintf("write a loopback address, as in %q", DefaultEmbeddedListen)
	}
	return "", ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func listenOrOff(v string) (string, string) {
	if _, ok := hostPort(v, 0); v != "off" && !ok {
		return show(v) + " is not host:port", fmt.Sprintf(`write it as in %q, or "off"`, DefaultAdminListen)
	}
	return "", ""
}

func path(v string) (string, string) {
	if v == "" || strings.ContainsRune(v, 0) {
		return show(v) + " is not a folder's path", "write a path; a relative one begins at this file's folder"
	}
	if v == "~" || strings.HasPrefix(v, "~/") {
		return show(v) + " begins with ~, which only a shell knows", "write the folder out"
	}
	return "", ""
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func variable(v string) (string, string) {
	if !variableName.MatchString(v) {
		return show(v) + " is not the name of an environment variable", `write names alone, as in ["HTTPS_PROXY"]`
	}
	return "", ""
}

var keyHex = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)

// secretRef checks a reference, and quotes nothing of it: someone may have put
// the secret itself behind env: or file:.
func secretRef(s Secret) (string, string) {
	if kind, ref, _ := strings.Cut(string(s), ":"); (kind == "env" || kind == "file") && keyHex.MatchString(ref) {
		return "is a key, not a reference to one", wantSecret
	}
	if name, ok := strings.CutPrefix(string(s), "env:"); ok && !variableName.MatchString(name) {
		return "what follows env: is not the name of an environment variable", `write it as in "env:KAFKA_PASSWORD"`
	}
	if p, ok := strings.CutPrefix(string(s), "file:"); ok && (p == "" || strings.ContainsRune(p, 0)) {
		return "what follows file: is not a path", `write it as in "file:kafka.password"`
	}
	return "", ""
}

var keyspaceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

func keyspace(v string) (string, string) {
	if !keyspaceName.MatchString(v) {
		return show(v) + " is not a keyspace's name", "write up to 48 of the characters a-z 0-9 _, a letter first"
	}
	return "", ""
}

// replicationMap is a CQL map of plain texts and numbers and nothing else, since
// it becomes part of a statement.
var replicationMap = regexp.MustCompile(`^\{\s*'class'\s*:\s*'[A-Za-z.]+'(\s*,\s*'[A-Za-z0-9._-]+'\s*:\s*('[0-9/]+'|[0-9]+))*\s*\}$`)

func replication(v string) (string, string) {
	if !replicationMap.MatchString(v) {
		return show(v) + " is not a replication map", `write it as in "{'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"`
	}
	return "", ""
}
