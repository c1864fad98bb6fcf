package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"rrhost/internal/guard"
	"rrhost/internal/stream"
	"rrhost/plugin/proto"
)

// DefaultMaxPayload bounds payloads, in bytes, unless configured.
const DefaultMaxPayload = 1_000_000

// A RefusedError is a plugin that cannot be used: it cannot be run here, refuses its
// settings, or its handlers are not usable. A change helps, a restart doesn't.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// Hopeless reports whether starting again cannot help until somebody changes
// the plugin or its configuration.
func Hopeless(err error) bool {
	var (
		incompatible *IncompatibleError
		refused      *RefusedError
	)
	return errors.As(err, &incompatible) || errors.As(err, &refused) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC)
}

// A Process is a plugin's process that is ready for requests.
type Process struct {
	cfg     Config
	cmd     *command
	client  *goplugin.Client
	dialing *goplugin.ClientConfig // the client's, with the TLS that was agreed on
	sockets *sockets
	conn    *grpc.ClientConn

	instance *stream.Instance
	cancel   context.CancelFunc // of the stream
	over     chan struct{}      // closed when the instance has ended
	cause    error              // why; readable once over is closed
}

// Start starts the plugin, asks what it is, gives it its settings, and opens the
// stream. ctx bounds the start alone. After an error, no process and no
// goroutine is left.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	p := &Process{cfg: cfg.withDefaults(), over: make(chan struct{})}
	if err := p.launch(ctx); err != nil {
		p.discard()
		return nil, err
	}
	// Whatever hangs from here on ends with the process.
	stop := context.AfterFunc(ctx, p.cmd.kill)
	err := p.introduce(ctx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if cause := p.exitedWith(200 * time.Millisecond); cause != nil {
			err = fmt.Errorf("%w (it %w)", err, cause)
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("not ready in time: %w", err)
		}
		p.cmd.kill()
		p.discard()
		return nil, err
	}
	return p, nil
}

// launch runs the executable and the handshake.
func (p *Process) launch(ctx context.Context) (err error) {
	var user *guard.User
	if p.cfg.User != "" {
		if user, err = userOf(p.cfg.User, os.Geteuid()); err != nil {
			return err
		}
	}
	if p.cfg.Folder != "" {
		if err := admit(p.cfg.Folder, user); err != nil {
			return err
		}
	}
	if p.sockets, err = newSockets(user); err != nil {
		return err
	}
	token := stream.NewToken()
	p.dialing = &goplugin.ClientConfig{
		HandshakeConfig:  stream.Handshake,
		Plugins:          goplugin.PluginSet{"handler": &adapter{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         !p.cfg.NoTLS,
		SkipHostEnv:      true,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: p.sockets.dir},
		StartTimeout:     time.Hour, // ctx bounds the start
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       &lineLog{p: p, stream: "stdout"},
		SyncStderr:       &lineLog{p: p, stream: "stderr"},
		GRPCDialOptions: append(append(stream.DialOptions(stream.MaxMessage(p.cfg.MaxPayload), token),
			grpc.WithContextDialer(p.dial),
			grpc.WithNoProxy(),
		), p.cfg.DialOptions...),
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, socketDir string) (runner.Runner, error) {
			if err := handOver(socketDir, user); err != nil {
				return nil, err
			}
			p.cmd = &command{cfg: p.cfg, user: user, socketDir: socketDir, exited: make(chan struct{})}
			env := append(environment(p.cfg, user), spec.Env...)
			env = append(env, fmt.Sprintf("%s=%d", stream.MaxMessageEnv, stream.MaxMessage(p.cfg.MaxPayload)), stream.TokenEnv+"="+token)
			return &starter{command: p.cmd, ctx: ctx, env: env}, nil
		},
	}
	p.client = goplugin.NewClient(p.dialing)
	defer func() {
		// go-plugin parses what a plugin said; vetHandshake should leave it
		// nothing to fail on, and a host doesn't die of a plugin.
		if r := recover(); r != nil {
			err = errors.New("the handshake broke the library that reads it")
		}
	}()
	_, err = p.client.Start()
	return err
}

// starter is a command that go-plugin starts, with the context and environment
// of this start.
type starter struct {
	*command
	ctx context.Context
	env []string
}

func (s *starter) Start(context.Context) error { return s.start(s.ctx, s.env) }

func (p *Process) dial(ctx context.Context, _ string) (net.Conn, error) {
	return p.cmd.dial(ctx)
}

// Dial makes another connection to the plugin, which has all of the host's but its
// token. The caller closes it.
func (p *Process) Dial() (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if p.dialing.TLSConfig != nil {
		transport = credentials.NewTLS(p.dialing.TLSConfig.Clone())
	}
	return grpc.NewClient("passthrough:plugin", grpc.WithTransportCredentials(transport), grpc.WithContextDialer(p.dial), grpc.WithNoProxy())
}

// introduce connects, and takes the plugin to ready.
func (p *Process) introduce(ctx context.Context) error {
	raw, err := p.client.Client()
	if err != nil {
		return fmt.Errorf("connect: %w", said{err})
	}
	p.conn = raw.(*goplugin.GRPCClient).Conn
	return p.open(ctx)
}

