package wire

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
)

func TestDecodeRequest(t *testing.T) {
	m := requestRecord(requestPairs)
	got, err := DecodeRequest(m)
	want := Request{
		Topic: "calculate", Key: []byte("k"), ID: id1, ReplyTo: "rr.replies", ReplyPartition: 3, Timeout: 30 * time.Second, Sent: sent,
		Traceparent: requestPairs[5].value, Tracestate: requestPairs[6].value, Payload: []byte("sealed"),
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("DecodeRequest = %+v, %v; want %+v", got, err, want)
	}
	if pairs := pairsOf(got.Headers()); !slices.Equal(pairs, requestPairs) {
		t.Errorf("encodes to %v, want %v", pairs, requestPairs)
	}
	// What was decoded must not change with sarama's buffer.
	for _, h := range m.Headers {
		clear(h.Value)
	}
	if got.ID != id1 || got.ReplyTo != "rr.replies" {
		t.Error("the request shares memory with the record's headers")
	}
}

func TestDecodeRequestVariants(t *testing.T) {
	tests := []struct {
		name  string
		pairs []pair
		check func(Request) bool
	}{
		{"nobody waits", with(with(requestPairs, "reply_to", "-"), "reply_partition", "-"),
			func(r Request) bool { return r.ReplyTo == "" && r.ReplyPartition == 0 }},
		{"a ping", append(slices.Clone(requestPairs), pair{"op", "ping"}), func(r Request) bool { return r.Op == OpPing }},
		{"partition 0", with(requestPairs, "reply_partition", "0"), func(r Request) bool { return r.ReplyPartition == 0 && r.ReplyTo != "" }},
		{"last partition", with(requestPairs, "reply_partition", "2147483647"), func(r Request) bool { return r.ReplyPartition == 1<<31-1 }},
		{"shortest", with(requestPairs, "timeout_ms", "1"), func(r Request) bool { return r.Timeout == time.Millisecond }},
		{"longest", with(requestPairs, "timeout_ms", "86400000"), func(r Request) bool { return r.Timeout == MaxTimeout }},
		{"the epoch", with(requestPairs, "sent_ms", "0"), func(r Request) bool { return r.Sent.UnixMilli() == 0 }},
		{"the end of time", with(requestPairs, "sent_ms", "253402300799999"), func(r Request) bool { return r.Sent.UTC().Year() == 9999 }},
		{"no trace", with(with(requestPairs, "traceparent", "-"), "tracestate", "-"),
			func(r Request) bool { return r.Traceparent == "" && r.Tracestate == "" }},
		{"a long topic", with(requestPairs, "reply_to", strings.Repeat("a", 249)), func(r Request) bool { return len(r.ReplyTo) == 249 }},
		{"strangers, also twice and empty", append(slices.Clone(requestPairs), pair{"x", "1"}, pair{"x", "2"}, pair{"", ""}, pair{"status", "ok"}),
			func(r Request) bool { return r.ID == id1 }},
		{"a name in another case is a stranger", append(slices.Clone(requestPairs), pair{"OP", "x"}), func(r Request) bool { return r.ID == id1 }},
	}
	for _, tt := range tests {
		r, err := DecodeRequest(requestRecord(tt.pairs))
		if err != nil || !tt.check(r) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
	}
}

func TestDecodeRequestMalformed(t *testing.T) {
	for _, bad := range badRequests {
		t.Run(bad.name+"="+bad.value[:min(len(bad.value), 40)], func(t *testing.T) {
			r, err := DecodeRequest(requestRecord(with(requestPairs, bad.name, bad.value)))
			checkMalformed(t, err, bad)
			if r.Payload != nil || r.Timeout != 0 || r.Topic != "calculate" || string(r.Key) != "k" {
				t.Errorf("a malformed request has more than its address: %+v", r)
			}
			if wantID := bad.name != "request_id"; (r.ID == id1) != wantID || !wantID && r.ID != "" {
				t.Errorf("id is %q", r.ID)
			}
			wantAddress := bad.blames != "reply_to" && bad.blames != "reply_partition"
			if (r.ReplyTo == "rr.replies" && r.ReplyPartition == 3) != wantAddress || !wantAddress && (r.ReplyTo != "" || r.ReplyPartition != 0) {
				t.Errorf("address is %q %d", r.ReplyTo, r.ReplyPartition)
			}
		})
	}
}

func TestDecodeRequestTwice(t *testing.T) {
	for _, p := range append(slices.Clone(requestPairs), pair{"op", "ping"}) {
		pairs := with(requestPairs, p.name, p.value)
		r, err := DecodeRequest(requestRecord(append(pairs, p)))
		checkMalformed(t, err, badHeader{blames: p.name})
		if (r.ID == "") != (p.name == "request_id") || (r.ReplyTo == "") != strings.HasPrefix(p.name, "reply_") {
			t.Errorf("%s twice: id %q, address %q", p.name, r.ID, r.ReplyTo)
		}
	}
}

