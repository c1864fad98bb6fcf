package process

import (
	"testing"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"rrhost/internal/stream"
	"rrhost/plugin/proto"
)

// TestOthersCannotCall: who finds the socket and has no token is refused by all
// services, also the one that would end the plugin.
func TestOthersCannotCall(t *testing.T) {
	p, _ := startPlugin(t, func(c *Config) { c.NoTLS = true })
	conn, err := grpc.NewClient("unix://"+p.cmd.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stdio, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/plugin.GRPCStdio/StreamStdio")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"health": func() error {
			_, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: goplugin.GRPCServiceName})
			return err
		},
		"describe": func() error {
			_, err := proto.NewHandlerClient(conn).Describe(t.Context(), &proto.DescribeRequest{})
			return err
		},
		"shutdown": func() error {
			return conn.Invoke(t.Context(), "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
		},
		"stdio": func() error { return stdio.RecvMsg(&emptypb.Empty{}) },
	}
	for name, call := range calls {
		if err := call(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v, want Unauthenticated", name, err)
		}
	}
	if got := mustAnswer(t, p, order{"do": "env", "text": stream.TokenEnv}).Text; got != "" {
		t.Error("what the plugin starts inherits the token")
	}
}
