package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rrhost/client"
	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// What must stand nowhere in a log: readable is in records for all who may read
// Kafka, and sealed in payloads alone.
var (
	readable = "canary-" + rand.Text()
	sealed   = "canary-" + rand.Text()
)

// A hostile record, and what becomes of it.
type hostile struct {
	name   string
	record *kgo.Record // to a partition still to be named
	reason string
	whole  bool // whether the dead letter has it all
}

// Records that no client of ours sends: each is put aside with its reason, the
// next in its partition is answered, and no log says what was in them.
func TestHostileRecordsArePutAside(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		s := newSite(t, b, layout{
			topics:  "[[topic]]\nname = \"work-@\"\nplugin = \"testplugin\"\nhandler = \"work\"\npartitions = 2\n",
			plugins: map[string]string{"testplugin": "testplugin"},
			more:    map[string]string{"log": "level = \"trace\"\nformat = \"json\"\n"},
		})
		s.start()
		topic, dlq := s.topic("work"), wire.DeadLetterTopic(s.topic("work"))
		c := s.client(client.WithDefaultTimeout(30 * time.Second))
		producer := s.outside(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(2<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
		defer producer.Close()
		const partition = 1
		key := keyFor(partition, 2)

		var sent []*kgo.Record
		list := s.hostileRecords()
		for _, h := range list {
			h.record.Topic, h.record.Partition = topic, partition
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			r, err := producer.ProduceSync(ctx, h.record).First()
			cancel()
			if err != nil {
				t.Fatalf("%s: %v", h.name, err)
			}
			sent = append(sent, r)
			got, err := client.Call[report](t.Context(), c, topic, order{Nonce: sealed}, client.WithKey(key))
			if err != nil || got.F != f(sealed) {
				t.Fatalf("a good request after %s, in the same partition: %+v, %v", h.name, got, err)
			}
		}
		letters := make(map[int64]*kgo.Record, len(list)) // by the offset of the record
		for _, r := range s.consumeAll(dlq) {
			offset, err := strconv.ParseInt(header(r, wire.HeaderDLQOffset), 10, 64)
			if err != nil || header(r, wire.HeaderDLQTopic) != topic || header(r, wire.HeaderDLQPartition) != strconv.Itoa(partition) {
				t.Errorf("a dead letter says it is from %s/%s/%s", header(r, wire.HeaderDLQTopic), header(r, wire.HeaderDLQPartition), header(r, wire.HeaderDLQOffset))
			}
			letters[offset] = r
		}
		if len(letters) != len(list) {
			t.Errorf("%d dead letters, want %d", len(letters), len(list))
		}
		for i, h := range list {
			if problem := h.check(sent[i], letters[sent[i].Offset]); problem != "" {
				t.Errorf("%s: %s", h.name, problem)
			}
		}

		// Words of a handler and of a decoder, which may quote what they got.
		for _, request := range []string{
			mustJSON(t, order{Do: "fail", Code: "c", Text: sealed}), mustJSON(t, order{Do: "panic", Text: sealed}),
			fmt.Sprintf(`{"do":5,"text":%q}`, sealed), fmt.Sprintf(`{%q`, sealed), sealed,
		} {
			if _, err := c.Do(t.Context(), client.Request{Topic: topic, Payload: []byte(request)}); client.StatusOf(err) == "" || client.StatusOf(err) == client.StatusOK {
				t.Errorf("%s: %v, want that the host refuses it", request, err)
			}
		}
		s.awaitCommitted(topic)
		s.checkTrail()
		s.checkSecrets()
	})
}

// check compares a dead letter with the record that it is of.
func (h *hostile) check(sent, letter *kgo.Record) string {
	if letter == nil {
		return "there is no dead letter"
	}
	if got := header(letter, wire.HeaderDLQReason); got != h.reason {
		return fmt.Sprintf("reason %q, want %q", got, h.reason)
	}
	if h.whole {
		same := slices.EqualFunc(sent.Headers, letter.Headers[:min(len(sent.Headers), len(letter.Headers))], func(a, b kgo.RecordHeader) bool {
			return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
		})
		if !same || !bytes.Equal(sent.Value, letter.Value) || !bytes.Equal(sent.Key, letter.Key) {
			return "the dead letter is not the record unchanged"
		}
		return ""
	}
	sum := sha256.Sum256(sent.Value)
	if len(letter.Value) > 0 || header(letter, wire.HeaderDLQSHA256) != hex.EncodeToString(sum[:]) {
		return "the dead letter has no hash of the record's value, or has the value"
	}
	return ""
}

