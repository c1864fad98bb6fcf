package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	googleproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"rrhost/internal/handler"
	"rrhost/internal/process"
	"rrhost/internal/schema"
	"rrhost/internal/stream"
	"rrhost/plugin/proto"
)

// The steps of a start are proved by the next: the host calls a method only when
// the one before has been answered.

func handshake(_ context.Context, s *suite) error {
	if s.first.wire.reached(grpc_health_v1.Health_Check_FullMethodName) {
		return nil
	}
	return s.firstErr
}

func health(_ context.Context, s *suite) error {
	switch {
	case s.first.wire.reached(proto.Handler_Describe_FullMethodName):
		return nil
	case s.first.wire.reached(grpc_health_v1.Health_Check_FullMethodName):
		return s.firstErr
	}
	return errNoStart
}

func describe(ctx context.Context, s *suite) error {
	about := s.first.wire.description()
	switch {
	case about == nil && s.first.wire.reached(proto.Handler_Describe_FullMethodName):
		return s.firstErr
	case about == nil:
		return errNoStart
	}
	var wrong []error
	if len(about.GetHandlers()) == 0 {
		wrong = append(wrong, errors.New("it has no handler"))
	}
	seen := make(map[string]bool)
	for _, h := range about.GetHandlers() {
		wrong = append(wrong, handler.CheckName(h.GetName()))
		if seen[h.GetName()] {
			wrong = append(wrong, fmt.Errorf("two handlers are named %q", h.GetName()))
		}
		seen[h.GetName()] = true
		wrong = append(wrong, compiles("the request schema of "+h.GetName(), h.GetRequestSchema()),
			compiles("the response schema of "+h.GetName(), h.GetResponseSchema()))
	}
	wrong = append(wrong, compiles("the schema of its settings", about.GetConfigSchema()))
	if err := errors.Join(wrong...); err != nil || s.first.Process == nil {
		return err
	}
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	again, err := proto.NewHandlerClient(l.wire.conn).Describe(ctx, &proto.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("asked again: %w", err)
	}
	if !googleproto.Equal(again, about) {
		return errors.New("asked again, it says something else")
	}
	return nil
}

func compiles(what string, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if _, err := schema.Compile(text); err != nil {
		return fmt.Errorf("%s does not compile: %w", what, err)
	}
	return nil
}

func configure(_ context.Context, s *suite) error {
	if !s.first.wire.reached(proto.Handler_Configure_FullMethodName) {
		return errNoStart
	}
	if text := s.first.wire.description().GetConfigSchema(); len(text) > 0 {
		compiled, err := schema.Compile(text)
		if err != nil {
			return err
		}
		settings := s.cfg.Settings
		if settings == nil {
			settings = map[string]any{}
		}
		for _, m := range compiled.Check(encoded(settings)) {
			return fmt.Errorf("the settings given do not fit the plugin's schema: %s; --config names the file whose [plugin.NAME.config] section does", m)
		}
	}
	if !s.first.wire.reached(proto.Handler_Handle_FullMethodName) || s.first.Process == nil {
		return s.firstErr
	}
	return nil
}

func byHand(ctx context.Context, s *suite) error {
	if s.cfg.User != "" {
		return skip("the plugin has a user of its own, and this case would start it as another")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, s.cfg.Path, s.cfg.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.cfg.Dir, &stdout, &stderr
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "RRHOST_") && !strings.HasPrefix(name, "PLUGIN_") && name != "ENCRYPTION_KEY" {
			cmd.Env = append(cmd.Env, v)
		}
	}
	// What a wrapper has started goes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("it was still running after %s", patience)
	case err != nil && !errors.As(err, &exit):
		return err
	case cmd.ProcessState.ExitCode() != 1:
		return fmt.Errorf("its end was %s", cmd.ProcessState)
	case bytes.Contains(stdout.Bytes(), []byte("|unix|")):
		return errors.New("it printed a handshake")
	case len(bytes.TrimSpace(stderr.Bytes())) == 0:
		return errors.New("it said nothing on stderr")
	}
	return nil
}

// tokenKey is the metadata that carries the token.
const tokenKey = "rrhost-token"

// token is about who finds the socket and is not the host.
func token(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	conn, err := l.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	api := proto.NewHandlerClient(conn)
	for _, strange := range []struct {
		what string
		ctx  context.Context
	}{
		{"without a token", ctx},
		{"with another token", metadata.AppendToOutgoingContext(ctx, tokenKey, stream.NewToken())},
	} {
		ctx, cancel := context.WithTimeout(strange.ctx, patience)
		defer cancel()
		calls := []struct {
			name string
			do   func() error
		}{
			{"Describe", func() error { _, err := api.Describe(ctx, &proto.DescribeRequest{}); return err }},
			{"Configure", func() error {
				_, err := api.Configure(ctx, &proto.ConfigureRequest{Settings: []byte("{}")})
				return err
			}},
			{"Handle", func() error {
				second, err := api.Handle(ctx)
				if err == nil {
					_, err = second.Recv()
				}
				return err
			}},
			{"health", func() error {
				_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
				return err
			}},
			{"Shutdown", func() error {
				return conn.Invoke(ctx, "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
			}},
		}
		for _, c := range calls {
			if got := status.Code(c.do()); got != codes.Unauthenticated {
				return fmt.Errorf("%s %s was answered %s", c.name, strange.what, got)
			}
		}
	}
	return l.lives(ctx)
}

func refusedSettings(ctx context.Context, s *suite) error {
	if s.first.Process == nil {
		return errNoStart
	}
	const number = 424242424
	l, err := s.start(ctx, func(c *process.Config) { c.Settings = map[string]any{"greeting": number} })
	if err == nil {
		s.stop(l)
		return errors.New("it took a number for greeting")
	}
	var refused *process.RefusedError
	switch text := err.Error(); {
	case !errors.As(err, &refused):
		return fmt.Errorf("it did not refuse: %w", err)
	case !strings.Contains(text, "greeting"):
		return fmt.Errorf("its refusal does not name greeting: %s", text)
	case strings.Contains(text, fmt.Sprint(number)):
		return errors.New("its refusal quotes the value, which may be a secret")
	}
	return nil
}
