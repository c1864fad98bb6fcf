package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func request(kind int16, body int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+body))
	b = binary.BigEndian.AppendUint16(b, uint16(kind))
	b = append(b, 0, 0, 0, 0, 0, 1) // version, correlation
	return append(b, make([]byte, body)...)
}

// readerConn is a connection that is only read.
type readerConn struct {
	net.Conn
	io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func reading(r io.Reader) *guardedConn {
	return &guardedConn{Conn: readerConn{Reader: r}}
}

func TestGuardedConn(t *testing.T) {
	good := append(request(18, 3), request(17, 0)...)
	tests := []struct {
		name string
		sent []byte
		want int // bytes let through before the end
		err  error
	}{
		{"two requests", good, len(good), nil},
		{"a browser", []byte("GET / HTTP/1.1\r\n\r\n"), 0, errFrame},
		{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 0, errFrame},
		{"four gigabytes", []byte{0xff, 0xff, 0xff, 0xff, 0, 18, 0, 0}, 0, errFrame},
		{"more than a login takes", request(36, maxFrameBefore-7), 0, errFrame},
		{"nothing in it", []byte{0, 0, 0, 0, 0, 18, 0, 0}, 0, errFrame},
		{"a kind that Kafka does not have", request(999, 3), 0, errFrame},
		{"the second is bad", append(bytes.Clone(good), request(-7, 1)...), len(good), errFrame},
		{"ends in a head", good[:len(good)-7], len(request(18, 3)), io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		for name, reader := range map[string]io.Reader{
			"at once":      bytes.NewReader(tt.sent),
			"byte by byte": iotest.OneByteReader(bytes.NewReader(tt.sent)),
		} {
			got, err := io.ReadAll(reading(reader))
			if !errors.Is(err, tt.err) || !bytes.Equal(got, tt.sent[:tt.want]) {
				t.Errorf("%s, %s: %d bytes, %v; want %d, %v", tt.name, name, len(got), err, tt.want, tt.err)
			}
		}
	}
}

func FuzzGuardedConn(f *testing.F) {
	f.Add(append(request(18, 3), request(0, 40)...), 7)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 1)
	f.Add([]byte{}, 1)
	f.Fuzz(func(t *testing.T, sent []byte, step int) {
		got := new(bytes.Buffer)
		_, err := io.CopyBuffer(got, struct{ io.Reader }{reading(bytes.NewReader(sent))}, make([]byte, 1+uint(step)%64))
		if !bytes.HasPrefix(sent, got.Bytes()) {
			t.Fatal("what comes out is not what was sent")
		}
		if err == nil && got.Len() < len(sent)-7 { // the end may cut a head
			t.Fatalf("%d of %d bytes let through, without an error", got.Len(), len(sent))
		}
		for rest := got.Bytes(); len(rest) >= 8; {
			size := binary.BigEndian.Uint32(rest)
			if size > maxFrame || kmsg.RequestForKey(int16(binary.BigEndian.Uint16(rest[4:]))) == nil {
				t.Fatalf("let through %x", rest[:8])
			}
			rest = rest[min(len(rest), 4+int(size)):]
		}
	})
}

// stubConn is a connection that takes all that is written.
type stubConn struct{ readerConn }

func (stubConn) Write(p []byte) (int, error)     { return len(p), nil }
func (stubConn) SetReadDeadline(time.Time) error { return nil }

// answer is a response to version 2 of SaslAuthenticate, with an error code.
func answer(code byte) []byte { return []byte{0, 0, 0, 7, 0, 0, 0, 1, 0, 0, code} }

// Large requests are let through once SCRAM's two steps are taken, and only then:
// neither errors nor answers to other requests count, whatever they look like.
func TestLoginOpensForLarge(t *testing.T) {
	authenticate := request(36, 3)
	authenticate[7] = 2
	tests := []struct {
		name    string
		sent    [][]byte
		answers [][]byte
		opens   bool
	}{
		{"as clients do", [][]byte{request(18, 1), request(17, 1), authenticate, authenticate}, [][]byte{answer(0), answer(0), answer(0), answer(0)}, true},
		{"one step", [][]byte{request(17, 1), authenticate}, [][]byte{answer(0), answer(0)}, false},
		{"refused", [][]byte{request(17, 1), authenticate, authenticate}, [][]byte{answer(0), answer(0), answer(58)}, false},
		{"other requests", [][]byte{request(18, 1), request(18, 1), request(18, 1)}, [][]byte{answer(0), answer(0), answer(0)}, false},
		{"not answered yet", [][]byte{authenticate, authenticate, request(18, 1)}, [][]byte{answer(0)}, false},
	}
	for _, tt := range tests {
		large := request(0, 2<<20)
		all := bytes.Join(append(tt.sent, large), nil)
		c := &guardedConn{Conn: stubConn{readerConn{Reader: bytes.NewReader(all)}}, enter: func() bool { return true }}
		if _, err := io.ReadFull(c, make([]byte, len(all)-len(large))); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for _, a := range tt.answers {
			if _, err := c.Write(a); err != nil {
				t.Fatal(err)
			}
		}
		rest, err := io.ReadAll(c)
		if opened := err == nil && len(rest) == len(large); opened != tt.opens {
			t.Errorf("%s: %d bytes let through, %v; want all: %t", tt.name, len(rest), err, tt.opens)
		}
	}
}

// The first request after the login may be the largest, with both libraries.
func TestLargeAfterLogin(t *testing.T) {
	cfg := settings(t)
	start(t, &cfg)
	c := client(t, cfg)
	createTopic(t, c, "large", 1, nil)
	value := strings.Repeat("x", 900_000)
	produce(t, c, "large", 0, value, time.Now())
	if _, _, err := saramaProducer(t, cfg).SendMessage(&sarama.ProducerMessage{Topic: "large", Value: sarama.StringEncoder(value)}); err != nil {
		t.Error(err)
	}
}

// disconnects counts the connections that a client has lost.
type disconnects struct{ atomic.Int32 }

func (d *disconnects) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { d.Add(1) }

// However many connections never log in, clients do, and those that have keep
// their connections.
func TestStrangersTakeNoRoom(t *testing.T) {
	cfg := settings(t)
	b := start(t, &cfg)
	lost := new(disconnects)
	before := client(t, cfg, kgo.WithHooks(lost))
	createTopic(t, before, "topic", 1, nil)
	produce(t, before, "topic", 0, "before", time.Now())
	var strangers []net.Conn
	for range maxConns + 1 {
		conn, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		strangers = append(strangers, conn)
	}
	produce(t, client(t, cfg), "topic", 0, "after", time.Now())
	produce(t, before, "topic", 0, "before", time.Now())
	if n := lost.Load(); n > 0 {
		t.Errorf("a client that was there before has lost %d connections", n)
	}
	strangers[0].SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := strangers[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest stranger: %v, want its end", err)
	}
}

// All that may be logged in may log in at once, as they do after a restart.
func TestAllLogInAtOnce(t *testing.T) {
	l := &listener{members: map[*guardedConn]bool{}}
	var conns []*guardedConn
	for range maxConns {
		near, far := net.Pipe()
		defer far.Close()
		conn, err := l.admit(near)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn.(*guardedConn))
	}
	for i, c := range conns {
		if !l.enter(c) {
			t.Fatalf("of %d that log in at once, number %d cannot", len(conns), i+1)
		}
	}
}

