package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

// DeadLetterSuffix makes the dead-letter topic's name of a request topic's.
const DeadLetterSuffix = ".dlq"

// DeadLetterTopic returns the topic for the dead letters of topic.
func DeadLetterTopic(topic string) string { return topic + DeadLetterSuffix }

// A DeadLetter is a record that could not be read or not be answered, or that
// killed its plugin, as it is kept beside its topic.
type DeadLetter struct {
	Reason Status
	// Where the record was.
	Topic     string
	Partition int32
	Offset    int64
	// Timestamp is the record's, to the millisecond; zero if it had none.
	Timestamp time.Time

	// Whole is whether key, value and headers are the record's. Else the
	// record was over a limit: there are no key and value, and of its headers
	// at most the request id.
	Whole   bool
	Key     []byte // nil and empty differ
	Value   []byte // nil and empty differ
	Headers []*sarama.RecordHeader
	// SHA256 is of the record's value, also when that is not here.
	SHA256 [sha256.Size]byte
}

// Dead letters end with these headers, in this order, and the last of them only
// where the record is not whole. Only their place tells them from headers of
// the same name that the record brought.
const (
	dlqReason = iota
	dlqTopic
	dlqPartition
	dlqOffset
	dlqTS
	dlqSHA256
	dlqSlots
)

var dlqNames = [dlqSlots]string{
	HeaderDLQReason, HeaderDLQTopic, HeaderDLQPartition, HeaderDLQOffset, HeaderDLQTS, HeaderDLQSHA256,
}

var (
	nameDLQReason    = []byte(HeaderDLQReason)
	nameDLQTopic     = []byte(HeaderDLQTopic)
	nameDLQPartition = []byte(HeaderDLQPartition)
	nameDLQOffset    = []byte(HeaderDLQOffset)
	nameDLQTS        = []byte(HeaderDLQTS)
	nameDLQSHA256    = []byte(HeaderDLQSHA256)
)

// recordVersion is that of all records with headers, for sarama's sizes.
const recordVersion = 2

// NewDeadLetter returns the dead letter of m, for m's dead-letter topic: value,
// key and headers unchanged and then its coordinates. If the headers are over
// the bounds of decoding, or the whole would be larger than maxBytes as sarama
// counts a message, it has the coordinates, the value's hash, the reason and
// the request id if there is one.
func NewDeadLetter(m *sarama.ConsumerMessage, reason Status, maxBytes int) *sarama.ProducerMessage {
	if withinBounds(m.Headers, MaxHeaders, MaxHeaderBytes) == nil {
		if d := wholeDeadLetter(m, reason); d.ByteSize(recordVersion) <= maxBytes {
			return d
		}
	}
	w := newHeaderWriter(1+dlqSlots, 36+len(reason)+len(m.Topic)+3*numberBytes+2*sha256.Size)
	if id := RequestIDOf(m.Headers); id != nil {
		w.add(nameRequestID, string(id))
	}
	w.addCoordinates(m, reason)
	sum := sha256.Sum256(m.Value)
	w.add(nameDLQSHA256, hex.EncodeToString(sum[:]))
	return &sarama.ProducerMessage{Topic: DeadLetterTopic(m.Topic), Headers: w.list}
}

func wholeDeadLetter(m *sarama.ConsumerMessage, reason Status) *sarama.ProducerMessage {
	w := newHeaderWriter(len(m.Headers)+dlqSlots, len(reason)+len(m.Topic)+3*numberBytes)
	for _, h := range m.Headers {
		w.list = append(w.list, *h)
	}
	w.addCoordinates(m, reason)
	d := &sarama.ProducerMessage{Topic: DeadLetterTopic(m.Topic), Headers: w.list}
	// An Encoder of nil is not nil: the message would pass for a keyed one.
	if m.Key != nil {
		d.Key = sarama.ByteEncoder(m.Key)
	}
	if m.Value != nil {
		d.Value = sarama.ByteEncoder(m.Value)
	}
	return d
}

