// Frozen is a plugin as somebody has built it long ago: with the messages of the
// protocol's first form and serving code of its own, without the SDK. Today's host
// has to run it. Do not change it; where the protocol grows, freeze another one
// beside it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"rrhost/test/golden/frozen/proto"
)

func main() {
	if os.Getenv("RRHOST_PLUGIN") != "handler/1" {
		fmt.Fprintln(os.Stderr, "frozen is a plugin for rrhost, which starts it by itself.")
		os.Exit(1)
	}
	signal.Ignore(os.Interrupt)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the host is gone
		os.Exit(1)
	}()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	p := &plugin{leave: make(chan struct{})}
	go func() {
		<-term
		close(p.leave)
	}()
	limit, err := strconv.Atoi(os.Getenv("RRHOST_MAX_MESSAGE"))
	if err != nil {
		limit = 2 << 20
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "RRHOST_PLUGIN", MagicCookieValue: "handler/1"},
		Plugins:         goplugin.PluginSet{"handler": p},
		Logger:          hclog.NewNullLogger(),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(limit), grpc.MaxSendMsgSize(limit))...)
		},
	})
}

// A plugin answers Describe, Configure and one Handle.
type plugin struct {
	goplugin.NetRPCUnsupportedPlugin
	proto.UnimplementedHandlerServer

	leave    chan struct{} // closed on SIGTERM
	maxReply int
	greeting string
}

func (p *plugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	proto.RegisterHandlerServer(s, p)
	return nil
}

func (p *plugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no client")
}

func (p *plugin) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	return &proto.DescribeResponse{Name: "frozen", Version: "1.0.0", Sdk: "none 2026-11-24", Handlers: []*proto.HandlerInfo{
		{Name: "calculate", RequestSchema: []byte(`{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}}}`)},
		{Name: "greeting"}, {Name: "fail"}, {Name: "wait"},
	}}, nil
}

func (p *plugin) Configure(_ context.Context, req *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	var settings struct{ Greeting string }
	if json.Unmarshal(req.GetSettings(), &settings) != nil {
		return nil, status.Error(codes.InvalidArgument, "greeting must be text")
	}
	p.greeting, p.maxReply = settings.Greeting, int(req.GetMaxReply())
	return &proto.ConfigureResponse{}, nil
}

// Handle runs one stream.
func (p *plugin) Handle(stream proto.Handler_HandleServer) error {
	var (
		mu      sync.Mutex // guards all below, and sending
		running = make(map[uint64]context.CancelFunc)
		last    uint64
		leaving bool
		wait    sync.WaitGroup
	)
	take := func(r *proto.Request) {
		ctx, cancel := context.WithTimeout(stream.Context(), time.Duration(min(r.GetTimeoutUs(), 1<<40))*time.Microsecond)
		running[r.GetNumber()], last = cancel, max(last, r.GetNumber())
		wait.Go(func() {
			begun := time.Now()
			payload, fault := p.run(ctx, r)
			mu.Lock()
			defer mu.Unlock()
			cancel()
			delete(running, r.GetNumber())
			// An error means that the host is gone, as reading tells too.
			_ = stream.Send(&proto.ResultFrame{Results: []*proto.Result{{
				Number: r.GetNumber(), Payload: payload, Error: fault, DurationUs: uint64(time.Since(begun).Microseconds()),
			}}})
		})
	}
	read := make(chan error, 1)
	go func() {
		for {
			frame, err := stream.Recv()
			if err != nil {
				read <- err
				return
			}
			mu.Lock()
			for _, r := range frame.GetRequests() {
				if !leaving {
					take(r)
				}
			}
			for _, n := range frame.GetCancels() {
				if cancel := running[n]; cancel != nil {
					cancel()
				}
			}
			mu.Unlock()
		}
	}()
	var err error
	select {
	case err = <-read:
	case <-p.leave:
		mu.Lock()
		leaving = true
		err = stream.Send(&proto.ResultFrame{Goodbye: &proto.Goodbye{Last: last}})
		mu.Unlock()
	}
	wait.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// run is all handlers.
func (p *plugin) run(ctx context.Context, r *proto.Request) ([]byte, *proto.Error) {
	switch r.GetHandler() {
	case "calculate":
		var in struct{ A, B float64 }
		if json.Unmarshal(r.GetPayload(), &in) != nil {
			return nil, &proto.Error{Status: "invalid_payload", Code: "invalid_payload", Message: "a and b must be numbers"}
		}
		return fmt.Appendf(nil, `{"result":%g}`, in.A+in.B), nil
	case "greeting":
		text, _ := json.Marshal(p.greeting) // a string has a JSON form
		return text, nil
	case "fail":
		return nil, &proto.Error{Status: "handler_error", Code: "no_such_account", Message: "there is none", Details: []byte(`{"id":7}`)}
	case "wait":
		<-ctx.Done()
		return nil, &proto.Error{Status: "deadline_exceeded", Code: "deadline_exceeded", Message: "too late"}
	}
	return nil, &proto.Error{Status: "no_handler", Code: "no_handler", Message: "there are calculate, greeting, fail and wait"}
}
