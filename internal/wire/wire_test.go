package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

const (
	id1 = "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c11"
	id2 = "00000000-0000-4000-b000-000000000000"
)

// pair is a header as tests write it.
type pair struct{ name, value string }

func headersOf(pairs ...pair) []*sarama.RecordHeader {
	var list []*sarama.RecordHeader
	for _, p := range pairs {
		list = append(list, &sarama.RecordHeader{Key: []byte(p.name), Value: []byte(p.value)})
	}
	return list
}

func pairsOf(headers []sarama.RecordHeader) []pair {
	var list []pair
	for _, h := range headers {
		list = append(list, pair{string(h.Key), string(h.Value)})
	}
	return list
}

// received is what a consumer sees of headers that were sent.
func received(headers []sarama.RecordHeader) []*sarama.RecordHeader {
	return headersOf(pairsOf(headers)...)
}

// with returns pairs with one of them changed, added or, for "-", taken out.
func with(pairs []pair, name, value string) []pair {
	out := slices.Clone(pairs)
	at := slices.IndexFunc(out, func(p pair) bool { return p.name == name })
	switch {
	case value == "-":
		return slices.Delete(out, at, at+1)
	case at < 0:
		return append(out, pair{name, value})
	}
	out[at].value = value
	return out
}

var requestPairs = []pair{
	{"request_id", id1}, {"reply_to", "rr.replies"}, {"reply_partition", "3"}, {"timeout_ms", "30000"}, {"sent_ms", "1790000000123"},
	{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, {"tracestate", "rojo=00f067aa0ba902b7, congo=t61"},
}

var replyPairs = []pair{
	{"request_id", id1}, {"topic", "calculate"}, {"status", "ok"}, {"attempt", "1"}, {"duration_ms", "12"}, {"plugin", "calculate 1.2.0"},
	{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, {"tracestate", "rojo=00f067aa0ba902b7, congo=t61"},
}

func requestRecord(pairs []pair) *sarama.ConsumerMessage {
	return &sarama.ConsumerMessage{Topic: "calculate", Key: []byte("k"), Value: []byte("sealed"), Headers: headersOf(pairs...)}
}

func replyRecord(pairs []pair) *sarama.ConsumerMessage {
	return &sarama.ConsumerMessage{Topic: "rr.replies", Value: []byte("sealed"), Headers: headersOf(pairs...)}
}

// A badHeader is one change that makes a good record malformed, and the header
// that the error must name.
type badHeader struct{ name, value, blames string }

var badRequests = []badHeader{
	{"request_id", "-", "request_id"},
	{"request_id", "", "request_id"},
	{"request_id", strings.ToUpper(id1), "request_id"},
	{"request_id", "{" + id1 + "}", "request_id"},
	{"request_id", "urn:uuid:" + id1, "request_id"},
	{"request_id", strings.ReplaceAll(id1, "-", ""), "request_id"},
	{"request_id", "6f1c1f0a-3b52-1a1e-9c3d-0d8a5f3b2c11", "request_id"}, // version 1
	{"request_id", "6f1c1f0a-3b52-4a1e-cc3d-0d8a5f3b2c11", "request_id"}, // another variant
	{"request_id", "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c1g", "request_id"},
	{"request_id", "6f1c1f0a+3b52-4a1e-9c3d-0d8a5f3b2c11", "request_id"},
	{"request_id", id1 + " ", "request_id"},
	{"op", "", "op"},
	{"op", "cancel", "op"},
	{"op", "PING", "op"},
	{"op", "ping ", "op"},
	{"reply_to", "-", "reply_partition"},
	{"reply_to", "", "reply_to"},
	{"reply_to", ".", "reply_to"},
	{"reply_to", "..", "reply_to"},
	{"reply_to", "a/b", "reply_to"},
	{"reply_to", "ответы", "reply_to"},
	{"reply_to", strings.Repeat("a", 250), "reply_to"},
	{"reply_partition", "-", "reply_partition"},
	{"reply_partition", "-1", "reply_partition"},
	{"reply_partition", "2147483648", "reply_partition"},
	{"reply_partition", "03", "reply_partition"},
	{"timeout_ms", "-", "timeout_ms"},
	{"timeout_ms", "", "timeout_ms"},
	{"timeout_ms", "0", "timeout_ms"},
	{"timeout_ms", "00", "timeout_ms"},
	{"timeout_ms", "+1", "timeout_ms"},
	{"timeout_ms", "1.0", "timeout_ms"},
	{"timeout_ms", "1e3", "timeout_ms"},
	{"timeout_ms", " 1", "timeout_ms"},
	{"timeout_ms", "1\n", "timeout_ms"},
	{"timeout_ms", "０", "timeout_ms"}, // a digit elsewhere
	{"timeout_ms", "86400001", "timeout_ms"},
	{"timeout_ms", "9223372036854775808", "timeout_ms"},
	{"timeout_ms", "9999999999999999999", "timeout_ms"},
	{"timeout_ms", "18446744073709551617", "timeout_ms"}, // 1, had it wrapped
	{"sent_ms", "-", "sent_ms"},
	{"sent_ms", "-1", "sent_ms"},
	{"sent_ms", "253402300800000", "sent_ms"},
	{"traceparent", "", "traceparent"},
	{"traceparent", "00\n01", "traceparent"},
	{"tracestate", "é", "tracestate"},
	{"tracestate", strings.Repeat("a", 2049), "tracestate"},
}

var badReplies = []badHeader{
	{"request_id", "-", "request_id"},
	{"request_id", strings.ToUpper(id1), "request_id"},
	{"op", "", "op"},
	{"op", "cancel", "op"},
	{"topic", "-", "topic"},
	{"topic", "", "topic"},
	{"topic", "a b", "topic"},
	{"status", "-", "status"},
	{"status", "", "status"},
	{"status", "OK", "status"},
	{"status", "fine", "status"},
	{"status", "reply_not_allowed", "status"},
	{"status", "undecryptable", "status"}, // has a value
	{"status", "malformed", "status"},
	{"attempt", "-", "attempt"},
	{"attempt", "-1", "attempt"},
	{"attempt", "2147483648", "attempt"},
	{"duration_ms", "-", "duration_ms"},
	{"duration_ms", "1.5", "duration_ms"},
	{"duration_ms", "2147483648", "duration_ms"},
	{"plugin", "", "plugin"},
	{"plugin", "a\nb", "plugin"},
	{"plugin", "a\xffb", "plugin"},
	{"plugin", "a\u202eb", "plugin"},
	{"plugin", strings.Repeat("a", 257), "plugin"},
	{"traceparent", "", "traceparent"},
	{"tracestate", "\x00", "tracestate"},
}

// checkMalformed checks what all errors of decoding promise.
func checkMalformed(t *testing.T, err error, bad badHeader) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), "malformed: "+bad.blames+" ") {
		t.Errorf("error is %v, want one that blames %s", err, bad.blames)
		return
	}
	if problem := strings.TrimPrefix(err.Error(), "malformed: "); len(bad.value) > 2 && strings.Contains(problem, bad.value) {
		t.Errorf("error quotes the value: %v", err)
	}
}

