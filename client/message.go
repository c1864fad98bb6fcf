package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// message makes the record of r, sealed.
func (t *transport) message(r *Request, timeout time.Duration, now time.Time) (*sarama.ProducerMessage, error) {
	if len(r.Payload) > t.maxPayload {
		return nil, fmt.Errorf("%w: the payload has %d bytes and may have %d (host.max_payload, here and at the host)", ErrTooLarge, len(r.Payload), t.maxPayload)
	}
	extra, err := extraHeaders(r.Headers)
	if err != nil {
		return nil, err
	}
	op := ""
	if r.Ping {
		if op = wire.OpPing; len(r.Payload) > 0 {
			return nil, fmt.Errorf("%w: a ping has no payload", ErrMalformed)
		}
	}
	req := wire.Request{
		Topic: r.Topic, Key: r.Key, ID: r.ID, Op: op,
		ReplyTo: t.replyTopic, ReplyPartition: t.replies.Partition(),
		// What is below a millisecond waits for one.
		Timeout: max(timeout, time.Millisecond), Sent: now,
		Traceparent: r.Traceparent, Tracestate: r.Tracestate,
	}
	headers, err := t.headers(&req, extra)
	if err != nil {
		return nil, err
	}
	var room [512]byte
	sealed := t.ring.Seal(make([]byte, 0, len(r.Payload)+envelope.Overhead), r.Payload, req.AppendAbout(room[:0]))
	m := &sarama.ProducerMessage{Topic: r.Topic, Value: sarama.ByteEncoder(sealed), Headers: headers}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if size := m.ByteSize(2); size > t.maxRecord {
		return nil, fmt.Errorf("%w: the record has %d bytes with key and headers and may have %d", ErrTooLarge, size, t.maxRecord)
	}
	return m, nil
}

// checkTopic refuses what is no request topic.
func (t *transport) checkTopic(topic string) error {
	switch {
	case !wire.ValidTopic(topic):
		return fmt.Errorf("%w: %q cannot be the name of a topic, which has 1 to 249 of the characters a-z, A-Z, 0-9, . _ and -", ErrMalformed, topic)
	case strings.HasSuffix(topic, wire.DeadLetterSuffix):
		return fmt.Errorf("%w: %s is for dead letters; requests go to %s", ErrMalformed, topic, strings.TrimSuffix(topic, wire.DeadLetterSuffix))
	case topic == t.replyTopic:
		return fmt.Errorf("%w: %s is for replies", ErrMalformed, topic)
	case topic == t.controlTopic:
		return fmt.Errorf("%w: %s is for what hosts announce", ErrMalformed, topic)
	}
	return nil
}

// headers of req. It refuses what a host would, which would leave the caller
// waiting, or with a dead letter.
func (t *transport) headers(req *wire.Request, extra []sarama.RecordHeader) ([]sarama.RecordHeader, error) {
	if req.Timeout > wire.MaxTimeout {
		return nil, fmt.Errorf("%w: the timeout of %s is above %s, the most that a requester may wait", ErrMalformed, req.Timeout, wire.MaxTimeout)
	}
	headers, err := req.ValidHeaders(extra...)
	if errors.Is(err, wire.ErrHeaders) {
		return nil, fmt.Errorf("%w: %w (at most %d with %d bytes, the protocol's own included)", ErrTooLarge, err, wire.MaxHeaders, wire.MaxHeaderBytes)
	}
	return headers, err
}

// extraHeaders are the caller's headers as a record takes them.
func extraHeaders(headers []Header) ([]sarama.RecordHeader, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	out := make([]sarama.RecordHeader, len(headers))
	for i, h := range headers {
		if wire.Reserved(h.Key) {
			return nil, fmt.Errorf("%w: header %s belongs to the protocol", ErrMalformed, h.Key)
		}
		out[i] = sarama.RecordHeader{Key: []byte(h.Key), Value: []byte(h.Value)}
	}
	return out, nil
}