// randomRequest is any request that ValidHeaders takes.
func randomRequest(rng *rand.Rand) Request {
	text := func(alphabet string, most int) string {
		b := make([]byte, 1+rng.IntN(most))
		for i := range b {
			b[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(b)
	}
	maybe := func(s string) string {
		if rng.IntN(2) == 0 {
			return ""
		}
		return s
	}
	const topics = "abcXYZ019_-"
	r := Request{
		Topic: text(topics, maxTopic), ID: uuid.NewString(), Sent: time.UnixMilli(rng.Int64N(maxUnixMS + 1)),
		Timeout:     time.Duration(1+rng.Int64N(maxTimeoutMS)) * time.Millisecond,
		Traceparent: maybe(text(" 0az~-=", maxTrace)), Tracestate: maybe(text(" 0az~-=", maxTrace)), Payload: []byte("sealed"),
	}
	if rng.IntN(4) == 0 {
		r.Op = OpPing
	}
	if rng.IntN(2) == 0 {
		r.ReplyTo, r.ReplyPartition = text(topics, maxTopic), rng.Int32()
	}
	switch rng.IntN(3) {
	case 0:
		r.Key = []byte{}
	case 1:
		r.Key = []byte(text("\x00\xff-", 20))
	}
	return r
}

func TestRequestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := randomRequest(rng)
		if _, err := want.ValidHeaders(); err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		got, err := DecodeRequest(&sarama.ConsumerMessage{Topic: want.Topic, Key: want.Key, Value: want.Payload, Headers: received(want.Headers())})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestRequestExtraHeaders(t *testing.T) {
	r, err := DecodeRequest(requestRecord(requestPairs))
	if err != nil {
		t.Fatal(err)
	}
	extra := sarama.RecordHeader{Key: []byte("tenant"), Value: []byte("7")}
	if _, err := r.ValidHeaders(extra); err != nil {
		t.Error(err)
	}
	if got := pairsOf(r.Headers(extra)); !slices.Equal(got, append(slices.Clone(requestPairs), pair{"tenant", "7"})) {
		t.Errorf("headers are %v", got)
	}
	// Appending to a value must not reach into the next one.
	headers := r.Headers()
	_ = append(headers[0].Value, "overwritten"...)
	if got := pairsOf(headers); !slices.Equal(got, requestPairs) {
		t.Errorf("values share room: %v", got)
	}
}

func TestRequestValidHeaders(t *testing.T) {
	tests := map[string]struct {
		change func(*Request)
		extra  []sarama.RecordHeader
		blames string
	}{
		"topic":              {change: func(r *Request) { r.Topic = "a b" }, blames: "the request topic"},
		"id":                 {change: func(r *Request) { r.ID = "x" }, blames: "request_id"},
		"op":                 {change: func(r *Request) { r.Op = "cancel" }, blames: "op"},
		"no timeout":         {change: func(r *Request) { r.Timeout = 0 }, blames: "timeout_ms"},
		"under 1 ms":         {change: func(r *Request) { r.Timeout = time.Microsecond }, blames: "timeout_ms"},
		"too long":           {change: func(r *Request) { r.Timeout = MaxTimeout + 1 }, blames: "timeout_ms"},
		"never sent":         {change: func(r *Request) { r.Sent = time.Time{} }, blames: "sent_ms"},
		"reply topic":        {change: func(r *Request) { r.ReplyTo = "/" }, blames: "reply_to"},
		"no reply topic":     {change: func(r *Request) { r.ReplyTo = "" }, blames: "reply_partition"},
		"partition":          {change: func(r *Request) { r.ReplyPartition = -1 }, blames: "reply_partition"},
		"traceparent":        {change: func(r *Request) { r.Traceparent = "\n" }, blames: "traceparent"},
		"tracestate":         {change: func(r *Request) { r.Tracestate = "\n" }, blames: "tracestate"},
		"one of ours":        {extra: []sarama.RecordHeader{{Key: []byte("op"), Value: []byte("x")}}, blames: "op"},
		"too many":           {extra: make([]sarama.RecordHeader, MaxHeaders), blames: "headers"},
		"too large together": {extra: []sarama.RecordHeader{{Value: make([]byte, MaxHeaderBytes)}}, blames: "headers"},
	}
	for name, tt := range tests {
		r, err := DecodeRequest(requestRecord(requestPairs))
		if err != nil {
			t.Fatal(err)
		}
		if tt.change != nil {
			tt.change(&r)
		}
		_, err = r.ValidHeaders(tt.extra...)
		if !errors.Is(err, ErrMalformed) || !strings.HasPrefix(err.Error(), "malformed: "+tt.blames+" ") {
			t.Errorf("%s: %v, want %s blamed", name, err, tt.blames)
		}
	}
}

// TestRequestAbout: each bound field changes what the seal is bound to, and no
// two requests have the same.
func TestRequestAbout(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	seen := map[string]bool{}
	for range 1000 {
		r := randomRequest(rng)
		about := string(r.AppendAbout([]byte("dst")))
		if !strings.HasPrefix(about, "dst\x00\x00\x00\x07request\x00\x00") {
			t.Fatalf("about begins %q", about[:20])
		}
		if seen[about] {
			t.Fatal("two requests have one about")
		}
		seen[about] = true
		r.Traceparent, r.Tracestate, r.Payload = "x", "y", nil
		if string(r.AppendAbout([]byte("dst"))) != about {
			t.Error("trace context or payload is bound")
		}
	}
}
