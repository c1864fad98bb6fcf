package wire

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/IBM/sarama"
)

// packed writes headers as one byte string that a fuzzer can change: each name
// and value after one byte of length.
func packed(pairs []pair) []byte {
	var out []byte
	for _, p := range pairs {
		for _, s := range []string{p.name, p.value} {
			s = s[:min(len(s), 255)]
			out = append(append(out, byte(len(s))), s...)
		}
	}
	return out
}

func unpacked(b []byte) []*sarama.RecordHeader {
	next := func() []byte {
		if len(b) == 0 {
			return nil
		}
		n := min(int(b[0]), len(b)-1)
		s := b[1 : 1+n]
		b = b[1+n:]
		return s
	}
	var list []*sarama.RecordHeader
	for len(b) > 0 {
		list = append(list, &sarama.RecordHeader{Key: next(), Value: next()})
	}
	return list
}

// ownPairs returns the headers with the given names, in the order of the names.
func ownPairs(headers []*sarama.RecordHeader, names []string) []pair {
	var list []pair
	for _, name := range names {
		for _, h := range headers {
			if string(h.Key) == name {
				list = append(list, pair{name, string(h.Value)})
			}
		}
	}
	return list
}

// safeError is what an error of decoding may look like: words of ours only.
var safeError = regexp.MustCompile(`^malformed: [a-z_0-9]+ [a-zA-Z0-9,_ ]+$`)

func checkError(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrMalformed) || !safeError.MatchString(err.Error()) {
		t.Errorf("error is %q", err)
	}
}

func addSeeds(f *testing.F, good []pair, bad []badHeader, add func([]pair)) {
	if len(good) == 0 || len(bad) == 0 {
		f.Fatal("no records to begin with: the corpus must not vanish in silence")
	}
	add(good)
	add(nil)
	add(make([]pair, MaxHeaders+1))
	add(append(slices.Clone(good), pair{"x", "y"}, pair{"x", "y"}))
	for _, b := range bad {
		add(with(good, b.name, b.value))
	}
	for _, p := range good {
		add(append(slices.Clone(good), p))
		add(with(good, p.name, "-"))
	}
}

// FuzzDecodeRequest: what decodes encodes to the headers it came from, and what
// does not says which header is at fault and nothing of its value.
func FuzzDecodeRequest(f *testing.F) {
	addSeeds(f, requestPairs, badRequests, func(p []pair) {
		f.Add("calculate", []byte("k"), []byte("sealed"), packed(p))
		f.Add("t", []byte{}, []byte{}, packed(p))
	})
	f.Add("t", []byte(nil), []byte(nil), packed(with(with(requestPairs, "reply_to", "-"), "reply_partition", "-")))
	f.Add("t", []byte(nil), []byte("sealed"), packed(with(requestPairs, "op", OpPing)))
	f.Fuzz(func(t *testing.T, topic string, key, value, headers []byte) {
		m := &sarama.ConsumerMessage{Topic: topic, Key: key, Value: value, Headers: unpacked(headers)}
		r, err := DecodeRequest(m)
		if r.Topic != topic || !sameBytes(r.Key, key) {
			t.Errorf("topic %q, key %#v", r.Topic, r.Key)
		}
		if r.ID != "" && !ValidID(r.ID) || r.ReplyTo != "" && !validTopic(r.ReplyTo) || r.ReplyPartition < 0 {
			t.Errorf("not canonical: %+v", r)
		}
		if err != nil {
			checkError(t, err)
			if r.Payload != nil || r.Timeout != 0 || !r.Sent.IsZero() || r.Traceparent != "" || r.Tracestate != "" {
				t.Errorf("malformed, but has %+v", r)
			}
			return
		}
		if r.ID == "" || string(RequestIDOf(m.Headers)) != r.ID || !sameBytes(r.Payload, value) {
			t.Errorf("decoded %+v", r)
		}
		if validTopic(topic) {
			if _, err := r.ValidHeaders(); err != nil {
				t.Errorf("what was decoded is not valid: %v", err)
			}
		}
		again := r.Headers()
		if want := ownPairs(m.Headers, requestNames[:]); !slices.Equal(pairsOf(again), want) {
			t.Errorf("encodes to %q, want %q", pairsOf(again), want)
		}
		second, err := DecodeRequest(&sarama.ConsumerMessage{Topic: topic, Key: key, Headers: received(again)})
		if err != nil || !bytes.Equal(second.AppendAbout(nil), r.AppendAbout(nil)) {
			t.Errorf("a second time: %+v, %v", second, err)
		}
	})
}

