package envelope

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"rrhost/internal/wire"
)

// TestTamperSealed alters every bit of a sealed value, cuts it at every length
// and lengthens it.
func TestTamperSealed(t *testing.T) {
	ring := mustRing(t, mustKey(t), mustKey(t))
	plain, about := []byte(`{"a":10,"b":5}`), []byte("about")
	good := ring.Seal(nil, plain, about)
	mustNotOpen := func(what string, n int, sealed []byte) {
		t.Helper()
		if _, err := ring.Open(nil, sealed, about); !errors.Is(err, ErrUndecryptable) {
			t.Errorf("%s %d: Open = %v, want ErrUndecryptable", what, n, err)
		}
	}
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		mustNotOpen("bit", bit, bad)
	}
	for n := range good {
		mustNotOpen("cut to", n, good[:n])
		mustNotOpen("without byte", n, append(bytes.Clone(good[:n]), good[n+1:]...))
	}
	mustNotOpen("longer by", 1, append(bytes.Clone(good), 0))
	if got, err := ring.Open(nil, good, about); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("the untouched value: %q, %v", got, err)
	}
}

// TestTamperAbout alters every bit of what a value is bound to, and its length.
func TestTamperAbout(t *testing.T) {
	ring := mustRing(t, mustKey(t))
	request := sampleRequest()
	about := request.AppendAbout(nil)
	sealed := ring.Seal(nil, []byte("x"), about)
	try := func(what string, n int, about []byte) {
		t.Helper()
		if _, err := ring.Open(nil, sealed, about); !errors.Is(err, ErrUndecryptable) {
			t.Errorf("%s %d: Open = %v, want ErrUndecryptable", what, n, err)
		}
	}
	for bit := range 8 * len(about) {
		bad := bytes.Clone(about)
		bad[bit/8] ^= 1 << (bit % 8)
		try("bit", bit, bad)
	}
	for n := range about {
		try("cut to", n, about[:n])
	}
	try("longer by", 1, append(bytes.Clone(about), 0))
	try("longer by", 4, append(bytes.Clone(about), 0, 0, 0, 0))
}

func sampleRequest() wire.Request {
	return wire.Request{
		Topic: "calculate", Key: []byte("customer-7"), ID: "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c11",
		ReplyTo: "rr.replies", ReplyPartition: 3, Timeout: 30 * time.Second, Sent: time.UnixMilli(1_790_000_000_123),
	}
}

func sampleReply() wire.Reply {
	return wire.Reply{
		Topic: "calculate", RequestID: "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c11", Status: wire.StatusOK,
		Attempt: 1, Duration: 12 * time.Millisecond, Plugin: "calculate 1.2.0", Key: []byte("customer-7"),
	}
}

// TestBoundFields changes each field of a request and a reply that the seal is
// bound to, as somebody with access to Kafka but not to the key would.
func TestBoundFields(t *testing.T) {
	ring := mustRing(t, mustKey(t))

	request := sampleRequest()
	sealed := ring.Seal(nil, []byte("x"), request.AppendAbout(nil))
	for name, change := range map[string]func(*wire.Request){
		"topic":           func(r *wire.Request) { r.Topic = "calculat" },
		"key":             func(r *wire.Request) { r.Key = []byte("customer-8") },
		"key empty":       func(r *wire.Request) { r.Key = []byte{} },
		"key null":        func(r *wire.Request) { r.Key = nil },
		"request_id":      func(r *wire.Request) { r.ID = "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c12" },
		"reply_to":        func(r *wire.Request) { r.ReplyTo = "rr.replies2" },
		"reply_partition": func(r *wire.Request) { r.ReplyPartition = 33 },
		"nobody waits":    func(r *wire.Request) { r.ReplyTo, r.ReplyPartition = "", 0 },
		"timeout_ms":      func(r *wire.Request) { r.Timeout += time.Millisecond },
		"sent_ms":         func(r *wire.Request) { r.Sent = r.Sent.Add(time.Millisecond) },
		"topic and id":    func(r *wire.Request) { r.Topic, r.ID = r.Topic+r.ID[:1], r.ID[1:] },
	} {
		changed := request
		change(&changed)
		if _, err := ring.Open(nil, sealed, changed.AppendAbout(nil)); !errors.Is(err, ErrUndecryptable) {
			t.Errorf("request with another %s: Open = %v", name, err)
		}
	}
	if _, err := ring.Open(nil, sealed, request.AppendAbout(nil)); err != nil {
		t.Errorf("the untouched request: %v", err)
	}

	reply := sampleReply()
	sealed = ring.Seal(nil, []byte("x"), reply.AppendAbout(nil))
	for name, change := range map[string]func(*wire.Reply){
		"topic":       func(r *wire.Reply) { r.Topic = "echo" },
		"request_id":  func(r *wire.Reply) { r.RequestID = "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c12" },
		"status":      func(r *wire.Reply) { r.Status = wire.StatusHandlerError },
		"attempt":     func(r *wire.Reply) { r.Attempt = 2 },
		"duration_ms": func(r *wire.Reply) { r.Duration = 13 * time.Millisecond },
		"plugin":      func(r *wire.Reply) { r.Plugin = "calculate 1.2.1" },
		"no plugin":   func(r *wire.Reply) { r.Plugin = "" },
		"key":         func(r *wire.Reply) { r.Key = nil },
		"key empty":   func(r *wire.Reply) { r.Key = []byte{} },
	} {
		changed := reply
		change(&changed)
		if _, err := ring.Open(nil, sealed, changed.AppendAbout(nil)); !errors.Is(err, ErrUndecryptable) {
			t.Errorf("reply with another %s: Open = %v", name, err)
		}
	}
	if _, err := ring.Open(nil, sealed, reply.AppendAbout(nil)); err != nil {
		t.Errorf("the untouched reply: %v", err)
	}

	if _, err := ring.Open(nil, ring.Seal(nil, nil, request.AppendAbout(nil)), reply.AppendAbout(nil)); !errors.Is(err, ErrUndecryptable) {
		t.Errorf("a request's payload in a reply: Open = %v", err)
	}
}
