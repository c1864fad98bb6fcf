package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

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

func guard(r io.Reader) *guardedConn {
	return &guardedConn{Conn: readerConn{Reader: r}, gone: func() {}}
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
			got, err := io.ReadAll(guard(reader))
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
		_, err := io.CopyBuffer(got, struct{ io.Reader }{guard(bytes.NewReader(sent))}, make([]byte, 1+uint(step)%64))
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
