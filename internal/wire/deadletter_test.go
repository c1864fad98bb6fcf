package wire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// consumed is what a consumer sees of p.
func consumed(t testing.TB, p *sarama.ProducerMessage) *sarama.ConsumerMessage {
	t.Helper()
	bytesOf := func(e sarama.Encoder) []byte {
		if e == nil {
			return nil
		}
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return &sarama.ConsumerMessage{Topic: p.Topic, Key: bytesOf(p.Key), Value: bytesOf(p.Value), Headers: received(p.Headers)}
}

func poison() *sarama.ConsumerMessage {
	m := requestRecord(append(slices.Clone(requestPairs), pair{"x", ""}))
	m.Partition, m.Offset, m.Timestamp = 2, 12345, sent
	return m
}

func TestDeadLetterWhole(t *testing.T) {
	m := poison()
	p := NewDeadLetter(m, StatusMalformed, 1<<20)
	if p.Topic != "calculate.dlq" || p.Topic != DeadLetterTopic(m.Topic) {
		t.Errorf("topic is %q", p.Topic)
	}
	want := append(slices.Clone(requestPairs), pair{"x", ""}, pair{"dlq_reason", "malformed"}, pair{"dlq_topic", "calculate"},
		pair{"dlq_partition", "2"}, pair{"dlq_offset", "12345"}, pair{"dlq_ts", "1790000000123"})
	if got := pairsOf(p.Headers); !slices.Equal(got, want) {
		t.Errorf("headers are %v, want %v", got, want)
	}
	d, err := DeadLetterOf(consumed(t, p))
	if err != nil || d.Reason != StatusMalformed || d.Topic != "calculate" || d.Partition != 2 || d.Offset != 12345 ||
		!d.Timestamp.Equal(sent) || !d.Whole || string(d.Key) != "k" || string(d.Value) != "sealed" || d.SHA256 != sha256.Sum256([]byte("sealed")) {
		t.Errorf("DeadLetterOf = %+v, %v", d, err)
	}
	if !reflect.DeepEqual(d.Headers, m.Headers) {
		t.Errorf("headers are %v, want %v", d.Headers, m.Headers)
	}
}

// TestDeadLetterNullAndEmpty: a dead letter that is sent again must be the same
// record, and the seal is bound to the difference.
func TestDeadLetterNullAndEmpty(t *testing.T) {
	for _, b := range [][]byte{nil, {}, {0}} {
		m := poison()
		m.Key, m.Value, m.Headers, m.Timestamp = b, b, nil, time.Time{}
		p := NewDeadLetter(m, StatusMalformed, 1<<20)
		if (p.Key == nil) != (b == nil) || (p.Value == nil) != (b == nil) {
			t.Errorf("%#v is sent as key %#v, value %#v", b, p.Key, p.Value)
		}
		got := consumed(t, p)
		d, err := DeadLetterOf(got)
		if err != nil || !sameBytes(d.Key, b) || !sameBytes(d.Value, b) || !d.Timestamp.IsZero() || len(d.Headers) != 0 {
			t.Errorf("%#v came back as key %#v, value %#v, time %v, %v", b, d.Key, d.Value, d.Timestamp, err)
		}
	}
}

func TestDeadLetterOverLimit(t *testing.T) {
	large := poison()
	large.Value = bytes.Repeat([]byte("x"), 1000)
	fits := NewDeadLetter(large, StatusReplyNotAllowed, 1<<20).ByteSize(recordVersion)
	many := poison()
	many.Headers = append(many.Headers, headersOf(make([]pair, MaxHeaders)...)...)
	wide := poison()
	wide.Headers = append(wide.Headers, headersOf(pair{"x", strings.Repeat("y", MaxHeaderBytes)})...)
	nameless := poison()
	nameless.Headers = headersOf(make([]pair, 10_000)...)
	key := poison()
	key.Key = make([]byte, 2000)
	tests := []struct {
		name  string
		m     *sarama.ConsumerMessage
		most  int
		whole bool
		id    bool
	}{
		{"just fits", large, fits, true, true},
		{"a byte too large", large, fits - 1, false, true},
		{"no room at all", large, 0, false, true},
		{"large key", key, 1000, false, true},
		{"too many headers", many, 1 << 20, false, true},
		{"too large headers", wide, 1 << 20, false, true},
		{"ten thousand headers", nameless, 1 << 20, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := NewDeadLetter(tt.m, StatusReplyNotAllowed, tt.most)
			d, err := DeadLetterOf(consumed(t, p))
			if err != nil || d.Whole != tt.whole || d.Offset != 12345 || d.Reason != StatusReplyNotAllowed || d.SHA256 != sha256.Sum256(tt.m.Value) {
				t.Fatalf("DeadLetterOf = %+v, %v", d, err)
			}
			if (RequestIDOf(d.Headers) != nil) != tt.id {
				t.Errorf("request id is %q", RequestIDOf(d.Headers))
			}
			if tt.whole {
				return
			}
			if p.Key != nil || p.Value != nil || d.Key != nil || d.Value != nil {
				t.Error("key or value is there all the same")
			}
			if n := p.ByteSize(recordVersion); n > 1000 {
				t.Errorf("it is %d bytes", n)
			}
		})
	}
}

