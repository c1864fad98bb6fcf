package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"rrhost/internal/handler"
	"rrhost/internal/stream"
	"rrhost/plugin/proto"
)

// serveFaulty is a plugin that does all that the protocol wants but for one thing.
// It returns the code to exit with.
func serveFaulty(fault string) int {
	is := func(name string) bool { return fault == name }
	if os.Getenv(stream.Handshake.MagicCookieKey) == "" {
		if is("silent by hand") {
			return 0
		}
		fmt.Fprintln(os.Stderr, "this is a plugin")
		return 1
	}
	if is("noise") {
		fmt.Println("starting up")
	}
	signal.Ignore(os.Interrupt)
	if is("interruptible") {
		interrupts := make(chan os.Signal, 1)
		signal.Notify(interrupts, os.Interrupt)
		go func() { <-interrupts; os.Exit(130) }()
	}
	if !is("outlives its host") {
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(1) }()
	}
	f := &faulty{fault: fault}
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, JSONFormat: true, Level: hclog.Debug})
	server, err := stream.NewServer(stream.About{Name: "faulty", SDK: "test", ConfigSchema: []byte(`{"type":"object"}`)}, f.handlers(), f.configure, logger)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	f.Server = server
	switch term := make(chan os.Signal, 1); fault {
	case "dies of SIGTERM":
	case "ignores SIGTERM":
		signal.Ignore(syscall.SIGTERM)
	default:
		signal.Notify(term, syscall.SIGTERM)
		go func() { <-term; server.Leave() }()
	}
	token := os.Getenv(stream.TokenEnv)
	if is("lets anyone in") {
		token = ""
	}
	limit, err := strconv.Atoi(os.Getenv(stream.MaxMessageEnv))
	if err != nil || is("default limits") {
		limit = 4 << 20
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: stream.Handshake,
		Plugins:         goplugin.PluginSet{"handler": &service{handler: f}},
		Logger:          hclog.NewNullLogger(),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(append(opts, stream.ServerOptions(limit, token)...), grpc.ChainUnaryInterceptor(f.unary))...)
		},
	})
	switch fault {
	case "stays after Shutdown":
		time.Sleep(time.Minute)
	case "exits with 2":
		return 2
	}
	return 0
}

// service makes a faulty go-plugin's.
type service struct {
	goplugin.NetRPCUnsupportedPlugin
	handler proto.HandlerServer
}

func (s *service) GRPCServer(_ *goplugin.GRPCBroker, g *grpc.Server) error {
	proto.RegisterHandlerServer(g, s.handler)
	return nil
}

func (*service) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no client")
}

// A faulty is the SDK's server with a fault around it.
type faulty struct {
	*stream.Server
	fault     string
	settings  json.RawMessage
	turn      sync.Mutex
	described int
}

func (f *faulty) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if info.FullMethod == grpc_health_v1.Health_Check_FullMethodName && f.fault == "sick" {
		return nil, status.Error(codes.Unimplemented, "no health")
	}
	return handle(ctx, req)
}

func (f *faulty) configure(text []byte) error {
	var settings map[string]any
	if err := json.Unmarshal(text, &settings); err != nil {
		return err
	}
	f.settings = text
	switch _, isText := settings["greeting"].(string); {
	case f.fault == "refuses all settings":
		return errors.New("not these")
	case settings["greeting"] == nil || isText || f.fault == "takes all settings":
		return nil
	case f.fault == "quotes settings":
		return fmt.Errorf("greeting is %.0f", settings["greeting"])
	}
	return errors.New("greeting must be text")
}

func (f *faulty) Describe(ctx context.Context, req *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	about, err := f.Server.Describe(ctx, req)
	if err != nil {
		return nil, err
	}
	f.described++
	switch f.fault {
	case "two of a name":
		about.Handlers = append(about.Handlers, about.Handlers[0])
	case "broken schema":
		about.Handlers[0].RequestSchema = []byte(`{"type":"nothing"}`)
	case "fickle":
		about.Version = fmt.Sprint(f.described)
	}
	return about, nil
}

func (f *faulty) Configure(ctx context.Context, req *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	if f.fault == "limitless" {
		req.MaxReply = 0
	}
	return f.Server.Configure(ctx, req)
}

func (f *faulty) Handle(conn proto.Handler_HandleServer) error {
	return f.Server.Handle(&faultyStream{conn, f.fault})
}

// A faultyStream has the faults that can be seen in frames.
type faultyStream struct {
	proto.Handler_HandleServer
	fault string
}

func (s *faultyStream) Recv() (*proto.RequestFrame, error) {
	frame, err := s.Handler_HandleServer.Recv()
	if errors.Is(err, io.EOF) && s.fault == "drops what runs" {
		os.Exit(0)
	}
	for _, r := range frame.GetRequests() {
		if s.fault == "dies of garbage" && !json.Valid(r.GetPayload()) {
			os.Exit(3)
		}
	}
	return frame, err
}

