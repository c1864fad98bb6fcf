package wire

import (
	"time"

	"github.com/IBM/sarama"
)

// A Request is what a requester asks of one topic.
type Request struct {
	Topic string // the request topic
	// Key is the Kafka key. Nil and empty differ, here and on the wire.
	Key []byte
	// ID is a UUID v4 in its canonical form.
	ID string
	// Op is what is asked of the host itself: [OpPing], or empty for a request
	// to the handler.
	Op string
	// ReplyTo is the topic where the requester listens, and ReplyPartition its
	// partition of it. Empty means that nobody waits; ReplyPartition is then
	// 0 and not on the wire.
	ReplyTo        string
	ReplyPartition int32
	// Timeout is how long the requester waits, counted from the record's
	// timestamp, in whole milliseconds from 1 to [MaxTimeout]. Where nobody
	// waits, it is until when the request may start.
	Timeout time.Duration
	// Sent is when the requester sent it, on its own clock, to the
	// millisecond.
	Sent time.Time
	// Traceparent and Tracestate are the W3C trace context, or empty. The
	// seal is not bound to them.
	Traceparent string
	Tracestate  string
	// Payload is sealed: never plaintext.
	Payload []byte
}

// The headers of a request, in the order in which they are written.
const (
	reqID = iota
	reqOp
	reqReplyTo
	reqReplyPartition
	reqTimeoutMS
	reqSentMS
	reqTraceparent
	reqTracestate
	reqSlots
)

var requestNames = [reqSlots]string{
	HeaderRequestID, HeaderOp, HeaderReplyTo, HeaderReplyPartition,
	HeaderTimeoutMS, HeaderSentMS, HeaderTraceparent, HeaderTracestate,
}

// Names as bytes, shared by all records; sarama only reads them.
var (
	nameRequestID      = []byte(HeaderRequestID)
	nameOp             = []byte(HeaderOp)
	nameReplyTo        = []byte(HeaderReplyTo)
	nameReplyPartition = []byte(HeaderReplyPartition)
	nameTimeoutMS      = []byte(HeaderTimeoutMS)
	nameSentMS         = []byte(HeaderSentMS)
	nameTraceparent    = []byte(HeaderTraceparent)
	nameTracestate     = []byte(HeaderTracestate)
)

func requestSlot(name []byte) int {
	switch string(name) {
	case HeaderRequestID:
		return reqID
	case HeaderOp:
		return reqOp
	case HeaderReplyTo:
		return reqReplyTo
	case HeaderReplyPartition:
		return reqReplyPartition
	case HeaderTimeoutMS:
		return reqTimeoutMS
	case HeaderSentMS:
		return reqSentMS
	case HeaderTraceparent:
		return reqTraceparent
	case HeaderTracestate:
		return reqTracestate
	}
	return -1
}

// DecodeRequest reads a record of a request topic. The result keeps m's key and
// value and shares no other memory with it.
//
// Every error is an [ErrMalformed] and names the header at fault. The request
// then has its topic and key and, where these could be read by themselves, its
// ID, and ReplyTo with ReplyPartition: enough to answer that it is malformed.
func DecodeRequest(m *sarama.ConsumerMessage) (Request, error) {
	r := Request{Topic: m.Topic, Key: m.Key}
	if err := withinBounds(m.Headers, MaxHeaders, MaxHeaderBytes); err != nil {
		return r, err
	}
	var f [reqSlots]field
	collect(m.Headers, requestSlot, f[:])
	if err := r.decode(&f); err != nil {
		r.salvage(&f)
		return r, err
	}
	r.Payload = m.Value
	return r, nil
}

func (r *Request) decode(f *[reqSlots]field) error {
	if err := oneEach(f[:], requestNames[:]); err != nil {
		return err
	}
	if !validID(f[reqID].value) {
		return malformed(HeaderRequestID, idProblem)
	}
	if f[reqOp].present() && string(f[reqOp].value) != OpPing {
		return malformed(HeaderOp, opProblem)
	}
	timeout, ok := parseDecimal(f[reqTimeoutMS].value, maxTimeoutMS)
	if !ok || timeout == 0 {
		return malformed(HeaderTimeoutMS, timeoutProblem)
	}
	sent, ok := parseDecimal(f[reqSentMS].value, maxUnixMS)
	if !ok {
		return malformed(HeaderSentMS, sentProblem)
	}
	var partition int64
	switch to, part := f[reqReplyTo], f[reqReplyPartition]; {
	case to.present() != part.present():
		return malformed(HeaderReplyPartition, pairProblem)
	case !to.present():
	case !validTopic(to.value):
		return malformed(HeaderReplyTo, topicProblem)
	default:
		if partition, ok = parseDecimal(part.value, maxPartition); !ok {
			return malformed(HeaderReplyPartition, partitionProblem)
		}
	}
	for _, i := range [...]int{reqTraceparent, reqTracestate} {
		if f[i].present() && !validTrace(f[i].value) {
			return malformed(requestNames[i], traceProblem)
		}
	}

	if f[reqOp].present() {
		r.Op = OpPing
	}
	r.Timeout = time.Duration(timeout) * time.Millisecond
	r.Sent = time.UnixMilli(sent)
	r.ReplyPartition = int32(partition)
	texts(
		text{&r.ID, f[reqID].value}, text{&r.ReplyTo, f[reqReplyTo].value},
		text{&r.Traceparent, f[reqTraceparent].value}, text{&r.Tracestate, f[reqTracestate].value},
	)
	return nil
}

