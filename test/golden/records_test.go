// Package golden holds what others have built or written with an earlier rrhost,
// and tests that this one still takes it: a plugin, records of requests and
// replies, a trail. Files here are not made anew: they are what is out there.
package golden

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// records is testdata/records-v1.json: what a requester and a host of wire version
// 1 have written to Kafka, byte by byte.
type records struct {
	Note     []string `json:"note"`
	Key      string   `json:"key"`
	Requests []record `json:"requests"`
	Replies  []record `json:"replies"`
}

type record struct {
	Name  string `json:"name"`
	Topic string `json:"topic"`
	// Key and Value are hex; Key is null where the record has none.
	Key     *string     `json:"key"`
	Headers [][2]string `json:"headers"`
	Value   string      `json:"value"`
	// Plain is what was sealed.
	Plain string `json:"plain"`
}

func readRecords(t *testing.T) (records, *envelope.Ring) {
	t.Helper()
	text, err := os.ReadFile("testdata/records-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var all records
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Requests) == 0 || len(all.Replies) == 0 {
		t.Fatal("there are no records")
	}
	key, err := envelope.ParseKey(all.Key)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := envelope.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	return all, ring
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// message is a record as a consumer gets it.
func (r record) message(t *testing.T) *sarama.ConsumerMessage {
	t.Helper()
	m := &sarama.ConsumerMessage{Topic: r.Topic, Timestamp: time.Now(), Value: unhex(t, r.Value)}
	if r.Key != nil {
		m.Key = unhex(t, *r.Key)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, &sarama.RecordHeader{Key: []byte(h[0]), Value: []byte(h[1])})
	}
	return m
}

func (r record) header(name string) string {
	for _, h := range r.Headers {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

func TestOldRequestsAreRead(t *testing.T) {
	all, ring := readRecords(t)
	for _, r := range all.Requests {
		t.Run(r.Name, func(t *testing.T) {
			req, err := wire.DecodeRequest(r.message(t))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := ring.Open(nil, req.Payload, req.AppendAbout(nil))
			if err != nil || string(plain) != r.Plain {
				t.Errorf("opened: %q, %v; want %q", plain, err, r.Plain)
			}
			if req.ID != r.header(wire.HeaderRequestID) || req.ReplyTo != r.header(wire.HeaderReplyTo) || req.Traceparent != r.header(wire.HeaderTraceparent) {
				t.Errorf("read: %+v", req)
			}
		})
	}
}

func TestOldRepliesAreRead(t *testing.T) {
	all, ring := readRecords(t)
	for _, r := range all.Replies {
		t.Run(r.Name, func(t *testing.T) {
			reply, err := wire.DecodeReply(r.message(t))
			if err != nil {
				t.Fatal(err)
			}
			if string(reply.Status) != r.header(wire.HeaderStatus) || reply.RequestID != r.header(wire.HeaderRequestID) {
				t.Errorf("read: %+v", reply)
			}
			if !reply.Status.Authenticated() {
				if r.Plain != "" || len(reply.Payload) > 0 {
					t.Errorf("a reply that is not sealed has a body")
				}
				return
			}
			plain, err := ring.Open(nil, reply.Payload, reply.AppendAbout(nil))
			if err != nil || !bytes.Equal(plain, []byte(r.Plain)) {
				t.Errorf("opened: %q, %v; want %q", plain, err, r.Plain)
			}
		})
	}
}
