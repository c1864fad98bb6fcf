// Edit measures how long an author of a plugin waits: from the edit of a source to
// the first answer that shows it, with `rrhost dev` running and warm caches. It
// begins a plugin as `rrhost plugin init` does, or takes a copy of the example that
// the repository has, and prints each round and the median.
//
//	go run ./bench/edit -rounds 5
//	go run ./bench/edit -lang ts -example
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"rrhost/client"
	"rrhost/config"
	"rrhost/internal/scaffold"
)

func main() {
	rounds := flag.Int("rounds", 5, "edits to measure")
	lang := flag.String("lang", scaffold.Languages[0].Name, "language of the plugin")
	example := flag.Bool("example", false, "edit a copy of the repository's example, not a new plugin")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *lang, *example, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "edit:", err)
		os.Exit(1)
	}
}

// patience bounds one round.
const patience = time.Minute

func run(ctx context.Context, out io.Writer, lang string, example bool, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "rrhost-edit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rrhost := filepath.Join(dir, "rrhost")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", rrhost, "rrhost/cmd/rrhost").CombinedOutput(); err != nil {
		return fmt.Errorf("build rrhost: %w\n%s", err, text)
	}
	language, err := scaffold.LanguageNamed(lang)
	if err != nil {
		return err
	}
	var s subject
	if example {
		s, err = shipped(ctx, dir, language)
	} else {
		s, err = scaffolded(dir, language)
	}
	if err != nil {
		return err
	}
	cfg, err := configure(dir, s)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(s.source)
	if err != nil {
		return err
	}
	if n := bytes.Count(text, []byte(s.word)); n != 1 {
		return fmt.Errorf("%s has %q %d times, and not once", s.source, s.word, n)
	}
	edit := func(n int) error {
		return os.WriteFile(s.source, bytes.Replace(text, []byte(s.word), []byte(s.edit(n)), 1), 0o644)
	}
	if err := edit(0); err != nil {
		return err
	}
	var log bytes.Buffer
	dev := exec.CommandContext(ctx, rrhost, "dev", "--config", filepath.Join(dir, "config.toml"))
	dev.Stdout, dev.Stderr = &log, &log
	dev.Cancel = func() error { return dev.Process.Signal(syscall.SIGTERM) }
	if err := dev.Start(); err != nil {
		return err
	}
	defer func() {
		_ = dev.Process.Signal(syscall.SIGTERM) // it may have ended already
		if e := dev.Wait(); err != nil {
			err = fmt.Errorf("%w (rrhost dev: %v)\n%s", err, e, log.String())
		}
	}()

	if err := s.answered(ctx, cfg, 0); err != nil {
		return err
	}
	var took []time.Duration
	for n := range rounds + 1 { // the first warms the caches up
		start := time.Now()
		if err := edit(n + 1); err != nil {
			return err
		}
		if err := s.answered(ctx, cfg, n+1); err != nil {
			return err
		}
		if n > 0 {
			took = append(took, time.Since(start))
			fmt.Fprintf(out, "edit to answer, %s: %s\n", s.title, took[n-1].Round(time.Millisecond))
		}
	}
	slices.Sort(took)
	_, err = fmt.Fprintf(out, "median of %d, %s: %s\n", rounds, s.title, took[len(took)/2].Round(time.Millisecond))
	return err
}

// configure writes a configuration with free ports.
func configure(dir string, s subject) (config.Config, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return config.Config{}, err
	}
	if err := l.Close(); err != nil {
		return config.Config{}, err
	}
	path := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("[[topic]]\nname = %q\n[plugins]\ndir = %q\n[embedded]\nlisten = %q\n[admin]\nlisten = \"off\"\n", s.topic, s.dir, l.Addr())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return config.Config{}, err
	}
	return config.Load(path)
}

// answered asks, one request after the other, until the answer is the nth edit's.
func (s subject) answered(ctx context.Context, cfg config.Config, n int) error {
	want := s.answer(n)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer with %s within %s", want, patience))
	defer cancel()
	var c *client.Client
	for {
		var err error
		if c == nil {
			c, err = client.Open(ctx, cfg)
		}
		if err == nil {
			var got json.RawMessage
			got, err = client.Call[json.RawMessage](ctx, c, s.topic, s.request)
			if bytes.Contains(got, []byte(want)) {
				return c.Close()
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