// open takes the plugin at the connection's other end through health, Describe,
// Configure and health again to an open stream.
func (p *Process) open(ctx context.Context) error {
	if err := p.Check(ctx); err != nil {
		return err
	}
	api := proto.NewHandlerClient(p.conn)
	desc, err := api.Describe(ctx, &proto.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("describe: %w", said{err})
	}
	about, err := aboutOf(desc)
	if err != nil {
		return err
	}
	if p.cfg.Accept != nil {
		if err := p.cfg.Accept(about); err != nil {
			return err
		}
	}
	if err := p.configure(ctx, api); err != nil {
		return err
	}
	// Its settings may have made it unfit.
	if err := p.Check(ctx); err != nil {
		return err
	}
	// The stream lives longer than the start.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	handle, err := api.Handle(streamCtx)
	if err != nil {
		cancel()
		return fmt.Errorf("open the stream: %w", said{err})
	}
	p.cancel = cancel
	p.instance = stream.NewInstance(about, p.cfg.MaxPayload)
	go func() {
		defer close(p.over)
		p.cause = said{p.instance.Run(handle)}
	}()
	return nil
}

func (p *Process) configure(ctx context.Context, api proto.HandlerClient) error {
	settings := p.cfg.Settings
	if settings == nil {
		settings = map[string]any{}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return &RefusedError{"its settings have no JSON form"}
	}
	_, err = api.Configure(ctx, &proto.ConfigureRequest{Settings: text, MaxReply: uint32(p.cfg.MaxPayload)})
	if status.Code(err) == codes.InvalidArgument {
		return &RefusedError{"it refuses its settings: " + said{errors.New(status.Convert(err).Message())}.Error()}
	}
	if err != nil {
		return fmt.Errorf("configure: %w", said{err})
	}
	return nil
}

// Instance is the stream to the process.
func (p *Process) Instance() *stream.Instance { return p.instance }

// PID is the process's number; its group has the same.
func (p *Process) PID() int { return p.cmd.child.PID }

// Done is closed when the instance has ended: every request has its result or
// has been told that there is none. The process is gone, or will be after
// [Process.Stop].
func (p *Process) Done() <-chan struct{} { return p.over }

// Exited is closed when the process has been reaped.
func (p *Process) Exited() <-chan struct{} { return p.cmd.exited }

// Cause is how the process ended, such as "exited with code 3"; nil before
// [Process.Exited] is closed.
func (p *Process) Cause() error { return p.exitedWith(0) }

// CloseStdin ends the process's stdin, as the host's own end does. [Process.Stop]
// is due all the same.
func (p *Process) CloseStdin() error { return p.cmd.stdin.Close() }

// Check asks the plugin whether it serves.
func (p *Process) Check(ctx context.Context) error {
	resp, err := grpc_health_v1.NewHealthClient(p.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: goplugin.GRPCServiceName})
	if err != nil {
		return fmt.Errorf("health check: %w", said{err})
	}
	if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health check: it says %s", resp.GetStatus())
	}
	return nil
}

// Kill ends the process and its group at once; what is in flight crashes.
func (p *Process) Kill() { p.cmd.kill() }

// Stop ends the process: politely, until ctx is done, then with SIGKILL, and so
// all of its group. Requests in flight crash: drain before. It returns when
// neither process nor goroutine is left, with the reason why the instance ended:
// how the process died, if it did so by itself.
func (p *Process) Stop(ctx context.Context) error {
	cause := p.exitedWith(0)
	stop := context.AfterFunc(ctx, p.cmd.kill)
	defer stop()
	if cause == nil {
		select {
		case <-p.over:
			// The stream ended first. A dying process's exit follows, and is the
			// better reason.
			if cause = p.exitedWith(time.Second); cause == nil {
				cause = p.cause
			}
		default:
		}
	}
	p.cancel()
	<-p.over
	p.discard()
	return cause
}

// exitedWith is how the process ended, if it has within d.
func (p *Process) exitedWith(d time.Duration) error {
	select {
	case <-p.cmd.exited:
		return p.cmd.cause
	case <-time.After(d):
	}
	select {
	case <-p.cmd.exited:
		return p.cmd.cause
	default:
		return nil
	}
}

// discard ends what is left of a life: the connection, the process if it does
// not leave when asked, pipes and sockets.
func (p *Process) discard() {
	if p.client != nil {
		// Kill asks the process to shut down and waits 2 s for its exit, for
		// which it needs a connection that may hang: a hanging one ends with the
		// process.
		last := time.AfterFunc(shutdownGrace, func() {
			if p.cmd != nil {
				p.cmd.kill()
			}
		})
		p.client.Kill()
		last.Stop()
	}
	if p.cmd != nil && p.cmd.child != nil {
		p.cmd.kill()
		<-p.cmd.exited
		p.cmd.closePipes()
	}
	if p.sockets != nil {
		p.sockets.remove()
	}
}

// shutdownGrace bounds a polite goodbye.
const shutdownGrace = 3 * time.Second