func (w *headerWriter) addCoordinates(m *sarama.ConsumerMessage, reason Status) {
	w.add(nameDLQReason, string(reason))
	w.add(nameDLQTopic, m.Topic)
	w.addNumber(nameDLQPartition, int64(m.Partition))
	w.addNumber(nameDLQOffset, m.Offset)
	ts := int64(noTimestamp)
	if !m.Timestamp.IsZero() {
		ts = min(max(m.Timestamp.UnixMilli(), 0), maxUnixMS)
	}
	w.addNumber(nameDLQTS, ts)
}

// noTimestamp is what Kafka has for a record without a timestamp.
const noTimestamp = -1

// DeadLetterOf reads a record of a dead-letter topic. The result keeps m's key,
// value and headers. Every error is an [ErrMalformed].
func DeadLetterOf(m *sarama.ConsumerMessage) (DeadLetter, error) {
	// What NewDeadLetter adds is bounded too: a topic's name, three numbers,
	// a hash, six names.
	if err := withinBounds(m.Headers, MaxHeaders+dlqSlots, MaxHeaderBytes+1024); err != nil {
		return DeadLetter{}, err
	}
	whole := true
	own := dlqSlots - 1
	if n := len(m.Headers); n > 0 && string(m.Headers[n-1].Key) == HeaderDLQSHA256 {
		whole, own = false, dlqSlots
	}
	rest := len(m.Headers) - own
	if rest < 0 {
		return DeadLetter{}, malformed(HeaderDLQReason, "is missing")
	}
	var f [dlqSlots][]byte
	for i, h := range m.Headers[rest:] {
		if string(h.Key) != dlqNames[i] {
			return DeadLetter{}, malformed(dlqNames[i], "is not in its place")
		}
		f[i] = h.Value
	}
	d := DeadLetter{Whole: whole, Headers: m.Headers[:rest:rest]}
	if err := d.decodeCoordinates(&f); err != nil {
		return DeadLetter{}, err
	}
	if whole {
		d.Key, d.Value = m.Key, m.Value
		d.SHA256 = sha256.Sum256(m.Value)
		return d, nil
	}
	if len(m.Key) > 0 || len(m.Value) > 0 {
		return DeadLetter{}, malformed(HeaderDLQSHA256, "goes with no key and no value only")
	}
	if err := d.decodeHash(f[dlqSHA256]); err != nil {
		return DeadLetter{}, err
	}
	return d, nil
}

func (d *DeadLetter) decodeCoordinates(f *[dlqSlots][]byte) error {
	for i := range statusTable {
		if statusTable[i].DeadLetter && string(statusTable[i].Status) == string(f[dlqReason]) {
			d.Reason = statusTable[i].Status
		}
	}
	if d.Reason == "" {
		return malformed(HeaderDLQReason, "is unknown")
	}
	if !validTopic(f[dlqTopic]) {
		return malformed(HeaderDLQTopic, topicProblem)
	}
	d.Topic = string(f[dlqTopic])
	partition, ok := parseDecimal(f[dlqPartition], maxPartition)
	if !ok {
		return malformed(HeaderDLQPartition, partitionProblem)
	}
	d.Partition = int32(partition)
	if d.Offset, ok = parseDecimal(f[dlqOffset], maxOffset); !ok {
		return malformed(HeaderDLQOffset, "is not an offset")
	}
	if string(f[dlqTS]) == strconv.Itoa(noTimestamp) {
		return nil
	}
	ts, ok := parseDecimal(f[dlqTS], maxUnixMS)
	if !ok {
		return malformed(HeaderDLQTS, sentProblem)
	}
	d.Timestamp = time.UnixMilli(ts)
	return nil
}

func (d *DeadLetter) decodeHash(text []byte) error {
	if n, err := hex.Decode(d.SHA256[:], text[:min(len(text), 2*sha256.Size)]); err != nil || n != sha256.Size ||
		hex.EncodeToString(d.SHA256[:]) != string(text) {
		return malformed(HeaderDLQSHA256, "is not 64 hex characters in lower case")
	}
	return nil
}