// salvage reads what an answer to a malformed request needs.
func (r *Request) salvage(f *[reqSlots]field) {
	if id, ok := f[reqID].only(); ok && validID(id) {
		r.ID = string(id)
	}
	to, ok := f[reqReplyTo].only()
	if !ok || !validTopic(to) {
		return
	}
	part, ok := f[reqReplyPartition].only()
	if !ok {
		return
	}
	if n, ok := parseDecimal(part, maxPartition); ok {
		r.ReplyTo, r.ReplyPartition = string(to), int32(n)
	}
}

// ValidHeaders returns r's [Request.Headers] with extra, or what a host would
// find malformed in them, or what had to be bent to get them on the wire.
func (r *Request) ValidHeaders(extra ...sarama.RecordHeader) ([]sarama.RecordHeader, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	for i := range extra {
		if slot := requestSlot(extra[i].Key); slot >= 0 {
			return nil, malformed(requestNames[slot], "is no name for a header of the caller's")
		}
	}
	headers := r.Headers(extra...)
	size := 0
	for i := range headers {
		size += len(headers[i].Key) + len(headers[i].Value)
	}
	return headers, bounded(len(headers), size, MaxHeaders, MaxHeaderBytes)
}

func (r *Request) validate() error {
	switch {
	case !validTopic(r.Topic):
		return malformed("the request topic", topicProblem)
	case !ValidID(r.ID):
		return malformed(HeaderRequestID, idProblem)
	case r.Op != "" && r.Op != OpPing:
		return malformed(HeaderOp, opProblem)
	case r.Timeout < time.Millisecond || r.Timeout > MaxTimeout:
		return malformed(HeaderTimeoutMS, timeoutProblem)
	case r.Sent.UnixMilli() != r.sentMS():
		return malformed(HeaderSentMS, sentProblem)
	case r.ReplyTo == "" && r.ReplyPartition != 0:
		return malformed(HeaderReplyPartition, pairProblem)
	case r.ReplyTo != "" && !validTopic(r.ReplyTo):
		return malformed(HeaderReplyTo, topicProblem)
	case r.ReplyPartition < 0:
		return malformed(HeaderReplyPartition, partitionProblem)
	case r.Traceparent != "" && !validTrace(r.Traceparent):
		return malformed(HeaderTraceparent, traceProblem)
	case r.Tracestate != "" && !validTrace(r.Tracestate):
		return malformed(HeaderTracestate, traceProblem)
	}
	return nil
}

// Headers returns r's headers and then extra, which are the caller's: they must
// not have names of ours. The names' bytes are shared and not to be written to.
func (r *Request) Headers(extra ...sarama.RecordHeader) []sarama.RecordHeader {
	w := newHeaderWriter(reqSlots+len(extra), len(r.ID)+len(r.Op)+len(r.ReplyTo)+len(r.Traceparent)+len(r.Tracestate)+3*numberBytes)
	w.add(nameRequestID, r.ID)
	if r.Op != "" {
		w.add(nameOp, r.Op)
	}
	if r.ReplyTo != "" {
		w.add(nameReplyTo, r.ReplyTo)
		w.addNumber(nameReplyPartition, int64(r.ReplyPartition))
	}
	w.addNumber(nameTimeoutMS, r.timeoutMS())
	w.addNumber(nameSentMS, r.sentMS())
	if r.Traceparent != "" {
		w.add(nameTraceparent, r.Traceparent)
	}
	if r.Tracestate != "" {
		w.add(nameTracestate, r.Tracestate)
	}
	return append(w.list, extra...)
}

// AppendAbout appends what the seal of r's payload is bound to, each value as
// it stands on the wire: a payload moved to another request, topic, reply
// address or deadline does not open there.
func (r *Request) AppendAbout(dst []byte) []byte {
	dst = appendField(dst, "request")
	dst = appendField(dst, r.Topic)
	dst = appendField(dst, r.ID)
	dst = appendKey(dst, r.Key)
	dst = appendOptional(dst, r.Op)
	dst = appendNumber(dst, r.timeoutMS())
	dst = appendNumber(dst, r.sentMS())
	if r.ReplyTo == "" {
		return appendAbsent(appendAbsent(dst))
	}
	dst = appendField(dst, r.ReplyTo)
	return appendNumber(dst, int64(r.ReplyPartition))
}

func (r *Request) timeoutMS() int64 { return wholeMS(r.Timeout, maxTimeoutMS) }

func (r *Request) sentMS() int64 { return min(max(r.Sent.UnixMilli(), 0), maxUnixMS) }