// TestDeadLetterOfDeadLetter: a dead letter that was sent again as it is, and
// failed again, tells of the last time.
func TestDeadLetterOfDeadLetter(t *testing.T) {
	first := consumed(t, NewDeadLetter(poison(), StatusMalformed, 1<<20))
	first.Topic, first.Partition, first.Offset = "echo", 7, 8
	first.Headers = append(first.Headers, headersOf(pair{"dlq_sha256", "not ours"})...)
	d, err := DeadLetterOf(consumed(t, NewDeadLetter(first, StatusUndecryptable, 1<<20)))
	if err != nil || d.Topic != "echo" || d.Partition != 7 || d.Offset != 8 || d.Reason != StatusUndecryptable || !d.Whole ||
		!reflect.DeepEqual(d.Headers, first.Headers) {
		t.Errorf("DeadLetterOf = %+v, %v", d, err)
	}
}

func TestDeadLetterOfMalformed(t *testing.T) {
	whole := consumed(t, NewDeadLetter(poison(), StatusMalformed, 1<<20))
	short := consumed(t, NewDeadLetter(poison(), StatusMalformed, 0))
	tests := []struct {
		base   *sarama.ConsumerMessage
		blames string
		name   string
		value  string
	}{
		{whole, "dlq_reason", "dlq_reason", "ok"},
		{whole, "dlq_reason", "dlq_reason", "because"},
		{whole, "dlq_topic", "dlq_topic", "a b"},
		{whole, "dlq_partition", "dlq_partition", "01"},
		{whole, "dlq_offset", "dlq_offset", "-1"},
		{whole, "dlq_offset", "dlq_offset", "9223372036854775808"},
		{whole, "dlq_ts", "dlq_ts", "-2"},
		{whole, "dlq_ts", "dlq_ts", ""},
		{whole, "dlq_reason", "dlq_ts", "-"},
		{short, "dlq_sha256", "dlq_sha256", "abc"},
		{short, "dlq_sha256", "dlq_sha256", strings.Repeat("A", 64)},
		{short, "dlq_sha256", "dlq_sha256", strings.Repeat("a", 66)},
		{short, "dlq_reason", "dlq_reason", "-"},
	}
	for _, tt := range tests {
		var pairs []pair
		for _, h := range tt.base.Headers {
			pairs = append(pairs, pair{string(h.Key), string(h.Value)})
		}
		m := *tt.base
		m.Headers = headersOf(with(pairs, tt.name, tt.value)...)
		d, err := DeadLetterOf(&m)
		checkMalformed(t, err, badHeader{blames: tt.blames})
		if !reflect.DeepEqual(d, DeadLetter{}) {
			t.Errorf("a malformed dead letter is %+v", d)
		}
	}

	withValue := *short
	withValue.Value = []byte("x")
	_, err := DeadLetterOf(&withValue)
	checkMalformed(t, err, badHeader{blames: "dlq_sha256"})
	_, err = DeadLetterOf(&sarama.ConsumerMessage{})
	checkMalformed(t, err, badHeader{blames: "dlq_reason"})
	_, err = DeadLetterOf(&sarama.ConsumerMessage{Headers: headersOf(make([]pair, 1000)...)})
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("a thousand headers: %v", err)
	}
}

func TestDeadLetterCoordinates(t *testing.T) {
	m := poison()
	m.Partition, m.Offset, m.Timestamp = math.MaxInt32, math.MaxInt64, time.UnixMilli(maxUnixMS)
	for _, most := range []int{0, 1 << 20} {
		d, err := DeadLetterOf(consumed(t, NewDeadLetter(m, StatusMalformed, most)))
		if err != nil || d.Partition != math.MaxInt32 || d.Offset != math.MaxInt64 || d.Timestamp.UnixMilli() != maxUnixMS {
			t.Errorf("DeadLetterOf = %+v, %v", d, err)
		}
	}
}
