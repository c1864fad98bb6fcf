package plugin

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"rrhost/internal/attach"
	"rrhost/internal/stream"
	"rrhost/plugin/proto"
)

// SDKVersion is the version of this package that a plugin was made with.
const SDKVersion = "1.0.0"

// leaveGrace is how long a plugin that has finished after SIGTERM waits for its
// host to end the connection, so that the last results arrive.
const leaveGrace = 5 * time.Second

// Serve serves the handlers until the host ends the stream. It does not
// return. Started by hand, it explains itself and exits with 1.
//
// SIGINT is ignored: a terminal sends it to everyone, and the host decides. On
// SIGTERM what runs is finished, then the process ends. It also ends when its
// host does, however that went.
//
// Where the environment variable RRHOST_ATTACH is set, the process waits for a
// host to attach to it, as one under a debugger does: see docs/plugin-authors.md.
func Serve(handlers ...Handler) {
	os.Exit(serve(handlers))
}

// ballast lets so much garbage come together before it is collected. It counts
// for the garbage collector and takes no memory, since nobody touches it: a plugin
// keeps little beside what is in flight, and would collect that every few
// megabytes, many times a second.
const ballast = 32 << 20

func serve(handlers []Handler) int {
	if path := os.Getenv(attach.Env); path != "" {
		return serveAttached(path, handlers)
	}
	if os.Getenv(stream.Handshake.MagicCookieKey) != stream.Handshake.MagicCookieValue {
		byHand(os.Stderr, handlers)
		return 1
	}
	defer runtime.KeepAlive(make([]byte, ballast))
	logger := hclog.New(&hclog.LoggerOptions{
		Output: os.Stderr, JSONFormat: true, Level: hclog.Debug, // the host drops what it doesn't want
	})
	server, err := stream.NewServer(describe(), handlers, configure, logger)
	if err != nil {
		logger.Error("plugin cannot serve", "error", err)
		return 1
	}
	// go-plugin does the same, but only after the handshake: too late for who
	// sees the line and presses Ctrl-C.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go exitWithHost(os.Stdin)

	token := os.Getenv(stream.TokenEnv)
	// What this process starts need not have it.
	_ = os.Unsetenv(stream.TokenEnv) // an error is for names that cannot be
	maxMessage, err := strconv.Atoi(os.Getenv(stream.MaxMessageEnv))
	if err != nil || maxMessage <= 0 {
		maxMessage = stream.MaxMessage(0)
	}
	var gs atomic.Pointer[grpc.Server]
	go leaveOnTerm(term, server, &gs)
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: stream.Handshake,
		Plugins:         goplugin.PluginSet{"handler": &service{server: server}},
		Logger:          hclog.NewNullLogger(),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(append(opts, stream.ServerOptions(maxMessage, token)...)...)
			gs.Store(s)
			return s
		},
	})
	return 0
}

// describe is what the plugin says of itself, beside its handlers.
func describe() stream.About {
	return stream.About{Name: programName(), Version: buildVersion(), SDK: "go " + SDKVersion, ConfigSchema: settingsSchema()}
}

// byHand tells who starts a plugin like a program what it is.
func byHand(w io.Writer, handlers []Handler) {
	fmt.Fprintf(w, "%s is a plugin for rrhost, which starts it by itself. Its handlers:\n", programName())
	for _, h := range handlers {
		fmt.Fprintf(w, "  %s\n", h.Name())
	}
	fmt.Fprintf(w, "To use it, put it into the plugin directory and name it in the configuration:\n\n"+
		"  [[topic]]\n  name   = %q\n  plugin = %q\n\nThen: rrhost run\n", programName(), programName())
}

// exitWithHost ends the process when the host is gone: the other end of stdin is
// the host's alone, and the kernel closes it whatever the host died of.
func exitWithHost(stdin io.Reader) {
	// An error is an end too: without a host's pipe there is no host.
	_, _ = io.Copy(io.Discard, stdin)
	os.Exit(1)
}

// leaveOnTerm finishes on SIGTERM.
func leaveOnTerm(term <-chan os.Signal, server *stream.Server, gs *atomic.Pointer[grpc.Server]) {
	<-term
	if left := server.Leave(); left != nil {
		<-left
		time.Sleep(leaveGrace)
	}
	if s := gs.Load(); s != nil {
		s.Stop()
	}
	os.Exit(0)
}

// service makes a stream.Server go-plugin's.
type service struct {
	goplugin.NetRPCUnsupportedPlugin
	server *stream.Server
}

func (s *service) GRPCServer(_ *goplugin.GRPCBroker, g *grpc.Server) error {
	proto.RegisterHandlerServer(g, s.server)
	return nil
}

func (s *service) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("a plugin is no client")
}

func programName() string { return filepath.Base(os.Args[0]) }

// buildVersion is the release that the program was built from, or empty.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return stream.ReleaseOf(info)
}