// Who logs in while too many are is refused, until others have left.
func TestTooManyConnections(t *testing.T) {
	cfg := settings(t)
	b := start(t, &cfg)
	fill := func(n int) {
		b.listener.mu.Lock()
		defer b.listener.mu.Unlock()
		clear(b.listener.members)
		for range n {
			b.listener.members[new(guardedConn)] = true
		}
	}
	fill(maxConns)
	one := func() error {
		c := client(t, cfg, kgo.RequestRetries(0))
		defer c.Close()
		return c.Ping(within(t))
	}
	if err := one(); err == nil {
		t.Error("one too many is answered")
	}
	fill(0)
	if err := one(); err != nil {
		t.Errorf("when others have left: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if n := len(b.listener.members); n > 0 {
		t.Errorf("%d connections are counted that have left", n)
	}
}

// A login is over in time, however busily it is not finished.
func TestLoginTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		l := &listener{}
		conn, err := l.admit(near)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		var busy sync.WaitGroup
		busy.Go(func() {
			for {
				time.Sleep(time.Second)
				if _, err := far.Write(request(18, 3)); err != nil {
					return
				}
			}
		})
		if _, err := io.Copy(io.Discard, conn); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != loginMost {
			t.Errorf("ended by %v after %s, want the deadline after %s", err, time.Since(begun), loginMost)
		}
		conn.Close()
		conn.Close() // as kfake does
		l.wait()
		busy.Wait()
		if len(l.strangers) > 0 {
			t.Error("who has left is still counted")
		}
	})
}

// kfake dies of such bytes. The broker drops the connection and goes on.
func TestStrangersBytes(t *testing.T) {
	cfg := settings(t)
	b := start(t, &cfg)
	for _, sent := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x00\x00\x00\x08\x03\xe7\x00\x00\x00\x00\x00\x01"} {
		conn, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q is answered with %d bytes, %v; want the end of the connection", sent, n, err)
		}
		conn.Close()
	}
	createTopic(t, client(t, cfg), "still-serves", 1, nil)
}

func TestAdvertised(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:0": "127.0.0.1:",
		"0.0.0.0:0":   "127.0.0.1:",
		":0":          "127.0.0.1:",
	} {
		l, err := listenOn(t, listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Addr().String(); !strings.HasPrefix(got, want) || strings.HasSuffix(got, ":0") {
			t.Errorf("%s tells clients %s, want %s and a port", listen, got, want)
		}
	}
}

func TestPortInUse(t *testing.T) {
	first, err := listenOn(t, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := first.Addr().String()
	if _, err := listenOn(t, address); err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "[embedded] listen") {
		t.Errorf("error %v, want the address and what to set", err)
	}
}

func listenOn(t *testing.T, address string) (*listener, error) {
	l, err := listen(address)
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, err
}
