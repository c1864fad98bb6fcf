// Edit measures how long an author of a Go plugin waits: from the edit of a source
// to the first answer that shows it, with `rrhost dev` running and Go's caches
// warm. It begins a plugin as `rrhost plugin init` does, and prints each round and
// the median.
//
//	go run ./bench/edit -rounds 5
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"rrhost/client"
	"rrhost/config"
	"rrhost/internal/scaffold"
)

func main() {
	rounds := flag.Int("rounds", 5, "edits to measure")
	lang := flag.String("lang", scaffold.Languages[0].Name, "language of the plugin")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *lang, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "edit:", err)
		os.Exit(1)
	}
}

// patience bounds one round.
const patience = time.Minute

type greeting struct {
	Greeting string `json:"greeting"`
}

func run(ctx context.Context, out io.Writer, lang string, rounds int) (err error) {
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
	if err := os.Mkdir(filepath.Join(dir, "plugins"), 0o755); err != nil {
		return err
	}
	plugin, err := scaffold.New(filepath.Join(dir, "plugins", "greet"), language)
	if err != nil {
		return err
	}
	cfg, err := configure(dir)
	if err != nil {
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

	source, word, err := find(plugin.Folder, "Hello")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if err := answer(ctx, cfg, word); err != nil {
		return err
	}
	var took []time.Duration
	for n := range rounds + 1 { // the first warms the caches up
		next := fmt.Sprintf("Hello%d", n)
		text = bytes.Replace(text, []byte(word), []byte(next), 1)
		start := time.Now()
		if err := os.WriteFile(source, text, 0o644); err != nil {
			return err
		}
		if err := answer(ctx, cfg, next); err != nil {
			return err
		}
		if word = next; n > 0 {
			took = append(took, time.Since(start))
			fmt.Fprintf(out, "edit to answer, %s: %s\n", language.Title, took[n-1].Round(time.Millisecond))
		}
	}
	slices.Sort(took)
	_, err = fmt.Fprintf(out, "median of %d: %s\n", rounds, took[len(took)/2].Round(time.Millisecond))
	return err
}

// configure writes a configuration with free ports.
func configure(dir string) (config.Config, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return config.Config{}, err
	}
	if err := l.Close(); err != nil {
		return config.Config{}, err
	}
	path := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("[[topic]]\nname = \"greet\"\n[embedded]\nlisten = %q\n[admin]\nlisten = \"off\"\n", l.Addr())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return config.Config{}, err
	}
	return config.Load(path)
}

// find returns the file of the plugin that has the word, and is no test.
func find(folder, word string) (file, found string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", "", err
	}
	for _, e := range entries {
		file = filepath.Join(folder, e.Name())
		if e.IsDir() || strings.Contains(e.Name(), "test") || strings.HasSuffix(e.Name(), ".md") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", "", err
		}
		if bytes.Contains(text, []byte(word)) {
			return file, word, nil
		}
	}
	return "", "", fmt.Errorf("no source in %s has the word %s", folder, word)
}

// answer asks, one request after the other, until the answer has the word.
func answer(ctx context.Context, cfg config.Config, word string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer with %s within %s", word, patience))
	defer cancel()
	var c *client.Client
	for {
		var err error
		if c == nil {
			c, err = client.Open(ctx, cfg)
		}
		if err == nil {
			var got greeting
			got, err = client.Call[greeting](ctx, c, "greet", map[string]string{"name": "Ada"})
			if strings.HasPrefix(got.Greeting, word+",") {
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
