package stream

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	protobuf "google.golang.org/protobuf/proto"

	"rrhost/internal/handler"
	"rrhost/plugin/proto"
)

// said is a stream on which a plugin says certain bytes, and nothing else.
type said struct {
	grpc.ClientStream
	frames [][]byte
}

func (*said) Send(*proto.RequestFrame) error { return nil }

func (s *said) Recv() (*proto.ResultFrame, error) {
	if len(s.frames) == 0 {
		return nil, io.EOF
	}
	frame := new(proto.ResultFrame)
	err := protobuf.Unmarshal(s.frames[0], frame)
	s.frames = s.frames[1:]
	return frame, err
}

// FuzzResultFrames: whatever a plugin says, each request has one result, within
// its bounds, and the stream ends.
func FuzzResultFrames(f *testing.F) {
	frame := func(results ...*proto.Result) []byte {
		text, err := protobuf.Marshal(&proto.ResultFrame{Results: results, Goodbye: &proto.Goodbye{Last: 1}})
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	ok := frame(&proto.Result{Number: 1, Payload: []byte(`{"a":1}`), DurationUs: 12})
	f.Add(ok, frame(&proto.Result{Number: 2}))
	f.Add(ok, ok)
	f.Add(frame(&proto.Result{Number: 3}, &proto.Result{}), []byte{})
	f.Add(frame(&proto.Result{Number: 1, DurationUs: math.MaxUint64, Payload: bytes.Repeat([]byte("x"), 200)}), []byte{0xff})
	f.Add(frame(&proto.Result{Number: 2, Error: &proto.Error{}}), frame(&proto.Result{Number: 1, Error: &proto.Error{
		Status: "reply_too_large", Code: strings.Repeat("c", 300), Message: "m\n\x1b", Details: []byte("{"),
	}}))
	f.Add([]byte{0x0a, 0x80, 0x80, 0x80, 0x80, 0x04}, []byte("no frame"))
	const maxReply = 100
	f.Fuzz(func(t *testing.T, first, second []byte) {
		i := NewInstance(About{}, maxReply)
		results := make([][]Result, 2)
		for n := range results {
			i.Start(Request{Handler: "h", Deadline: time.Now().Add(time.Minute)}, func(r Result) { results[n] = append(results[n], r) })
		}
		if err := i.Run(&said{frames: [][]byte{first, second}}); err == nil {
			t.Error("Run = nil, want why it ended")
		}
		for n, got := range results {
			if len(got) != 1 {
				t.Fatalf("request %d has %d results", n+1, len(got))
			}
			r := got[0]
			if r.Crashed {
				continue
			}
			if r.Duration < 0 || r.Duration > maxDuration || len(r.Payload) > maxReply || r.Err == nil && r.Payload == nil {
				t.Errorf("%+v", r)
			}
			if e := r.Err; e != nil && (!known[e.Status] || e.Code == "" || len(e.Code) > 128 || e.Details != nil && !json.Valid(e.Details)) {
				t.Errorf("%+v", e)
			}
		}
	})
}

// known are the statuses that a plugin can bring about.
var known = map[string]bool{
	handler.StatusHandlerError: true, handler.StatusInvalidPayload: true, handler.StatusDeadlineExceeded: true,
	handler.StatusNoHandler: true, handler.StatusReplyTooLarge: true,
}
