package sdk

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rrhost/internal/stream"
)

// BenchmarkPython is a Python plugin's echo of 256 bytes, and what a bare stream
// between two Go processes does, one message a request, without TLS as it. Both
// run in each round, one after the other; "of-bare" is the median of the rounds'
// ratios.
func BenchmarkPython(b *testing.B) {
	for _, inflight := range []int{1, 64} {
		b.Run(fmt.Sprintf("inflight=%d", inflight), func(b *testing.B) {
			p := pyStart(b, "conformance", nil)
			bare := pyBareStream(b)
			const each = time.Second
			payload := string(make([]byte, 256))
			var ratios, ours, theirs []float64
			for b.Loop() {
				us := pyRate(each, inflight, func(done func()) {
					p.Instance().Start(pyRequest("echo", payload, 30*time.Second), func(r stream.Result) {
						if len(r.Payload) != len(payload) {
							b.Errorf("%+v", r)
						}
						done()
					})
				})
				them := pyRate(each, inflight, bare)
				ours, theirs, ratios = append(ours, us), append(theirs, them), append(ratios, us/them)
			}
			for unit, values := range map[string][]float64{"req/s": ours, "bare-req/s": theirs, "of-bare": ratios} {
				slices.Sort(values)
				b.ReportMetric(values[len(values)/2], unit)
			}
			b.ReportMetric(ratios[0], "of-bare-min")
		})
	}
}

// pyRate keeps so many in flight for so long, and returns how many ended in a
// second.
func pyRate(during time.Duration, inflight int, start func(done func())) float64 {
	slots := make(chan struct{}, inflight)
	begin, n := time.Now(), 0
	for ; time.Since(begin) < during; n++ {
		slots <- struct{}{}
		start(func() { <-slots })
	}
	for range inflight {
		slots <- struct{}{}
	}
	return float64(n) / time.Since(begin).Seconds()
}

const pyBareSocket = "RRHOST_TEST_BARE_SOCKET"

var pyBareService = grpc.ServiceDesc{
	ServiceName: "bare.Echo", HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{{StreamName: "Echo", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			var m wrapperspb.BytesValue
			if err := s.RecvMsg(&m); err != nil {
				return nil
			}
			if err := s.SendMsg(&m); err != nil {
				return err
			}
		}
	}}},
}

// TestPythonBareEcho is no test: it is the other process of the bare stream.
func TestPythonBareEcho(t *testing.T) {
	path := os.Getenv(pyBareSocket)
	if path == "" {
		t.Skip("it is the benchmark's other process")
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(stream.ServerOptions(1 << 20)...)
	server.RegisterService(&pyBareService, new(any))
	if err := server.Serve(l); err != nil { // until it is killed
		t.Fatal(err)
	}
}

// pyBareStream starts the other process and returns what sends it a message.
func pyBareStream(b *testing.B) (start func(done func())) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "s")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPythonBareEcho$")
	cmd.Env = append(os.Environ(), pyBareSocket+"="+path)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	conn, err := grpc.NewClient("unix://"+path, append(stream.DialOptions(1<<20), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := conn.NewStream(ctx, &pyBareService.Streams[0], "/bare.Echo/Echo", grpc.WaitForReady(true))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		_ = conn.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	// Echoes come back in order.
	waiting := make(chan func(), 1024)
	go func() { // ends with the stream
		var m wrapperspb.BytesValue
		for s.RecvMsg(&m) == nil {
			(<-waiting)()
		}
	}()
	m := &wrapperspb.BytesValue{Value: make([]byte, 256)}
	return func(done func()) {
		waiting <- done
		if err := s.SendMsg(m); err != nil {
			b.Error(err)
		}
	}
}
