package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/host"
	"rrhost/internal/attach"
	"rrhost/internal/devloop"
)

// attachedTimeout bounds requests to a plugin that may stand at a breakpoint.
const attachedTimeout = time.Hour

// A dev is a host to develop plugins with.
type dev struct {
	cfg      config.Config
	attach   []string // plugins that their author starts
	show     *showing
	paths    map[string]string // of attach
	plugins  []string          // the others
	payloads bool
}

func newDev(g *cli.Globals) *cobra.Command {
	d := new(dev)
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run, and build and reload plugins as they are edited",
		Long: `Run the host as "rrhost run" does, for the authors of plugins. Plugins whose
folder in the plugin directory has Go sources, or a plugin.toml that names the
command to build with, are built; again whenever a source changes, and what was
built takes over without a request lost. What does not build is shown, and what
ran goes on. Each request is shown as it is answered.

Trust is "dev": what others could have written is run too, and digests are not
checked. --attach leaves it to you to start a plugin, in a debugger for example.

What happens is on standard output, the host's and the plugins' log on standard
error.`,
		Example: `  rrhost dev
  rrhost dev --payloads
  rrhost dev --attach price`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			if g.JSON {
				cfg.Log.Format = "json"
			}
			d.show = newShowing(cmd.OutOrStdout(), g.JSON, d.payloads)
			defer d.show.close()
			if err := d.prepare(cfg); err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	c.Flags().StringSliceVar(&d.attach, "attach", nil, "`plugins` that you start yourself, where this says how")
	c.Flags().BoolVar(&d.payloads, "payloads", false, "show requests' and responses' payloads too")
	return c
}

// prepare makes cfg one to develop with.
func (d *dev) prepare(cfg config.Config) error {
	cfg.Plugins.Trust, cfg.Plugins.Verify = "dev", "off"
	d.paths = make(map[string]string)
	for i := range cfg.Topics {
		t := &cfg.Topics[i]
		if !slices.Contains(d.attach, t.Plugin) {
			if !slices.Contains(d.plugins, t.Plugin) {
				d.plugins = append(d.plugins, t.Plugin)
			}
			continue
		}
		path, err := attach.Path(cfg.Path(cfg.Plugins.Store), t.Plugin)
		if err != nil {
			return err
		}
		d.paths[t.Plugin], t.Timeout = path, max(t.Timeout, attachedTimeout)
	}
	for _, name := range d.attach {
		if d.paths[name] == "" {
			return cli.Usage(fmt.Errorf("--attach: no [[topic]] names a plugin %q", name))
		}
	}
	d.cfg = cfg
	return nil
}

func (d *dev) run(ctx context.Context) error {
	var h *host.Host
	loop := devloop.New(devloop.Config{
		Dir: d.cfg.Path(d.cfg.Plugins.Dir), Plugins: d.plugins, Report: d.report,
		Reload: func(ctx context.Context, plugin string) error { return h.ReloadPlugin(ctx, plugin) },
	})
	build := func(ctx context.Context) {
		loop.Build(ctx)
		for _, name := range slices.Compact(slices.Sorted(slices.Values(d.attach))) {
			d.show.attach(name, d.paths[name])
		}
	}
	beside := func(ctx context.Context, running *host.Host) {
		h = running
		select {
		case <-h.Ready():
			loop.Run(ctx)
		case <-ctx.Done():
		}
	}
	return serve(ctx, d.cfg, beside, host.WithDevelopment(host.Development{
		Answered: d.show.answered, Build: build, Attach: d.paths, Manual: true,
	}))
}

// report shows a step. Compilers name files from the plugin's folder; they are
// shown from where the user is.
func (d *dev) report(e devloop.Event) {
	folder := filepath.Join(d.cfg.Path(d.cfg.Plugins.Dir), e.Plugin)
	if here, err := filepath.Abs("."); err == nil {
		if rel, err := filepath.Rel(here, folder); err == nil {
			folder = rel
		}
	}
	var output strings.Builder
	for line := range strings.Lines(e.Output) {
		if file, ok := strings.CutPrefix(line, "./"); ok {
			line = folder + "/" + file
		}
		output.WriteString(line)
	}
	e.Output = output.String()
	d.show.build(e)
}
