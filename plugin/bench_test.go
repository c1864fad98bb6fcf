package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rrhost/internal/handler"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/stream"
)

var (
	benchRounds  = flag.Int("rounds", 7, "rounds of BenchmarkBoundary")
	benchFloors  = flag.Bool("floors", false, "let BenchmarkBoundary fail where a contender is slower than it must be")
	benchMeasure = flag.Duration("measure", 500*time.Millisecond, "time of each contender in each round of BenchmarkBoundary")
)

// BenchmarkBoundary is what it costs to have a request handled in another
// process: 256 bytes there and back. All contenders take turns, round by round,
// and each figure is divided by the bare stream's of the same round that has TLS
// where the contender has it, and else none; and so with unary calls.
//
//	go test -run '^$' -bench Boundary ./plugin
//
// The bare stream is gRPC's bidirectional one between two processes, over the
// same kind of socket, a message a request. Unary is how go-plugin is mostly
// used: a call a request. With -floors it fails where a median is too low, or a
// language is not installed.
func BenchmarkBoundary(b *testing.B) {
	contenders := startContenders(b)
	loads := []int{64, 1}
	results := make(map[string][]sample)
	for range *benchRounds {
		for _, inFlight := range loads {
			for _, c := range contenders {
				s, err := measure(c, inFlight)
				if err != nil {
					b.Fatalf("%s: %v", c.name, err)
				}
				key := fmt.Sprint(c.name, inFlight)
				results[key] = append(results[key], s)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // an operation here is the whole comparison
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\n\t64 in flight: requests/s\tto the bare stream\tto unary calls\t1 in flight: median\tto the bare stream\tto unary calls")
	for _, c := range contenders {
		many, one := results[c.name+"64"], results[c.name+"1"]
		stream, calls := bareStreamName(c.tls), unaryName(c.tls)
		fmt.Fprintf(w, "%s\t%.0f\t%s\t%s\t%.0f µs\t%s\t%s\n", c.name,
			middle(many, sample.rate), ratios(many, results[stream+"64"], sample.rate), ratios(many, results[calls+"64"], sample.rate),
			middle(one, sample.micros), ratios(one, results[stream+"1"], sample.micros), ratios(one, results[calls+"1"], sample.micros))
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if *benchFloors {
		checkFloors(b, contenders, results)
	}
}

// floors are what a plugin must reach at 64 in flight, in medians: of the
// requests of the bare stream, and of unary calls, with TLS where it has TLS.
var floors = []struct {
	plugin          string
	toBare, toUnary float64
}{
	{"Go plugin", 0.9, 2.5},
	{"Node plugin", 0.4, 0},
	{"Bun plugin", 0.4, 0},
	{"Python plugin", 0.06, 0},
}

func checkFloors(b *testing.B, contenders []contender, results map[string][]sample) {
	for _, f := range floors {
		i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == f.plugin })
		if i < 0 {
			b.Errorf("%s was not measured: its language is not installed", f.plugin)
			continue
		}
		c := contenders[i]
		for to, floor := range map[string]float64{bareStreamName(c.tls): f.toBare, unaryName(c.tls): f.toUnary} {
			if got := ratio(results[c.name+"64"], results[to+"64"], sample.rate); got[len(got)/2] < floor {
				b.Errorf("%s: %.3f of %s at 64 in flight, and must be %.2f at least", c.name, got[len(got)/2], to, floor)
			}
		}
	}
}

// A contender takes a payload to another process and back. start returns at once,
// and calls done when the payload is back.
type contender struct {
	name  string
	tls   bool
	start func(payload []byte, done func(back []byte, err error))
}

type sample struct {
	perSecond float64
	median    time.Duration
}

func (s sample) rate() float64   { return s.perSecond }
func (s sample) micros() float64 { return float64(s.median.Nanoseconds()) / 1e3 }

// measure keeps a number of requests in flight for a while.
func measure(c contender, inFlight int) (sample, error) {
	payload := bytes.Repeat([]byte("x"), 254)
	payload = append(append([]byte{'"'}, payload...), '"') // JSON, for those that want it
	var (
		slots = make(chan struct{}, inFlight)
		mu    sync.Mutex // guards all below
		took  []time.Duration
		first error
	)
	send := func(record bool) {
		slots <- struct{}{}
		start := time.Now()
		c.start(payload, func(back []byte, err error) {
			d := time.Since(start)
			if err == nil && len(back) != len(payload) {
				err = fmt.Errorf("%d bytes came back of %d", len(back), len(payload))
			}
			mu.Lock()
			if err != nil && first == nil {
				first = err
			}
			if record {
				took = append(took, d)
			}
			mu.Unlock()
			<-slots
		})
	}
	for end := time.Now().Add(*benchMeasure / 5); time.Now().Before(end); {
		send(false)
	}
	begun := time.Now()
	for end := begun.Add(*benchMeasure); time.Now().Before(end); {
		send(true)
	}
	for range inFlight {
		slots <- struct{}{}
	}
	elapsed := time.Since(begun)
	mu.Lock()
	defer mu.Unlock()
	if first != nil {
		return sample{}, first
	}
	slices.Sort(took)
	return sample{float64(len(took)) / elapsed.Seconds(), took[len(took)/2]}, nil
}

func middle(list []sample, of func(sample) float64) float64 {
	var values []float64
	for _, s := range list {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// ratio divides round by round; the least is first.
func ratio(list, to []sample, of func(sample) float64) []float64 {
	var values []float64
	for i := range list {
		values = append(values, of(list[i])/of(to[i]))
	}
	slices.Sort(values)
	return values
}

func ratios(list, to []sample, of func(sample) float64) string {
	values := ratio(list, to, of)
	return fmt.Sprintf("%.2f (%.2f to %.2f)", values[len(values)/2], values[0], values[len(values)-1])
}

// startContenders starts all whose language is installed.
func startContenders(b *testing.B) []contender {
	var list []contender
	for _, tls := range []bool{true, false} {
		conn := startBare(b, tls)
		list = append(list, bareStream(b, conn, tls), unary(conn, tls))
	}
	for _, p := range pluginContenders(b) {
		list = append(list, startPlugin(b, p.name, p.path))
	}
	return list
}

func startPlugin(b *testing.B, name, path string) contender {
	store, err := plugindir.OpenStore(filepath.Join(b.TempDir(), "store"), true)
	if err != nil {
		b.Fatal(err)
	}
	build, err := store.Stage(plugindir.At(path))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cfg := process.Config{Name: build.Name, Path: build.Program, Args: build.Args, Dir: build.Dir}
	if tls := build.Manifest.TLS; tls != nil {
		cfg.NoTLS = !*tls
	}
	p, err := process.Start(ctx, cfg)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	b.Cleanup(func() { _ = p.Stop(context.Background()) })
	info := handler.Info{RequestID: "7f3f0e3e-6f0c-4f8a-9c1e-0a6d8f2b4c11", Topic: "echo", Attempt: 1}
	return contender{name, !cfg.NoTLS, func(payload []byte, done func([]byte, error)) {
		p.Instance().Start(stream.Request{
			Handler: "echo", Info: info, Deadline: time.Now().Add(30 * time.Second), Payload: payload,
		}, func(r stream.Result) {
			switch {
			case r.Crashed:
				done(nil, errors.New("it crashed"))
			case r.Err != nil:
				done(nil, r.Err)
			default:
				done(r.Payload, nil)
			}
		})
	}}
}

// What is bare is served by the test's own program, started once more.
var bareHandshake = goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "RRHOST_BENCH_BARE", MagicCookieValue: "1"}

func TestMain(m *testing.M) {
	if os.Getenv(bareHandshake.MagicCookieKey) != "" {
		goplugin.Serve(&goplugin.ServeConfig{
			HandshakeConfig: bareHandshake, Plugins: goplugin.PluginSet{"bare": &bare{}},
			Logger: hclog.NewNullLogger(),
			GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
				return grpc.NewServer(append(opts, stream.ServerOptions(stream.MaxMessage(0), "")...)...)
			},
		})
		return
	}
	os.Exit(m.Run())
}

func startBare(b *testing.B, tls bool) *grpc.ClientConn {
	cmd := exec.Command(os.Args[0])
	c := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: bareHandshake, Plugins: goplugin.PluginSet{"bare": &bare{}}, Cmd: cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, AutoMTLS: tls, Logger: hclog.NewNullLogger(),
		GRPCDialOptions: stream.DialOptions(stream.MaxMessage(0), ""),
	})
	b.Cleanup(c.Kill)
	rpc, err := c.Client()
	if err != nil {
		b.Fatalf("start the bare server: %v", err)
	}
	return rpc.(*goplugin.GRPCClient).Conn
}

