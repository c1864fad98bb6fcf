package audit

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/IBM/sarama"

	"rrhost/audit/internal/trail"
	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/handler"
	"rrhost/internal/wire"
)

// A decoder makes rows of records. It holds a key only where error texts are to
// be stored readable.
type decoder struct {
	kinds map[string]string // topic to the type of its rows
	ring  *envelope.Ring    // nil: error texts stay sealed
}

// newDecoder knows the topics of cfg: requests, their dead letters, and replies.
func newDecoder(cfg config.Config, ring *envelope.Ring) *decoder {
	d := &decoder{kinds: map[string]string{}, ring: ring}
	for _, reply := range append([]string{cfg.Replies.Topic}, cfg.Replies.Allow...) {
		d.kinds[reply] = trail.Response
	}
	for _, t := range cfg.Topics {
		d.kinds[t.Name] = trail.Request
		d.kinds[wire.DeadLetterTopic(t.Name)] = trail.DeadLetter
	}
	return d
}

// topics are all that are read, sorted.
func (d *decoder) topics() []string {
	all := make([]string, 0, len(d.kinds))
	for t := range d.kinds {
		all = append(all, t)
	}
	slices.Sort(all)
	return all
}

// serves says whether requests of topic are ours.
func (d *decoder) serves(topic string) bool { return d.kinds[topic] == trail.Request }

// row makes a row of a record, without its Time. It returns false for a ping and
// its answer, which no handler sees, and for a reply to a request that isn't ours:
// other hosts share the reply topic. What cannot be read is a row too, of its
// place and status.
func (d *decoder) row(m *sarama.ConsumerMessage) (trail.Row, bool) {
	if op, _ := headerOf(m.Headers, wire.HeaderOp); op == wire.OpPing && d.kinds[m.Topic] != trail.DeadLetter {
		return trail.Row{}, false
	}
	r := trail.Row{
		Type: d.kinds[m.Topic], Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, RecordTime: m.Timestamp.UTC(),
	}
	var err error
	switch r.Type {
	case trail.Request:
		r.RequestTopic = m.Topic
		err = request(&r, m)
		r.Success = true
	case trail.Response:
		topic, named := headerOf(m.Headers, wire.HeaderTopic)
		if named && !d.serves(topic) {
			return trail.Row{}, false
		}
		r.RequestTopic = topic
		err = d.response(&r, m)
	case trail.DeadLetter:
		r.RequestTopic = strings.TrimSuffix(m.Topic, wire.DeadLetterSuffix)
		err = deadLetter(&r, m)
	}
	if err != nil {
		r.Status, r.Error, r.Success = string(wire.StatusMalformed), string(wire.StatusMalformed), false
		r.RequestID = string(wire.RequestIDOf(m.Headers))
	}
	return r, true
}

func request(r *trail.Row, m *sarama.ConsumerMessage) error {
	q, err := wire.DecodeRequest(m)
	if err != nil {
		return err
	}
	r.RequestID, r.ReplyTo, r.ReplyPartition = q.ID, q.ReplyTo, q.ReplyPartition
	r.TimeoutMS, r.SentMS = q.Timeout.Milliseconds(), q.Sent.UnixMilli()
	r.Traceparent, r.Tracestate = q.Traceparent, q.Tracestate
	seal(r, q.Key, q.Payload)
	return nil
}

func (d *decoder) response(r *trail.Row, m *sarama.ConsumerMessage) error {
	p, err := wire.DecodeReply(m)
	if err != nil {
		return err
	}
	r.RequestID, r.RequestTopic, r.Status, r.Success = p.RequestID, p.Topic, string(p.Status), p.Status == wire.StatusOK
	r.Attempt, r.DurationMS, r.Plugin = p.Attempt, p.Duration.Milliseconds(), p.Plugin
	r.Traceparent, r.Tracestate = p.Traceparent, p.Tracestate
	seal(r, p.Key, p.Payload)
	if !r.Success {
		r.Error = d.errorText(r)
	}
	return nil
}

func deadLetter(r *trail.Row, m *sarama.ConsumerMessage) error {
	l, err := wire.DeadLetterOf(m)
	if err != nil {
		return err
	}
	r.RequestTopic, r.Status, r.Error = l.Topic, string(l.Reason), string(l.Reason)
	whole := &sarama.ConsumerMessage{Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Key: l.Key, Value: l.Value, Headers: l.Headers}
	op, _ := headerOf(l.Headers, wire.HeaderOp) // which a row has no place for, and its seal is bound to
	if !l.Whole || op != "" || request(r, whole) != nil {
		r.RequestID = string(wire.RequestIDOf(l.Headers)) // what is in it stays in Kafka
	}
	return nil
}

func seal(r *trail.Row, key, payload []byte) {
	r.Key, r.Payload = key, payload
	if id, ok := envelope.IDOf(payload); ok {
		r.KeyID = id.String()
	}
}

// errorText is what the error column holds: nothing of the author's, unless
// that is configured.
func (d *decoder) errorText(r *trail.Row) string {
	if d.ring == nil || len(r.Payload) == 0 {
		return r.Status
	}
	plain, err := d.ring.Open(nil, r.Payload, r.About())
	if err != nil {
		return r.Status
	}
	var body wire.ErrorBody
	if json.Unmarshal(plain, &body) != nil || body.Message == "" {
		return r.Status
	}
	// A host has cut it, but whoever has the key can seal a reply.
	return handler.CutMessage(body.Message)
}

// headerOf looks for one header without reading the others.
func headerOf(headers []*sarama.RecordHeader, name string) (string, bool) {
	for _, h := range headers[:min(len(headers), wire.MaxHeaders)] {
		if h != nil && string(h.Key) == name {
			return string(h.Value), true
		}
	}
	return "", false
}
