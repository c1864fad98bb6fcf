package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/internal/conformance"
	"rrhost/internal/guard"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
)

func newPluginTest(g *cli.Globals) *cobra.Command {
	var (
		only    []string
		verbose bool
	)
	c := &cobra.Command{
		Use:   "test PATH",
		Short: "Hold a plugin against the protocol",
		Long: `Start the plugin at PATH, an executable or a folder as in the plugin directory,
the way a host does, and try what the protocol asks of it: each line is a case,
and says "ok", or "failed" with what was seen, what is wanted and where
docs/plugin-protocol.md says so. At the end, a line for each reason says which
cases were "skipped" for it; with --json each has a line of its own, in its
place. It needs no Kafka and no running host.

A plugin with the conformance handlers, as every SDK has one, is also tried on
how handlers behave.

The plugin's handlers get requests that mean nothing, such as {} and garbage: if
yours act on the world, test the plugin where that does no harm. If there is a
configuration file, the plugin's section [plugin.NAME] counts: settings, user,
limits.

Exit codes: 0 no case has failed; 1 one has; 2 there is no such plugin.`,
		Example: `  rrhost plugin test plugins/calculate
  rrhost plugin test ./myplugin --case drain --case "host gone" --verbose
  rrhost plugin test ./myplugin --json
  rrhost plugin test plugins/calculate --config /etc/rrhost/config.toml`,
		Args: cli.Args("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newTrial(cmd, g, args[0])
			if err != nil {
				return err
			}
			defer t.remove()
			o := conformance.Options{StartTimeout: t.startTimeout, Only: only}
			if verbose {
				o.Log = cmd.ErrOrStderr()
			}
			out := cmd.OutOrStdout()
			counts := make(map[conformance.Outcome]int)
			var printing error
			var skips skipped
			passed, err := conformance.Run(cmd.Context(), t.process, o, func(r conformance.Result) {
				counts[r.Outcome]++
				if r.Outcome == conformance.Skipped && !g.JSON {
					skips.add(r)
					return
				}
				printing = errors.Join(printing, printResult(out, r, g.JSON))
			})
			if errors.Is(err, conformance.ErrUnknownCase) {
				return cli.Usage(err)
			}
			if err := errors.Join(err, printing); err != nil {
				return fmt.Errorf("test plugin %s: %w", t.process.Name, err)
			}
			if !g.JSON {
				skips.print(out)
				fmt.Fprintf(out, "%d ok, %d failed, %d skipped\n", counts[conformance.OK], counts[conformance.Failed], counts[conformance.Skipped])
			}
			if !passed {
				return cli.Told(cli.ExitError)
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&only, "case", nil, "run only the case of this `name`; may be given several times")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show on standard error what the plugin prints")
	return c
}

// skipped has the cases that were skipped by their reason: a plugin without the
// conformance handlers skips a dozen for the same.
type skipped struct {
	reasons []string // in the order in which they came
	cases   map[string][]string
}

func (s *skipped) add(r conformance.Result) {
	if s.cases == nil {
		s.cases = make(map[string][]string)
	}
	if s.cases[r.Seen] == nil {
		s.reasons = append(s.reasons, r.Seen)
	}
	s.cases[r.Seen] = append(s.cases[r.Seen], r.Case)
}

func (s *skipped) print(out io.Writer) {
	for _, reason := range s.reasons {
		fmt.Fprintf(out, "%-7s %s\n", conformance.Skipped, cli.Line(strings.Join(s.cases[reason], ", ")+": "+reason))
	}
}

func printResult(out io.Writer, r conformance.Result, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(out, r)
	}
	line := r.Case
	if r.Seen != "" {
		line += ": " + r.Seen
	}
	if r.Outcome == conformance.Failed {
		line += "; wanted: " + r.Want + " (" + r.Doc + ")"
	}
	_, err := fmt.Fprintf(out, "%-7s %s\n", r.Outcome, cli.Line(line))
	return err
}

// A trial is a plugin that is started without a host: a copy of it, as a host runs,
// with what the configuration says of a plugin of this name.
type trial struct {
	process      process.Config
	startTimeout time.Duration
	copied       string // folder
}

// newTrial copies the plugin at path. A configuration that is not named and not
// there says nothing.
func newTrial(cmd *cobra.Command, g *cli.Globals, path string) (*trial, error) {
	site, err := g.Load()
	if errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed("config") {
		site, err = config.Config{}.WithDefaults(), nil
	}
	if err != nil {
		return nil, err
	}
	found := plugindir.At(path)
	if found.Err != nil {
		return nil, cli.Usage(found.Err)
	}
	folder, err := os.MkdirTemp("", "rrhost-plugin-")
	if err != nil {
		return nil, fmt.Errorf("copy plugin %s: %w", found.Name, err)
	}
	t := &trial{startTimeout: site.Plugins.StartTimeout, copied: folder}
	build, err := stage(folder, found)
	if err != nil {
		t.remove()
		return nil, err
	}
	own := site.Plugin[build.Name]
	t.process = process.Config{
		Name: build.Name, Version: build.Version, Path: build.Program, Origin: build.Origin(found.Dir), Args: build.Args, Dir: build.Dir, Folder: build.Folder,
		Env: site.Plugins.Env, MaxPayload: site.Host.MaxPayload, Settings: own.Config,
		User: own.User, Limits: guard.Limits{Memory: own.Memory, MilliCPUs: own.MilliCPUs, OpenFiles: own.OpenFiles},
	}
	if tls := build.Manifest.TLS; tls != nil {
		t.process.NoTLS = !*tls
	}
	return t, nil
}

func stage(folder string, found plugindir.Found) (plugindir.Build, error) {
	// As the host's own store: a plugin's user passes through, and looks at nothing.
	if err := os.Chmod(folder, 0o711); err != nil {
		return plugindir.Build{}, fmt.Errorf("copy plugin %s: %w", found.Name, err)
	}
	store, err := plugindir.OpenStore(folder, false)
	if err != nil {
		return plugindir.Build{}, err
	}
	return store.Stage(found)
}

// remove removes the copy.
func (t *trial) remove() { _ = os.RemoveAll(t.copied) } // it is in the folder for such