// bare echoes bytes.
type bare struct {
	goplugin.NetRPCUnsupportedPlugin
}

var bareService = grpc.ServiceDesc{
	ServiceName: "bench.Bare", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		m := new(wrapperspb.BytesValue)
		return m, decode(m)
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			m := new(wrapperspb.BytesValue)
			if err := s.RecvMsg(m); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			if err := s.SendMsg(m); err != nil {
				return err
			}
		}
	}}},
}

func (*bare) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&bareService, nil)
	return nil
}

func (*bare) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("not used")
}

func bareStreamName(tls bool) string { return "bare stream" + suffix(tls) }
func unaryName(tls bool) string      { return "unary calls" + suffix(tls) }

func suffix(tls bool) string {
	if tls {
		return ""
	}
	return ", no TLS"
}

// bareStream has one goroutine that sends and one that receives, answers being in
// the order of the requests.
func bareStream(b *testing.B, conn *grpc.ClientConn, tls bool) contender {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := conn.NewStream(ctx, &bareService.Streams[0], "/bench.Bare/Stream")
	if err != nil {
		b.Fatal(err)
	}
	waiting := make(chan func([]byte, error), 1024)
	received := make(chan struct{})
	go func() {
		defer close(received)
		for done := range waiting {
			m := new(wrapperspb.BytesValue)
			err := s.RecvMsg(m)
			done(m.GetValue(), err)
		}
	}()
	b.Cleanup(func() {
		cancel()
		close(waiting)
		<-received
	})
	return contender{bareStreamName(tls), tls, func(payload []byte, done func([]byte, error)) {
		waiting <- done
		_ = s.SendMsg(&wrapperspb.BytesValue{Value: payload}) // the receiver gets the error
	}}
}

func unary(conn *grpc.ClientConn, tls bool) contender {
	return contender{unaryName(tls), tls, func(payload []byte, done func([]byte, error)) {
		go func() {
			var m wrapperspb.BytesValue
			err := conn.Invoke(context.Background(), "/bench.Bare/Echo", &wrapperspb.BytesValue{Value: payload}, &m)
			done(m.GetValue(), err)
		}()
	}}
}
