package wire

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
)

func TestDecodeReply(t *testing.T) {
	m := replyRecord(replyPairs)
	got, err := DecodeReply(m)
	want := Reply{
		Topic: "calculate", RequestID: id1, Status: StatusOK, Attempt: 1, Duration: 12 * time.Millisecond, Plugin: "calculate 1.2.0",
		Traceparent: replyPairs[6].value, Tracestate: replyPairs[7].value, Payload: []byte("sealed"),
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("DecodeReply = %+v, %v; want %+v", got, err, want)
	}
	if pairs := pairsOf(got.Headers()); !slices.Equal(pairs, replyPairs) {
		t.Errorf("encodes to %v, want %v", pairs, replyPairs)
	}
	for _, h := range m.Headers {
		clear(h.Value)
	}
	if got.RequestID != id1 || got.Plugin != "calculate 1.2.0" {
		t.Error("the reply shares memory with the record's headers")
	}
}

func TestDecodeReplyStatuses(t *testing.T) {
	for _, s := range Statuses() {
		m := replyRecord(with(with(replyPairs, "status", string(s)), "plugin", "-"))
		if !s.Authenticated() {
			m.Value = nil
		}
		r, err := DecodeReply(m)
		if err != nil || r.Status != s || r.Plugin != "" {
			t.Errorf("%s: %+v, %v", s, r, err)
		}
	}
}

func TestDecodeReplyMalformed(t *testing.T) {
	for _, bad := range badReplies {
		t.Run(bad.name+"="+bad.value[:min(len(bad.value), 40)], func(t *testing.T) {
			r, err := DecodeReply(replyRecord(with(replyPairs, bad.name, bad.value)))
			checkMalformed(t, err, bad)
			if !reflect.DeepEqual(r, Reply{}) {
				t.Errorf("a malformed reply is %+v", r)
			}
		})
	}
	for _, p := range replyPairs {
		_, err := DecodeReply(replyRecord(append(slices.Clone(replyPairs), p)))
		checkMalformed(t, err, badHeader{blames: p.name})
	}
	_, err := DecodeReply(replyRecord(make([]pair, MaxHeaders+1)))
	checkMalformed(t, err, badHeader{blames: "headers"})
}

func randomReply(rng *rand.Rand) Reply {
	statuses := Statuses()
	r := Reply{
		Topic: "calculate", RequestID: uuid.NewString(), Status: statuses[rng.IntN(len(statuses))],
		Attempt: int(rng.Int32()), Duration: time.Duration(rng.Int32()) * time.Millisecond,
	}
	if rng.IntN(4) == 0 {
		r.Op = OpPing
	}
	if rng.IntN(2) == 0 {
		r.Plugin = PluginText("naïve\n", strings.Repeat("1", rng.IntN(300)))
	}
	if rng.IntN(2) == 0 {
		r.Key = []byte("k")[:rng.IntN(2)]
	}
	if rng.IntN(2) == 0 {
		r.Traceparent, r.Tracestate = strings.Repeat("0", maxTrace), strings.Repeat("~", maxTrace)
	}
	if r.Status.Authenticated() {
		r.Payload = []byte("sealed")
	}
	return r
}

func TestReplyRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	abouts := map[string]bool{}
	for range 2000 {
		want := randomReply(rng)
		got, err := DecodeReply(&sarama.ConsumerMessage{Topic: "rr.replies", Key: want.Key, Value: want.Payload, Headers: received(want.Headers())})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded %+v, %v; want %+v", got, err, want)
		}
		about := string(got.AppendAbout([]byte("dst")))
		if !strings.HasPrefix(about, "dst\x00\x00\x00\x05reply\x00\x00") || abouts[about] {
			t.Fatalf("about %q is no good or not the only one", about)
		}
		abouts[about] = true
	}
}

// TestReplyStaysInBounds: the largest reply that a host may have to send is one
// that a client reads.
func TestReplyStaysInBounds(t *testing.T) {
	long := strings.Repeat("a", maxTopic)
	r := Reply{
		Topic: long, RequestID: id1, Status: StatusPluginUnavailable, Attempt: maxAttempt, Duration: maxDurationMS * time.Millisecond,
		Plugin: strings.Repeat("p", maxPlugin), Traceparent: strings.Repeat("0", maxTrace), Tracestate: strings.Repeat("0", maxTrace),
	}
	if _, err := DecodeReply(&sarama.ConsumerMessage{Headers: received(r.Headers())}); err != nil {
		t.Error(err)
	}
}

// TestReplyOddNumbers: what the wire has no room for is bent in headers and in
// what the seal is bound to alike.
func TestReplyOddNumbers(t *testing.T) {
	for _, r := range []Reply{
		{Attempt: -1, Duration: -time.Second},
		{Attempt: 1 << 40, Duration: 1 << 62},
		{Attempt: 1, Duration: 12*time.Millisecond + 999*time.Microsecond},
	} {
		r.Topic, r.RequestID, r.Status = "t", id1, StatusOK
		got, err := DecodeReply(&sarama.ConsumerMessage{Headers: received(r.Headers())})
		if err != nil || string(got.AppendAbout(nil)) != string(r.AppendAbout(nil)) {
			t.Errorf("%+v: decoded %+v, %v, bound to something else", r, got, err)
		}
	}
}

func TestErrorBodyJSON(t *testing.T) {
	for _, tt := range []struct {
		body ErrorBody
		want string
	}{
		{ErrorBody{Code: "c", Message: "m"}, `{"code":"c","message":"m"}`},
		{ErrorBody{Code: "c", Message: "m", Details: json.RawMessage(`{"b":0}`)}, `{"code":"c","message":"m","details":{"b":0}}`},
	} {
		got, err := json.Marshal(tt.body)
		if err != nil || string(got) != tt.want {
			t.Errorf("JSON is %s, %v; want %s", got, err, tt.want)
		}
	}
}
