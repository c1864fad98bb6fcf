// Raw is a plugin below gRPC's types: it answers with whatever bytes its argument
// stands for. Tests hold a host against it.
package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	protobuf "google.golang.org/protobuf/proto"

	"rrhost/plugin/proto"
)

// Whatever the mode doesn't change is as it should be. Modes are:
//
//	good               nothing
//	http2-garbage      the socket speaks no HTTP/2
//	http2-endless      the socket sends without end
//	health-garbage     no message
//	describe-garbage   no message
//	describe-huge      above all limits
//	describe-many      200,000 handlers
//	describe-schema    a request schema that cannot be used
//	describe-error     an error with control characters
//	configure-error    an error of a megabyte
//	configure-sick     it serves until it has its settings
//	handle-garbage     no message
//	handle-huge        a result above all limits
//	handle-others      results of numbers that nobody has, without end
//	handle-twice       each result twice, and a goodbye before each
//	handle-error       the stream ends with an error with control characters
//	stdio-endless      its output's stream sends without end
func main() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the host
		os.Exit(1)
	}()
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(mode string) error {
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	fmt.Printf("1|1|unix|%s|grpc|\n", path)
	if strings.HasPrefix(mode, "http2-") {
		return noise(l, mode)
	}
	s := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.MaxSendMsgSize(math.MaxInt32), grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(s)
			return answer(mode, method[strings.LastIndexByte(method, '/')+1:], s)
		}))
	return s.Serve(l)
}

// noise answers connections with what is no HTTP/2.
func noise(l net.Listener, mode string) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			for text := bytes.Repeat([]byte("\x00\xff\x04 PRI"), 1<<12); ; {
				if _, err := conn.Write(text); err != nil || mode == "http2-garbage" {
					return
				}
			}
		}()
	}
}

var garbage = []byte{0xff, 0xff, 0xff, 0x07, 0x0a, 0xff}

// configured tells whether the plugin has its settings.
var configured atomic.Bool

const forged = "a\n[ERROR] forged\x1b[2J\xff"

func answer(mode, method string, s grpc.ServerStream) error {
	switch at := strings.ToLower(method); {
	case method == "Check" && mode == "health-garbage", mode == at+"-garbage":
		return s.SendMsg(garbage)
	case mode == at+"-error":
		return status.Error(codes.InvalidArgument, strings.Repeat(forged, 1+len(at)/len("configure")*80_000))
	case mode == at+"-huge":
		return s.SendMsg(make([]byte, 64<<20))
	}
	switch method {
	case "Check":
		state := grpc_health_v1.HealthCheckResponse_SERVING
		if mode == "configure-sick" && configured.Load() {
			state = grpc_health_v1.HealthCheckResponse_NOT_SERVING
		}
		return send(s, &grpc_health_v1.HealthCheckResponse{Status: state})
	case "Describe":
		d := &proto.DescribeResponse{Name: "raw", Handlers: []*proto.HandlerInfo{{Name: "echo"}}}
		if mode == "describe-schema" {
			d.Handlers[0].RequestSchema = []byte(`{"type":5}`)
		}
		for n := 0; mode == "describe-many" && n < 200_000; n++ {
			d.Handlers = append(d.Handlers, &proto.HandlerInfo{Name: fmt.Sprint(n)})
		}
		return send(s, d)
	case "Configure":
		configured.Store(true)
		return send(s, &proto.ConfigureResponse{})
	case "StreamStdio":
		for text := make([]byte, 1<<20); mode == "stdio-endless"; {
			if err := s.SendMsg(append([]byte{0x12, 0x80, 0x80, 0x40}, text...)); err != nil {
				return err
			}
		}
		<-s.Context().Done()
		return nil
	case "Handle":
		return handle(mode, s)
	}
	return status.Error(codes.Unimplemented, method)
}

func send(s grpc.ServerStream, m protobuf.Message) error {
	text, err := protobuf.Marshal(m)
	if err != nil {
		return err
	}
	return s.SendMsg(text)
}

// handle answers requests with their payloads.
func handle(mode string, s grpc.ServerStream) error {
	for {
		var text []byte
		if err := s.RecvMsg(&text); err != nil {
			return nil // the host has hung up
		}
		var in proto.RequestFrame
		if err := protobuf.Unmarshal(text, &in); err != nil {
			return err
		}
		for n := uint64(1 << 40); mode == "handle-others"; n++ {
			if err := send(s, &proto.ResultFrame{Results: []*proto.Result{{Number: n, DurationUs: math.MaxUint64}, {}, {Error: &proto.Error{}}}}); err != nil {
				return err
			}
		}
		out := &proto.ResultFrame{}
		for _, r := range in.Requests {
			out.Results = append(out.Results, &proto.Result{Number: r.Number, Payload: r.Payload})
		}
		if mode == "handle-twice" {
			out.Results = append(out.Results, out.Results...)
			out.Goodbye = &proto.Goodbye{Last: math.MaxUint64}
		}
		if err := send(s, out); err != nil {
			return err
		}
	}
}

// rawCodec passes bytes on as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}
