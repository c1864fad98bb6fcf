package wire

import (
	"encoding/json"
	"time"

	"github.com/IBM/sarama"
)

// A Reply is the outcome of one request.
type Reply struct {
	Topic     string // the request topic, not the one that the reply is in
	RequestID string
	Status    Status
	// Attempt is how many times the host tried the handler: 0 if it never did.
	Attempt int
	// Duration is the time in the handler, to the millisecond.
	Duration time.Duration
	// Plugin is who answered, as [PluginText] makes it, or empty.
	Plugin string
	// Key is the Kafka key of the reply. Nil and empty differ.
	Key []byte
	// Op is the request's, or empty. It tells those who read the log without a
	// key; the seal is not bound to it.
	Op string
	// Traceparent and Tracestate are the request's, or empty. The seal is not
	// bound to them.
	Traceparent string
	Tracestate  string
	// Payload is sealed: the response, or an [ErrorBody]. It is empty where
	// the status is not authenticated.
	Payload []byte
}

// An ErrorBody is the body, as JSON and sealed, of every reply that has one and
// is not ok.
type ErrorBody struct {
	// Code is the author's own for handler_error, and else the status.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Details is any JSON, if the author gave some.
	Details json.RawMessage `json:"details,omitempty"`
}

// The headers of a reply, in the order in which they are written.
const (
	repID = iota
	repOp
	repTopic
	repStatus
	repAttempt
	repDurationMS
	repPlugin
	repTraceparent
	repTracestate
	repSlots
)

var replyNames = [repSlots]string{
	HeaderRequestID, HeaderOp, HeaderTopic, HeaderStatus, HeaderAttempt,
	HeaderDurationMS, HeaderPlugin, HeaderTraceparent, HeaderTracestate,
}

var (
	nameTopic      = []byte(HeaderTopic)
	nameStatus     = []byte(HeaderStatus)
	nameAttempt    = []byte(HeaderAttempt)
	nameDurationMS = []byte(HeaderDurationMS)
	namePlugin     = []byte(HeaderPlugin)
)

func replySlot(name []byte) int {
	switch string(name) {
	case HeaderRequestID:
		return repID
	case HeaderOp:
		return repOp
	case HeaderTopic:
		return repTopic
	case HeaderStatus:
		return repStatus
	case HeaderAttempt:
		return repAttempt
	case HeaderDurationMS:
		return repDurationMS
	case HeaderPlugin:
		return repPlugin
	case HeaderTraceparent:
		return repTraceparent
	case HeaderTracestate:
		return repTracestate
	}
	return -1
}

// DecodeReply reads a record of a reply topic. The result keeps m's key and
// value and shares no other memory with it. Every error is an [ErrMalformed]
// and names the header at fault.
//
// A decoded reply is only what somebody wrote: believe none whose status is
// authenticated before its payload has opened.
func DecodeReply(m *sarama.ConsumerMessage) (Reply, error) {
	if err := withinBounds(m.Headers, MaxHeaders, MaxHeaderBytes); err != nil {
		return Reply{}, err
	}
	var f [repSlots]field
	collect(m.Headers, replySlot, f[:])
	r := Reply{Key: m.Key, Payload: m.Value}
	if err := r.decode(&f); err != nil {
		return Reply{}, err
	}
	return r, nil
}

func (r *Reply) decode(f *[repSlots]field) error {
	if err := oneEach(f[:], replyNames[:]); err != nil {
		return err
	}
	if !validID(f[repID].value) {
		return malformed(HeaderRequestID, idProblem)
	}
	if f[repOp].present() && string(f[repOp].value) != OpPing {
		return malformed(HeaderOp, opProblem)
	}
	if !validTopic(f[repTopic].value) {
		return malformed(HeaderTopic, topicProblem)
	}
	for i := range statusTable {
		if statusTable[i].Reply && string(statusTable[i].Status) == string(f[repStatus].value) {
			r.Status = statusTable[i].Status
		}
	}
	if r.Status == "" {
		return malformed(HeaderStatus, "is unknown")
	}
	if !r.Status.Authenticated() && len(r.Payload) > 0 {
		return malformed(HeaderStatus, "goes with an empty value only")
	}
	attempt, ok := parseDecimal(f[repAttempt].value, maxAttempt)
	if !ok {
		return malformed(HeaderAttempt, "is not a whole number")
	}
	duration, ok := parseDecimal(f[repDurationMS].value, maxDurationMS)
	if !ok {
		return malformed(HeaderDurationMS, "is not a whole number of milliseconds")
	}
	if f[repPlugin].present() && !validPlugin(f[repPlugin].value) {
		return malformed(HeaderPlugin, "is not text, or too long")
	}
	for _, i := range [...]int{repTraceparent, repTracestate} {
		if f[i].present() && !validTrace(f[i].value) {
			return malformed(replyNames[i], traceProblem)
		}
	}

	if f[repOp].present() {
		r.Op = OpPing
	}
	r.Attempt = int(attempt)
	r.Duration = time.Duration(duration) * time.Millisecond
	texts(
		text{&r.RequestID, f[repID].value}, text{&r.Topic, f[repTopic].value}, text{&r.Plugin, f[repPlugin].value},
		text{&r.Traceparent, f[repTraceparent].value}, text{&r.Tracestate, f[repTracestate].value},
	)
	return nil
}

// Headers returns r's headers. The names' bytes are shared and not to be
// written to.
func (r *Reply) Headers() []sarama.RecordHeader {
	w := newHeaderWriter(repSlots, len(r.RequestID)+len(r.Op)+len(r.Topic)+len(r.Status)+len(r.Plugin)+
		len(r.Traceparent)+len(r.Tracestate)+2*numberBytes)
	w.add(nameRequestID, r.RequestID)
	if r.Op != "" {
		w.add(nameOp, r.Op)
	}
	w.add(nameTopic, r.Topic)
	w.add(nameStatus, string(r.Status))
	w.addNumber(nameAttempt, r.attempt())
	w.addNumber(nameDurationMS, r.durationMS())
	if r.Plugin != "" {
		w.add(namePlugin, r.Plugin)
	}
	if r.Traceparent != "" {
		w.add(nameTraceparent, r.Traceparent)
	}
	if r.Tracestate != "" {
		w.add(nameTracestate, r.Tracestate)
	}
	return w.list
}

// AppendAbout appends what the seal of r's payload is bound to, each value as
// it stands on the wire: a payload moved to another reply, or beside another
// status, does not open there.
func (r *Reply) AppendAbout(dst []byte) []byte {
	dst = appendField(dst, "reply")
	dst = appendField(dst, r.Topic)
	dst = appendField(dst, r.RequestID)
	dst = appendKey(dst, r.Key)
	dst = appendField(dst, string(r.Status))
	dst = appendNumber(dst, r.attempt())
	dst = appendNumber(dst, r.durationMS())
	return appendOptional(dst, r.Plugin)
}

func (r *Reply) attempt() int64 { return min(max(int64(r.Attempt), 0), maxAttempt) }

func (r *Reply) durationMS() int64 { return wholeMS(r.Duration, maxDurationMS) }