func TestRequestIDOf(t *testing.T) {
	many := make([]pair, MaxHeaders)
	tests := []struct {
		name  string
		pairs []pair
		want  string
	}{
		{"none", nil, ""},
		{"first", []pair{{"request_id", id1}, {"topic", "x"}}, id1},
		{"last", []pair{{"topic", "x"}, {"request_id", id2}}, id2},
		{"not canonical", []pair{{"request_id", strings.ToUpper(id1)}}, ""},
		{"other case", []pair{{"Request_ID", id1}}, ""},
		{"beyond the bound", append(many, pair{"request_id", id1}), ""},
	}
	for _, tt := range tests {
		if got := RequestIDOf(headersOf(tt.pairs...)); string(got) != tt.want || (got == nil) != (tt.want == "") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := RequestIDOf([]*sarama.RecordHeader{nil}); got != nil {
		t.Errorf("of a hole: %q", got)
	}
}

// TestBounds is of what is checked before anything is looked at.
func TestBounds(t *testing.T) {
	size := 0
	for _, p := range requestPairs {
		size += len(p.name) + len(p.value)
	}
	strangers := func(n int) []pair { return append(slices.Clone(requestPairs), make([]pair, n)...) }
	filled := func(n int) []pair {
		return append(slices.Clone(requestPairs), pair{"x", strings.Repeat("y", n-1-size)})
	}
	tests := []struct {
		name  string
		pairs []pair
		ok    bool
	}{
		{"as many as may be", strangers(MaxHeaders - len(requestPairs)), true},
		{"one too many", strangers(MaxHeaders - len(requestPairs) + 1), false},
		{"ten thousand", strangers(10_000), false},
		{"as large as may be", filled(MaxHeaderBytes), true},
		{"a byte too large", filled(MaxHeaderBytes + 1), false},
		{"a megabyte", filled(1 << 20), false},
	}
	for _, tt := range tests {
		r, err := DecodeRequest(requestRecord(tt.pairs))
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !tt.ok {
			checkMalformed(t, err, badHeader{blames: "headers"})
			if r.Topic != "calculate" || r.ID != "" || r.Payload != nil {
				t.Errorf("%s: headers over the bounds were read: %+v", tt.name, r)
			}
		}
	}
	hole := requestRecord(requestPairs)
	hole.Headers = append(hole.Headers, nil)
	_, err := DecodeRequest(hole)
	checkMalformed(t, err, badHeader{blames: "headers"})
}

// TestBoundsAllocateLittle: a header bomb costs its sender more than us.
func TestBoundsAllocateLittle(t *testing.T) {
	bomb := requestRecord(make([]pair, 100_000))
	if n := testing.AllocsPerRun(10, func() { DecodeRequest(bomb) }); n > 10 {
		t.Errorf("refusing it allocates %v times", n)
	}
}

func TestPluginText(t *testing.T) {
	tests := []struct{ name, version, want string }{
		{"calculate", "1.2.0", "calculate 1.2.0"},
		{"calculate", "", "calculate"},
		{"a\nb", "\x001\xff", "a_b _1_"},
		{"ключ", "1", "ключ 1"},
		{strings.Repeat("ш", 200), "1", strings.Repeat("ш", 128)},
		{strings.Repeat("a", 255) + "ш", "", strings.Repeat("a", 255)},
	}
	for _, tt := range tests {
		got := PluginText(tt.name, tt.version)
		if got != tt.want {
			t.Errorf("PluginText(%q, %q) = %q, want %q", tt.name, tt.version, got, tt.want)
		}
		if !validPlugin([]byte(got)) {
			t.Errorf("PluginText(%q, %q) is no plugin header", tt.name, tt.version)
		}
	}
}

func TestStatusTable(t *testing.T) {
	seen := map[Status]bool{}
	for _, row := range statusTable {
		if seen[row.Status] || row.Status == "" || row.Meaning == "" || !row.Reply && !row.DeadLetter {
			t.Errorf("row %+v is no good", row)
		}
		seen[row.Status] = true
		if row.Status.Valid() != row.Reply || row.Status.ExitCode() != row.ExitCode || row.Status.Authenticated() != row.Authenticated {
			t.Errorf("%s does not say what its row says", row.Status)
		}
		if (row.ExitCode == 0) != (row.Status == StatusOK) {
			t.Errorf("%s exits with %d", row.Status, row.ExitCode)
		}
	}
	for _, s := range []Status{"", "OK", "ok ", "unknown"} {
		if s.Valid() || s.ExitCode() != 1 || s.Authenticated() {
			t.Errorf("%q passes for a status", s)
		}
	}
	if got := len(Statuses()); got != 11 {
		t.Errorf("%d statuses of replies, want 11", got)
	}
	if got := Reasons(); !slices.Equal(got, []Status{StatusPluginCrashed, StatusUndecryptable, StatusMalformed, StatusReplyNotAllowed}) {
		t.Errorf("reasons of dead letters are %v", got)
	}
}

// sameBytes also tells nil from empty.
func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

var sent = time.UnixMilli(1_790_000_000_123)

func TestIsPing(t *testing.T) {
	tests := []struct {
		name  string
		pairs []pair
		want  bool
	}{
		{"a request", requestPairs, false},
		{"a ping", append([]pair{{"x", "ping"}, {"op", OpPing}}, requestPairs...), true},
		{"another op", []pair{{"op", "pong"}}, false},
		{"twice, which is malformed", []pair{{"op", "pong"}, {"op", OpPing}}, false},
		{"beyond the bound", append(make([]pair, MaxHeaders), pair{"op", OpPing}), false},
		{"nothing", nil, false},
	}
	for _, tt := range tests {
		if got := IsPing(headersOf(tt.pairs...)); got != tt.want {
			t.Errorf("%s: IsPing = %v, want %v", tt.name, got, tt.want)
		}
	}
	if IsPing([]*sarama.RecordHeader{nil}) {
		t.Error("no header is a ping")
	}
}

func TestReserved(t *testing.T) {
	for _, names := range [][]string{requestNames[:], replyNames[:], dlqNames[:], {"dlq_later"}} {
		for _, name := range names {
			if !Reserved(name) {
				t.Errorf("%s is a name for a caller's header", name)
			}
		}
	}
	for _, name := range []string{"", "note", "Topic", "request_id2"} {
		if Reserved(name) {
			t.Errorf("%q is the protocol's", name)
		}
	}
}