// hostileRecords are records for the topic work.
func (s *site) hostileRecords() []hostile {
	ring, err := s.cfg.Ring()
	if err != nil {
		s.t.Fatal(err)
	}
	stranger, err := envelope.ParseKey(client.GenerateKey())
	if err != nil {
		s.t.Fatal(err)
	}
	theirs, err := envelope.NewRing(stranger)
	if err != nil {
		s.t.Fatal(err)
	}
	good := func(change func(*wire.Request), with *envelope.Ring) *kgo.Record {
		r := wire.Request{
			Topic: s.topic("work"), Key: []byte(readable), ID: uuid.NewString(), ReplyTo: s.cfg.Replies.Topic,
			Timeout: 30 * time.Second, Sent: time.Now(),
		}
		change(&r)
		record := &kgo.Record{Key: r.Key, Value: with.Seal(nil, []byte(mustJSON(s.t, order{Nonce: sealed})), r.AppendAbout(nil))}
		for _, h := range r.Headers() {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
		}
		return record
	}
	as := func(change func(*kgo.Record)) *kgo.Record {
		record := good(func(*wire.Request) {}, ring)
		change(record)
		return record
	}
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise) // never fails
	copy(noise, readable)
	const malformed, undecryptable, notAllowed = "malformed", "undecryptable", "reply_not_allowed"
	return []hostile{
		{"garbage", &kgo.Record{
			Key: noise[:300], Value: noise[:5000],
			Headers: []kgo.RecordHeader{{Key: string(noise[:100]), Value: noise[:100]}, {Key: wire.HeaderRequestID, Value: noise[:100]}},
		}, malformed, true},
		{"nothing", &kgo.Record{}, malformed, true},
		{"no headers", as(func(r *kgo.Record) { r.Headers = nil }), malformed, true},
		{"a header twice", as(func(r *kgo.Record) { r.Headers = append(r.Headers, r.Headers[0]) }), malformed, true},
		{"an unknown op", as(func(r *kgo.Record) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: wire.HeaderOp, Value: []byte(readable)})
		}), malformed, true},
		{"10,000 headers", as(func(r *kgo.Record) {
			for range 10_000 {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: "x", Value: []byte(readable)})
			}
		}), malformed, false},
		{"1 MiB that a dead letter has room for", as(func(r *kgo.Record) { r.Value = noise[:1<<20-1024] }), undecryptable, true},
		{"1 MiB at the broker's limit", as(func(r *kgo.Record) { r.Value = noise[:1<<20-320] }), undecryptable, false},
		{"no seal", as(func(r *kgo.Record) { r.Value = []byte(readable) }), undecryptable, true},
		{"half a seal", as(func(r *kgo.Record) { r.Value = r.Value[:len(r.Value)/2] }), undecryptable, true},
		{"another's seal", good(func(*wire.Request) {}, theirs), undecryptable, true},
		{"a seal moved to another request", as(func(r *kgo.Record) {
			r.Headers[0].Value = []byte(uuid.NewString())
		}), undecryptable, true},
		{"a forbidden reply_to", good(func(r *wire.Request) { r.ReplyTo = s.topic("elsewhere") }, ring), notAllowed, true},
		{"a topic of Kafka itself as reply_to", good(func(r *wire.Request) { r.ReplyTo = "__consumer_offsets" }, ring), notAllowed, true},
		{"partition 9999", good(func(r *wire.Request) { r.ReplyPartition = 9999 }, ring), notAllowed, true},
	}
}

// keyFor is an ordering key that is taken to one of n partitions.
func keyFor(partition, n int32) []byte {
	for i := 0; ; i++ {
		if key := fmt.Appendf(nil, "%s-%d", readable, i); wire.Partition(key, n) == partition {
			return key
		}
	}
}

// checkSecrets looks for payloads and keys where they must not be.
func (s *site) checkSecrets() {
	t := s.t
	t.Helper()
	file := "key"
	if s.backend.embedded {
		file = filepath.Join("data", "key")
	}
	key, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"what is in a payload": sealed, "what is in a record": readable, "the key": strings.TrimSpace(string(key)),
	}
	for _, p := range s.hosts {
		log := p.log()
		if !strings.Contains(log, "request refused") {
			t.Error("the log says nothing of the refused requests: it is not the one to search")
		}
		for what, secret := range secrets {
			if i := strings.Index(strings.ToLower(log), strings.ToLower(secret)); i >= 0 {
				t.Errorf("the log holds %s: …%s…", what, log[max(0, i-200):min(len(log), i+100)])
			}
		}
	}
	// The folder of the embedded broker and store, too, has payloads sealed.
	err = filepath.WalkDir(filepath.Join(s.dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(sealed)) {
			t.Errorf("%s holds what is in a payload", path)
		}
		return err
	})
	if err != nil && s.backend.embedded {
		t.Fatal(err)
	}
}
