package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"rrhost/audit"
	"rrhost/client"
	"rrhost/cmd/internal/cli"
	"rrhost/cmd/internal/rows"
	"rrhost/config"
	"rrhost/host"
)

const (
	demoTopic   = "calculate"
	demoRequest = `{"a":10,"b":5}`
	// demoTimeout bounds the whole of it, which takes a second or two.
	demoTimeout = 60 * time.Second
)

var errSlow = cli.Hint(fmt.Errorf("the demo is not done after %s", demoTimeout), "--verbose shows what it is at")

// A demo is one request from end to end in a folder of its own.
type demo struct {
	plugins string // the plugin directory
	verbose bool   // log at info
	json    bool
	out     io.Writer
}

func newDemo(g *cli.Globals) *cobra.Command {
	var d demo
	c := &cobra.Command{
		Use:   "demo",
		Short: "Answer one request from end to end, with nothing to set up",
		Long: `Start a host with the embedded broker and the example plugin in a private
temporary folder, send {"a":10,"b":5} to the topic calculate, and print the
response and the request's two rows of the audit trail. It reads no
configuration, disturbs no host that is running, and leaves nothing behind.`,
		Example: `  make plugins && rrhost demo
  rrhost demo --plugins /opt/rrhost/plugins --verbose`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.json, d.out = g.JSON, cmd.OutOrStdout()
			return d.run(cmd.Context())
		},
	}
	c.Flags().StringVar(&d.plugins, "plugins", "", "plugin `folder` that has calculate; default: plugins beside the program's own folder, or here")
	c.Flags().BoolVarP(&d.verbose, "verbose", "v", false, "log what the host does")
	return c
}

func (d *demo) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeout, errSlow)
	defer cancel()
	dir, err := os.MkdirTemp("", "rrhost-demo-") // 0700
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	cfg, err := d.configure(dir)
	if err != nil {
		return err
	}
	logger := host.NewLogger(cfg.Log)
	cli.TuneSarama(logger)
	h, err := host.New(cfg, host.WithLogger(logger))
	if err != nil {
		return err
	}
	hosting, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer cancel() // without a host there is nothing to wait for
		ended <- h.Run(hosting)
	}()
	defer func() {
		stop()
		if e := <-ended; e != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = e
		}
	}()

	select {
	case <-h.Ready():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return d.ask(ctx, cfg)
}

// configure finds the plugin and a free port.
func (d *demo) configure(dir string) (config.Config, error) {
	port, err := freeAddress()
	if err != nil {
		return config.Config{}, err
	}
	level := "warn"
	if d.verbose {
		level = "info"
	}
	cfg := config.Config{
		Encryption: config.Encryption{Key: config.Secret(client.GenerateKey())},
		Topics:     []config.Topic{{Name: demoTopic}},
		Embedded:   config.EmbeddedBroker{Dir: "data", Listen: port},
		Admin:      config.Admin{Listen: "off"},
		Log:        config.Log{Level: level},
		Dir:        dir,
	}
	for _, folder := range d.folders() {
		if cfg.Plugins.Dir, err = filepath.Abs(folder); err != nil {
			return config.Config{}, err
		}
		found, err := host.FindPlugins(cfg)
		if err == nil && len(found) == 1 && found[0].Err == nil {
			return cfg.WithDefaults(), nil
		}
	}
	return config.Config{}, cli.Hint(fmt.Errorf("the plugin calculate is not built: there is none in %v", d.folders()),
		"make plugins builds it; --plugins names the folder it is in")
}

// folders are where the plugin may be: make builds bin/rrhost beside plugins.
func (d *demo) folders() []string {
	if d.plugins != "" {
		return []string{d.plugins}
	}
	list := []string{"plugins"}
	if self, err := os.Executable(); err == nil {
		list = append(list, filepath.Join(filepath.Dir(self), "..", "plugins"))
	}
	return list
}

// ask sends the request and prints what came of it.
func (d *demo) ask(ctx context.Context, cfg config.Config) error {
	c, err := client.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := c.Do(ctx, client.Request{Topic: demoTopic, Payload: []byte(demoRequest)})
	if err != nil {
		return err
	}
	trail, err := demoTrail(ctx, cfg, reply.RequestID)
	if err != nil {
		return err
	}
	ring, err := cfg.Ring()
	if err != nil {
		return err
	}
	if d.json {
		answer := struct {
			RequestID string          `json:"request_id"`
			Request   json.RawMessage `json:"request"`
			Response  json.RawMessage `json:"response"`
			Audit     []rows.Line     `json:"audit"`
		}{RequestID: reply.RequestID, Request: json.RawMessage(demoRequest), Response: reply.Payload}
		for _, row := range trail {
			answer.Audit = append(answer.Audit, rows.Opened(row, ring))
		}
		return cli.PrintJSON(d.out, answer)
	}
	if _, err := fmt.Fprintf(d.out, "%s\n", reply.Payload); err != nil {
		return err
	}
	printer := rows.Printer{Out: d.out, Ring: ring}
	for _, row := range trail {
		if err := printer.Print(row); err != nil {
			return err
		}
	}
	return nil
}

// demoTrail waits for the rows of a request: they follow within a second.
func demoTrail(ctx context.Context, cfg config.Config, id string) ([]audit.Row, error) {
	reader, err := audit.Open(ctx, cfg)
	for errors.Is(err, audit.ErrNoTrail) { // the ingester has not begun
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
			reader, err = audit.Open(ctx, cfg)
		}
	}
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return reader.WaitOutcome(ctx, id, demoTimeout)
}

// freeAddress finds a port on loopback that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