// FuzzDecodeReply holds replies to the same.
func FuzzDecodeReply(f *testing.F) {
	addSeeds(f, replyPairs, badReplies, func(p []pair) {
		f.Add([]byte("k"), []byte("sealed"), packed(p))
		f.Add([]byte{}, []byte{}, packed(p))
	})
	f.Add([]byte(nil), []byte("sealed"), packed(with(replyPairs, "op", OpPing)))
	for _, s := range Statuses() {
		f.Add([]byte(nil), []byte(nil), packed(with(with(replyPairs, "status", string(s)), "plugin", "-")))
	}
	f.Fuzz(func(t *testing.T, key, value, headers []byte) {
		m := &sarama.ConsumerMessage{Topic: "rr.replies", Key: key, Value: value, Headers: unpacked(headers)}
		r, err := DecodeReply(m)
		if err != nil {
			checkError(t, err)
			return
		}
		if string(RequestIDOf(m.Headers)) != r.RequestID || !r.Status.Valid() || !sameBytes(r.Key, key) || !sameBytes(r.Payload, value) ||
			!r.Status.Authenticated() && len(r.Payload) > 0 {
			t.Errorf("decoded %+v", r)
		}
		again := r.Headers()
		if want := ownPairs(m.Headers, replyNames[:]); !slices.Equal(pairsOf(again), want) {
			t.Errorf("encodes to %q, want %q", pairsOf(again), want)
		}
		second, err := DecodeReply(&sarama.ConsumerMessage{Key: key, Headers: received(again)})
		if err != nil || !bytes.Equal(second.AppendAbout(nil), r.AppendAbout(nil)) {
			t.Errorf("a second time: %+v, %v", second, err)
		}
	})
}

// FuzzDeadLetter: any record becomes a dead letter within the limit, from which
// it can be had back.
func FuzzDeadLetter(f *testing.F) {
	addSeeds(f, requestPairs, badRequests, func(p []pair) {
		f.Add([]byte("k"), []byte("sealed"), packed(p), int32(2), int64(12345), int64(1790000000123), 1<<20)
		f.Add([]byte{}, []byte(nil), packed(p), int32(0), int64(0), int64(-1), 500)
	})
	f.Add([]byte(nil), []byte("v"), packed([]pair{{"dlq_sha256", "x"}}), int32(1), int64(1), int64(1), 1<<20)
	f.Fuzz(func(t *testing.T, key, value, headers []byte, partition int32, offset, ts int64, most int) {
		m := &sarama.ConsumerMessage{Topic: "calculate", Key: key, Value: value, Headers: unpacked(headers)}
		m.Partition, m.Offset = max(partition, 0), max(offset, 0)
		if ts >= 0 {
			m.Timestamp = sent.AddDate(0, 0, int(ts%100_000))
		}
		p := NewDeadLetter(m, StatusMalformed, most)
		d, err := DeadLetterOf(consumed(t, p))
		if err != nil || d.Reason != StatusMalformed || d.Topic != "calculate" || d.Partition != m.Partition || d.Offset != m.Offset ||
			!d.Timestamp.Equal(m.Timestamp) {
			t.Fatalf("DeadLetterOf = %+v, %v", d, err)
		}
		if size := p.ByteSize(recordVersion); d.Whole && size > most || !d.Whole && size > 1000 {
			t.Errorf("whole is %v, and it is %d bytes of %d", d.Whole, size, most)
		}
		if !d.Whole {
			return
		}
		if !sameBytes(d.Key, key) || !sameBytes(d.Value, value) || len(d.Headers) != len(m.Headers) {
			t.Fatalf("came back as %+v", d)
		}
		for i, h := range d.Headers {
			if !bytes.Equal(h.Key, m.Headers[i].Key) || !bytes.Equal(h.Value, m.Headers[i].Value) {
				t.Errorf("header %d came back as %q", i, h)
			}
		}
	})
}

// FuzzDeadLetterOf: what somebody else wrote to a dead-letter topic does no
// harm.
func FuzzDeadLetterOf(f *testing.F) {
	for _, most := range []int{0, 1 << 20} {
		m := consumed(f, NewDeadLetter(poison(), StatusMalformed, most))
		var pairs []pair
		for _, h := range m.Headers {
			pairs = append(pairs, pair{string(h.Key), string(h.Value)})
		}
		f.Add(m.Key, m.Value, packed(pairs))
		for _, p := range pairs {
			f.Add(m.Key, m.Value, packed(with(pairs, p.name, p.value+"x")))
			f.Add(m.Key, m.Value, packed(with(pairs, p.name, "-")))
		}
	}
	f.Fuzz(func(t *testing.T, key, value, headers []byte) {
		d, err := DeadLetterOf(&sarama.ConsumerMessage{Topic: "x.dlq", Key: key, Value: value, Headers: unpacked(headers)})
		if err != nil {
			checkError(t, err)
			return
		}
		if !slices.Contains(Reasons(), d.Reason) || !validTopic(d.Topic) || d.Partition < 0 || d.Offset < 0 {
			t.Errorf("decoded %+v", d)
		}
		if !d.Whole && (d.Key != nil || d.Value != nil) {
			t.Errorf("not whole, but has key or value: %+v", d)
		}
	})
}

// TestFuzzPacking: the seeds are what they look like.
func TestFuzzPacking(t *testing.T) {
	got := unpacked(packed(requestPairs))
	if want := ownPairs(got, requestNames[:]); !slices.Equal(want, requestPairs) {
		t.Errorf("unpacks to %v", want)
	}
	if h := unpacked([]byte{200, 'a'}); len(h) != 1 || string(h[0].Key) != "a" || strings.TrimSpace(string(h[0].Value)) != "" {
		t.Errorf("a cut string unpacks to %v", h)
	}
}
