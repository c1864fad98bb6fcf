package client

import (
	"testing"

	"github.com/IBM/sarama"

	"rrhost/internal/wire"
)

// FuzzReceive is a stranger with write access to the reply topic and without
// the key. Whatever he sends, no call ends with a reply that is believed.
func FuzzReceive(f *testing.F) {
	const id = "3f2b8a52-6f0e-4c5e-9a5d-0d7c2b1e4f60"
	for _, s := range wire.Statuses() {
		f.Add(id, testTopic, string(s), "1", "3", "calculate v1", "", []byte("sealed?"), false)
		f.Add(id, testTopic, string(s), "1", "3", "", "", []byte{}, true)
	}
	f.Add(id, "elsewhere", "ok", "1", "3", "", "status", []byte("x"), false)
	f.Add("3f2b8a52-6f0e-4c5e-9a5d-0d7c2b1e4f61", testTopic, "ok", "-1", "", "", "", []byte(nil), false)
	f.Add("", "", "", "", "", "", "", []byte(nil), false)

	ring, stranger := ringOf(f), ringOf(f)
	f.Fuzz(func(t *testing.T, requestID, topic, status, attempt, duration, plugin, extra string, value []byte, sealed bool) {
		tr := &transport{ring: ring, pending: newPending()}
		c := &call{topic: testTopic, outcome: make(chan outcome, 1)}
		if _, err := tr.pending.add(id, c); err != nil {
			t.Fatal(err)
		}
		if sealed {
			r := wire.Reply{Topic: topic, RequestID: requestID, Status: wire.Status(status), Plugin: plugin}
			value = stranger.Seal(nil, value, r.AppendAbout(nil))
		}
		m := &sarama.ConsumerMessage{Value: value}
		for _, h := range [][2]string{
			{wire.HeaderRequestID, requestID}, {wire.HeaderTopic, topic}, {wire.HeaderStatus, status}, {wire.HeaderAttempt, attempt},
			{wire.HeaderDurationMS, duration}, {wire.HeaderPlugin, plugin}, {extra, status},
		} {
			m.Headers = append(m.Headers, &sarama.RecordHeader{Key: []byte(h[0]), Value: []byte(h[1])})
		}
		tr.receive(m)
		select {
		case o := <-c.outcome:
			if o.reply.Status.Authenticated() || len(o.reply.Payload) > 0 || StatusOf(o.err) != o.reply.Status {
				t.Errorf("believed %+v, %v", o.reply, o.err)
			}
		default:
			if tr.pending.len() != 1 {
				t.Error("the call is gone without an outcome")
			}
		}
	})
}
