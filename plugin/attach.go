package plugin

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"rrhost/internal/attach"
	"rrhost/internal/stream"
	"rrhost/plugin/proto"
)

// attachedMaxPayload is the largest that any host allows, since who is attached
// hears no other bound.
const attachedMaxPayload = 64 << 20

// serveAttached serves a host that was told to attach to this process, as in
// `rrhost dev --attach NAME`, one at a time and any number one after the other.
// Nobody but the terminal or the debugger ends the process, and both see its log.
func serveAttached(path string, handlers []Handler) int {
	logger := hclog.New(&hclog.LoggerOptions{Name: programName(), Output: os.Stderr, Level: hclog.Debug})
	server, err := stream.NewServer(describe(), handlers, configure, logger)
	if err != nil {
		logger.Error("plugin cannot serve", "error", err)
		return 1
	}
	token := stream.NewToken()
	listener, err := attach.Listen(path, token)
	if err != nil {
		logger.Error("plugin cannot wait for a host", attach.Env, path, "error", err)
		return 1
	}
	gs := grpc.NewServer(stream.ServerOptions(stream.MaxMessage(attachedMaxPayload), token)...)
	proto.RegisterHandlerServer(gs, server)
	checks := health.NewServer()
	checks.SetServingStatus(goplugin.GRPCServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(gs, checks)

	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	go func() { // until the process ends
		<-end
		signal.Stop(end) // the next one ends it at once
		if left := server.Leave(); left != nil {
			logger.Info("finishing what runs; a second signal ends at once")
			<-left
		}
		gs.GracefulStop()
	}()
	logger.Info("waiting for a host that attaches", attach.Env, path)
	if err := gs.Serve(listener); err != nil {
		logger.Error("plugin ended", "error", err)
		return 1
	}
	return 0
}
