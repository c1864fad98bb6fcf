package plugintest

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"rrhost/internal/stream"
	"rrhost/plugin"
	"rrhost/plugin/proto"
)

// maxPayload is the largest request and response of [Serve], in bytes: the host's
// default.
const maxPayload = 1_000_000

// Serve serves handlers in this process as [plugin.Serve] does in one of its own:
// requests and results take the same stream, with the same limits, through memory.
// It is quick, the handlers count for coverage, and a debugger stops in them; a
// handler that ends its process ends the test.
//
// Settings are not handed over, nor [plugin.OnConfigure]'s function called: that
// takes [Start]. Handlers that cannot be served, or have a request schema that a host
// cannot use, fail the test. What runs at the end of the test has its context
// ended, and is waited for.
func Serve(t testing.TB, handlers ...plugin.Handler) *Plugin {
	t.Helper()
	p := &Plugin{logs: new(logBuffer), pid: os.Getpid()}
	about := stream.About{Name: t.Name(), Version: "test", SDK: "go " + plugin.SDKVersion}
	server, err := stream.NewServer(about, handlers, func([]byte) error { return nil }, p.logs.logger())
	if err != nil {
		t.Fatalf("serve handlers: %v", err)
	}
	if _, err := server.Configure(t.Context(), &proto.ConfigureRequest{MaxReply: maxPayload}); err != nil {
		t.Fatalf("serve handlers: %v", err)
	}
	for _, h := range handlers {
		about.Handlers = append(about.Handlers, stream.HandlerInfo{
			Name: h.Name(), RequestSchema: h.RequestSchema(), ResponseSchema: h.ResponseSchema(), ChecksPayload: h.ChecksPayload(),
		})
	}
	if err := p.ask(stream.NewInstance(about, maxPayload)); err != nil {
		t.Fatalf("serve handlers: %v", err)
	}

	token := stream.NewToken()
	listener := bufconn.Listen(64 << 10)
	gs := grpc.NewServer(append(stream.ServerOptions(stream.MaxMessage(maxPayload), token), grpc.WaitForHandlers(true))...)
	proto.RegisterHandlerServer(gs, server)
	conn, err := grpc.NewClient("passthrough:plugin", append(stream.DialOptions(stream.MaxMessage(maxPayload), token),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatalf("serve handlers: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		gs.Stop() // waits for the handlers
		_ = conn.Close()
		running.Wait()
	})
	running.Go(func() { _ = gs.Serve(listener) }) // until it is stopped
	handle, err := proto.NewHandlerClient(conn).Handle(ctx)
	if err != nil {
		t.Fatalf("serve handlers: %v", err)
	}
	running.Go(func() { _ = p.instance.Run(handle) }) // likewise
	return p
}
