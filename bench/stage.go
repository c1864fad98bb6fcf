package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/IBM/sarama"

	"rrhost/bench/internal/load"
)

// A stage has what the contenders run on.
type stage struct {
	dir       string // of binaries, configurations and services
	key       string
	flags     load.Flags
	brokers   string
	cassandra string
	stops     []func()
}

// build makes the binaries.
func (s *stage) build(ctx context.Context) error {
	for out, pkg := range map[string]string{
		"raw": "./bench/raw", "requester": "./bench/requester", "rrhost": "./cmd/rrhost", "plugins/adder": "./bench/adder",
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(s.dir, out), pkg)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", pkg, err)
		}
	}
	return nil
}

// start starts the services, with the full compiler and not the flags of a quick
// start, and makes the yardstick's topics. rrhost makes its own.
func (s *stage) start(ctx context.Context, cassandra bool) error {
	env, err := s.service(ctx, "kafka", "KAFKA_JVM=", "--heap", "1g")
	if err != nil {
		return err
	}
	s.brokers = env["KAFKA_BOOTSTRAP"]
	if cassandra {
		if env, err = s.service(ctx, "cassandra", "CASSANDRA_JVM=-XX:+UseG1GC", "--heap", "2g"); err != nil {
			return err
		}
		s.cassandra = env["CASSANDRA_ADDRESS"]
	}
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V3_6_0_0
	admin, err := sarama.NewClusterAdmin(strings.Split(s.brokers, ","), cfg)
	if err != nil {
		return err
	}
	for _, topic := range []string{"raw", "raw.reply"} {
		if err = admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 4, ReplicationFactor: 1}, false); err != nil {
			break
		}
	}
	return errors.Join(err, admin.Close())
}

// service runs a service's script until the stage stops, and returns what it says
// of the service.
func (s *stage) service(ctx context.Context, name, jvm string, options ...string) (map[string]string, error) {
	script := filepath.Join("scripts", "services", name+".sh")
	cmd := exec.CommandContext(ctx, script, append([]string{"run", filepath.Join(s.dir, name)}, options...)...)
	cmd.Env = append(os.Environ(), jvm)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = in.Close // killed, it could not end the service
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.stops = append(s.stops, func() {
		_ = in.Close() // the script ends the service when its input ends
		_ = cmd.Wait()
	})
	env := make(map[string]string)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if key == "READY" {
			return env, nil
		}
		env[key] = value
	}
	return nil, fmt.Errorf("%s ended before it was ready", script)
}

func (s *stage) stop() {
	for _, stop := range s.stops {
		stop()
	}
}

func (s *stage) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "ENCRYPTION_KEY="+s.key)
	cmd.Stderr = os.Stderr
	return cmd
}

// contender returns how to start v's worker, and its requester's command line.
func (s *stage) contender(v variant) (worker func(context.Context) (stop func() error, err error), requester []string, err error) {
	bin := func(name string) string { return filepath.Join(s.dir, name) }
	if v.store == "" {
		worker = func(ctx context.Context) (func() error, error) {
			cmd := s.command(ctx, bin("raw"), "worker", "-brokers", s.brokers)
			out, err := cmd.StdoutPipe()
			if err != nil {
				return nil, err
			}
			if err := cmd.Start(); err != nil {
				return nil, err
			}
			if !bufio.NewScanner(out).Scan() {
				return nil, errors.Join(errors.New("the yardstick's worker ended"), cmd.Wait())
			}
			return ending(cmd), nil
		}
		return worker, []string{bin("raw"), "requester", "-brokers", s.brokers}, nil
	}
	file, ready, err := s.configure(v)
	if err != nil {
		return nil, nil, err
	}
	worker = func(ctx context.Context) (func() error, error) {
		cmd := s.command(ctx, bin("rrhost"), "run", "--config", file)
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if err := waitReady(ctx, ready, ended); err != nil {
			return nil, errors.Join(err, cmd.Process.Kill())
		}
		return func() error {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				return err
			}
			return <-ended
		}, nil
	}
	return worker, []string{bin("requester"), "-config", file, "-topic", "adder-" + v.name}, nil
}

// configure writes rrhost's configuration for v.
func (s *stage) configure(v variant) (file, ready string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	admin := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", "", err
	}
	text := fmt.Sprintf(`[kafka]
brokers = [%q]
group = "bench-%s"
[[topic]]
name = "adder-%s"
plugin = "adder"
partitions = 4
concurrency = 1024
[replies]
topic = "bench-%s.replies"
partitions = 4
[audit]
store = %q
[embedded]
dir = "data-%s"
[admin]
listen = %q
[log]
level = "warn"
`, s.brokers, v.name, v.name, v.name, v.store, v.name, admin)
	if v.store == "cassandra" {
		text += fmt.Sprintf("[audit.cassandra]\nhosts = [%q]\nkeyspace = \"bench\"\n", s.cassandra)
	}
	file = filepath.Join(s.dir, v.name+".toml")
	return file, "http://" + admin + "/readyz", os.WriteFile(file, []byte(text), 0o600)
}

func waitReady(ctx context.Context, url string, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return fmt.Errorf("rrhost ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("rrhost was not ready in time: %w", ctx.Err())
		}
	}
}

// ending ends a command as an operator would.
func ending(cmd *exec.Cmd) func() error {
	return func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return cmd.Wait()
	}
}