func (s *faultyStream) Send(frame *proto.ResultFrame) error {
	switch s.fault {
	case "answers twice":
		if err := s.Handler_HandleServer.Send(&proto.ResultFrame{Results: frame.GetResults()}); err != nil {
			return err
		}
	case "says no goodbye":
		frame.Goodbye = nil
	case "counts wrong":
		if frame.Goodbye != nil {
			frame.Goodbye.Last = 0
		}
	case "invents handlers":
		for _, r := range frame.GetResults() {
			if r.GetError().GetStatus() == handler.StatusNoHandler {
				r.Error, r.Payload = nil, []byte("{}")
			}
		}
	}
	return s.Handler_HandleServer.Send(frame)
}

// handlers are the conformance handlers, with the faults that are theirs.
func (f *faulty) handlers() []handler.Handler {
	raw := func(name string, fn func(ctx context.Context, in map[string]any, payload []byte) (any, error)) handler.Handler {
		return handler.NewRaw(name, func(ctx context.Context, payload []byte) ([]byte, error) {
			var in map[string]any
			if err := json.Unmarshal(payload, &in); err != nil && name != "echo" {
				return nil, err
			}
			out, err := fn(ctx, in, payload)
			if err != nil {
				return nil, err
			}
			if text, ok := out.([]byte); ok {
				return text, nil
			}
			return json.Marshal(out)
		})
	}
	number := func(v any) int { n, _ := v.(float64); return int(n) }
	text := func(v any) string { s, _ := v.(string); return s }
	type typedIn struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}
	typed := handler.New("typed", func(_ context.Context, in typedIn) (typedIn, error) { return in, nil })
	switch f.fault {
	case "quotes payloads":
		typed = raw("typed", func(_ context.Context, in map[string]any, _ []byte) (any, error) {
			count, given := in["count"]
			if _, ok := count.(float64); given && !ok {
				return nil, fmt.Errorf("count is %v", count)
			}
			return map[string]any{"name": in["name"], "count": number(count)}, nil
		})
	case "wants every field":
		typed = handler.New("typed", func(_ context.Context, in struct {
			Name  *string `json:"name"`
			Count *int    `json:"count"`
		},
		) (any, error) {
			if in.Name == nil || in.Count == nil {
				return nil, handler.Misfit("a field is missing")
			}
			return in, nil
		})
	}
	return []handler.Handler{
		raw("echo", func(_ context.Context, _ map[string]any, payload []byte) (any, error) {
			if f.fault == "re-encodes" {
				payload = []byte(strings.TrimSpace(string(payload)))
			}
			return payload, nil
		}),
		raw("info", func(ctx context.Context, _ map[string]any, _ []byte) (any, error) {
			i, _ := handler.InfoFrom(ctx)
			end, _ := ctx.Deadline()
			if f.fault == "forgets attempts" {
				i.Attempt = 1
			}
			return map[string]any{
				"request_id": i.RequestID, "topic": i.Topic, "handler": i.Handler, "attempt": i.Attempt, "redelivered": i.Redelivered,
				"remaining_ms": time.Until(end).Milliseconds(), "traceparent": i.Traceparent,
			}, nil
		}),
		raw("fail", func(_ context.Context, in map[string]any, _ []byte) (any, error) {
			e := &handler.UserError{Code: text(in["code"]), Message: text(in["message"]), Details: in["details"]}
			if f.fault == "drops details" {
				e.Details = nil
			}
			return nil, e
		}),
		raw("panic", func(ctx context.Context, in map[string]any, _ []byte) (any, error) {
			switch said := "secret-" + text(in["text"]); f.fault {
			case "tells what was thrown":
				return nil, &handler.UserError{Code: "panic", Message: said}
			case "logs what was thrown":
				handler.LoggerFrom(ctx).Error("thrown", "error", said)
				return nil, &handler.UserError{Code: "panic", Message: "the handler panicked"}
			default:
				panic(said)
			}
		}),
		raw("slow", func(ctx context.Context, in map[string]any, _ []byte) (any, error) {
			ms := number(in["ms"])
			if f.fault == "one at a time" {
				f.turn.Lock()
				defer f.turn.Unlock()
			}
			if f.fault == "heeds no context" && ms > 1000 {
				ctx = context.WithoutCancel(ctx)
			}
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
				return map[string]any{"slept_ms": ms}, nil
			case <-ctx.Done():
				if f.fault != "logs nothing" {
					handler.LoggerFrom(ctx).Info("slow was cancelled")
				}
				return nil, ctx.Err()
			}
		}),
		raw("chatty", func(ctx context.Context, in map[string]any, _ []byte) (any, error) {
			line := strings.Repeat("x", number(in["size"]))
			for range number(in["lines"]) {
				fmt.Println(line)
				fmt.Fprintln(os.Stderr, line)
				if f.fault != "logs nothing" {
					handler.LoggerFrom(ctx).Info(line)
				}
			}
			return map[string]any{"lines": in["lines"]}, nil
		}),
		raw("huge", func(_ context.Context, in map[string]any, _ []byte) (any, error) {
			return strings.Repeat("x", number(in["bytes"])), nil
		}),
		typed,
		raw("settings", func(context.Context, map[string]any, []byte) (any, error) {
			if f.fault == "forgets its settings" {
				return []byte("{}"), nil
			}
			return []byte(f.settings), nil
		}),
		raw("exit", func(_ context.Context, in map[string]any, _ []byte) (any, error) {
			if f.fault == "exits as it likes" {
				os.Exit(1)
			}
			os.Exit(number(in["code"]))
			return nil, nil
		}),
	}
}
