package stream

import (
	"encoding/hex"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"rrhost/plugin/proto"
)

func TestToken(t *testing.T) {
	a, b := NewToken(), NewToken()
	if raw, err := hex.DecodeString(a); err != nil || len(raw) != 32 || a == b {
		t.Errorf("tokens %s and %s", a, b)
	}
	tests := []struct {
		name         string
		plugin, host string
		want         codes.Code
	}{
		{"the same", a, a, codes.OK},
		{"another", a, b, codes.Unauthenticated},
		{"cut", a, a[:63], codes.Unauthenticated},
		{"empty", a, "", codes.Unauthenticated},
		{"a plugin without", "", a, codes.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			gs := grpc.NewServer(append(ServerOptions(MaxMessage(0), tt.plugin), grpc.WaitForHandlers(true))...)
			proto.RegisterHandlerServer(gs, serverOf(t, echo))
			served := make(chan error, 1)
			go func() { served <- gs.Serve(l) }()
			conn, err := grpc.NewClient("unix://"+l.Addr().String(),
				append(DialOptions(MaxMessage(0), tt.host), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = conn.Close()
				gs.Stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()
			api := proto.NewHandlerClient(conn)
			if _, err := api.Describe(t.Context(), &proto.DescribeRequest{}); status.Code(err) != tt.want {
				t.Errorf("a call: %v, want %v", err, tt.want)
			}
			s, err := api.Handle(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == codes.OK {
				err = s.Send(&proto.RequestFrame{Requests: []*proto.Request{{Number: 1, Handler: "echo", TimeoutUs: 1e7}}})
			}
			if err == nil {
				_, err = s.Recv()
			}
			if status.Code(err) != tt.want {
				t.Errorf("the stream: %v, want %v", err, tt.want)
			}
			_ = s.CloseSend()
		})
	}
}
