package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/internal/control"
	"rrhost/internal/plugindir"
)

// newPlugin is the group of commands about plugins.
func newPlugin(g *cli.Globals) *cobra.Command {
	return cli.Group("plugin", "Look after plugins, of a running host and in the directory", `  rrhost plugin list
  rrhost plugin inspect calculate
  rrhost plugin reload calculate`,
		newPluginList(g), newPluginInspect(g),
		newPluginOrder(g, "reload", "Start what is in the directory in place of what runs", `Start the plugin that is in the directory now beside the one that runs; once it is
ready it takes over, and the old one finishes what it has begun. If it does not
get ready, the old one stays, and this says why. A host does the same by itself
when the file changes. Where nothing runs, the wait for the next try ends.`, (*control.Client).Reload),
		newPluginOrder(g, "restart", "Start what runs anew", `Put new processes of the build that runs in the place of the old ones, also of one
that was rolled back. Where nothing runs, the wait for the next try ends.`, (*control.Client).Restart),
		newPluginOrder(g, "rollback", "Run the build that ran before", `Put the build that ran before in the place of what runs, as reload does. It stays
until the plugin's file or folder changes, also when the host is started again.`, (*control.Client).Rollback),
		newPluginTrust(g), newPluginInit(g), newPluginSDK(g),
		newPluginTest(g),
		newPluginCall(g),
	)
}

// A view is a plugin as a host has it, or as it lies in the directory.
type view struct {
	control.Plugin
	Host int `json:"host,omitempty"` // process of the host; 0: none runs
}

// views are the plugins of all running hosts with this configuration; without
// one, those of the directory. name picks one, "" means all.
func views(ctx context.Context, cfg config.Config, name string) ([]view, error) {
	clients, err := control.Dial(ctx, cfg.Path(cfg.Plugins.Store))
	if err != nil {
		return nil, err
	}
	var list []view
	for _, c := range clients {
		plugins, err := c.Plugins(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range plugins {
			if name == "" || p.Name == name {
				list = append(list, view{p, c.PID})
			}
		}
	}
	if len(clients) > 0 {
		return list, nil
	}
	return fromFiles(cfg, name)
}

// fromFiles is what the directory and the store tell without a host.
func fromFiles(cfg config.Config, name string) ([]view, error) {
	topics := make(map[string][]string)
	var names []string
	for _, t := range cfg.Topics {
		if topics[t.Plugin] == nil && (name == "" || t.Plugin == name) {
			names = append(names, t.Plugin)
		}
		topics[t.Plugin] = append(topics[t.Plugin], t.Name)
	}
	if len(names) == 0 {
		return nil, nil
	}
	found, err := plugindir.Find(cfg.Path(cfg.Plugins.Dir), names)
	if err != nil {
		return nil, cli.Usage(err)
	}
	var list []view
	for _, f := range found {
		p := control.Plugin{Name: f.Name, State: "not running", Topics: topics[f.Name]}
		if p.Digest, p.Version, err = plugindir.Identify(f); err != nil {
			p.LastError = err.Error()
		}
		note, err := plugindir.ReadNote(cfg.Path(cfg.Plugins.Store), f.Name)
		if err != nil {
			return nil, err
		}
		if note.Pinned != "" && note.Replaced == p.Digest {
			p.Pinned, p.Digest, p.Version = true, note.Pinned, ""
		}
		list = append(list, view{Plugin: p})
	}
	return list, nil
}

func newPluginList(g *cli.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the plugins and how they are",
		Long: `List the plugins that topics name, as the running hosts have them; where none
runs, as they lie in the plugin directory.`,
		Example: "  rrhost plugin list\n  rrhost plugin list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			list, err := views(cmd.Context(), cfg, "")
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, p := range list {
				if g.JSON {
					if err := cli.PrintJSON(out, p); err != nil {
						return err
					}
					continue
				}
				if _, err := fmt.Fprintln(out, line(p)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// line is a plugin in a list.
func line(p view) string {
	words := []string{fmt.Sprintf("%-11s %s", p.State, p.Name)}
	add := func(ok bool, format string, args ...any) {
		if ok {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(p.Version != "", "version %s", p.Version)
	add(p.Digest != "", "digest %.12s", p.Digest)
	add(p.PID != 0, "pid %d", p.PID)
	if since, err := time.Parse(time.RFC3339, p.Since); err == nil && p.PID != 0 {
		add(true, "for %s", time.Since(since).Round(time.Second))
	}
	live := 0
	for _, i := range p.Instances {
		if i.State != "draining" {
			live++
		}
	}
	add(live > 1, "instances %d", live)
	add(p.Restarts > 0, "restarts %d", p.Restarts)
	add(p.InFlight > 0, "in flight %d", p.InFlight)
	add(p.Held, "held")
	add(p.Pinned, "rolled back")
	add(p.Refused != "", "the directory's content is refused: %s", p.Refused)
	add(p.LastError != "" && p.State != "ready", "%s", p.LastError)
	return cli.Line(strings.Join(words, ", "))
}

func newPluginInspect(g *cli.Globals) *cobra.Command {
	return &cobra.Command{
		Use:               "inspect NAME",
		Short:             "Show all that is known of a plugin",
		Example:           "  rrhost plugin inspect calculate",
		Args:              cli.Args("NAME"),
		ValidArgsFunction: completePlugins(g, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			list, err := views(cmd.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return cli.Usage(fmt.Errorf("no [[topic]] names a plugin %s", args[0]))
			}
			for _, p := range list {
				if g.JSON {
					if err := cli.PrintJSON(cmd.OutOrStdout(), p); err != nil {
						return err
					}
					continue
				}
				if err := inspect(cmd.OutOrStdout(), p); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// inspect prints all of a plugin.
func inspect(out io.Writer, p view) error {
	var b strings.Builder
	show := func(ok bool, name, format string, args ...any) {
		if ok {
			fmt.Fprintf(&b, "%-12s %s\n", name, cli.Line(fmt.Sprintf(format, args...)))
		}
	}
	show(true, "name", "%s", p.Name)
	show(p.Host != 0, "host", "pid %d", p.Host)
	show(true, "state", "%s%s%s", p.State, sinceText(p.Since), map[bool]string{true: ", held: tried every 30 s"}[p.Held])
	show(p.Version != "", "version", "%s%s", p.Version, map[bool]string{true: ", rolled back until the directory changes"}[p.Pinned])
	show(p.Digest != "", "digest", "%s", p.Digest)
	show(p.Outside != "", "outside", "%s (not verified)", p.Outside)
	show(p.SDK != "", "sdk", "%s", p.SDK)
	show(len(p.Topics) > 0, "topics", "%s", strings.Join(p.Topics, ", "))
	show(p.Host != 0, "restarts", "%d", p.Restarts)
	show(p.Host != 0, "requests", "%d in flight, %d waiting", p.InFlight, p.Waiting)
	show(p.Refused != "", "refused", "%s", p.Refused)
	show(p.LastError != "", "last error", "%s", p.LastError)
	for _, l := range p.LastLines {
		show(true, "  it said", "%s", l)
	}
	for _, i := range p.Instances {
		show(true, "instance", "%d: %s%s, pid %d, version %s, %d in flight", i.Number, i.State, sinceText(i.Since), i.PID, i.Version, i.InFlight)
	}
	for _, h := range p.Handlers {
		show(true, "handler", "%s", h.Name)
		show(len(h.Request) > 0, "  takes", "%s", h.Request)
		show(len(h.Response) > 0, "  returns", "%s", h.Response)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func sinceText(since string) string {
	t, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return ""
	}
	return " for " + max(time.Since(t), 0).Round(time.Second).String()
}

func newPluginOrder(g *cli.Globals, name, short, long string, do func(*control.Client, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:               name + " NAME",
		Short:             short,
		Long:              long,
		Example:           "  rrhost plugin " + name + " calculate",
		Args:              cli.Args("NAME"),
		ValidArgsFunction: completePlugins(g, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			clients, err := control.Dial(ctx, cfg.Path(cfg.Plugins.Store))
			if err != nil {
				return err
			}
			if len(clients) == 0 {
				return cli.Hint(errors.New("no host is running here with this configuration"), "rrhost run starts one")
			}
			for _, c := range clients {
				if err := do(c, ctx, args[0]); err != nil {
					return fmt.Errorf("%s plugin %s: %w", name, args[0], err)
				}
			}
			list, err := views(ctx, cfg, args[0])
			if err != nil {
				return err
			}
			for _, p := range list {
				if g.JSON {
					err = cli.PrintJSON(cmd.OutOrStdout(), p)
				} else {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), line(p))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newPluginTrust(g *cli.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "trust [NAME...]",
		Short: "Note the plugins' digests as the ones that may run",
		Long: `Note the digest of all of a plugin's files as the one that may run where verify
is "lock" in [plugins]; without a name, of all plugins that topics name. What
was noted runs from the host's own copy of it. A running host takes note at the
next reload or change.`,
		Example:           "  rrhost plugin trust\n  rrhost plugin trust calculate",
		ValidArgsFunction: completePlugins(g, config.MaxTopics),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			names := args
			if len(names) == 0 {
				seen := make(map[string]bool)
				for _, t := range cfg.Topics {
					if !seen[t.Plugin] {
						names = append(names, t.Plugin)
					}
					seen[t.Plugin] = true
				}
			}
			found, err := plugindir.Find(cfg.Path(cfg.Plugins.Dir), names)
			if err != nil {
				return cli.Usage(err)
			}
			store, err := plugindir.OpenStore(cfg.Path(cfg.Plugins.Store), cfg.Plugins.Trust == "strict")
			if err != nil {
				return err
			}
			failed := false
			for _, f := range found {
				digest, err := trust(store, f, cfg.Plugins.Trust == "strict")
				if err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "wrong  plugin %s: %s\n", f.Name, cli.Line(err.Error()))
					failed = true
					continue
				}
				if g.JSON {
					err = cli.PrintJSON(cmd.OutOrStdout(), map[string]string{"name": f.Name, "digest": digest})
				} else {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok     plugin %s: digest %s\n", f.Name, digest)
				}
				if err != nil {
					return err
				}
			}
			if failed {
				return cli.Told(cli.ExitError)
			}
			return nil
		},
	}
}

// completePlugins offers the plugins that topics name, for the first arguments.
func completePlugins(g *cli.Globals, arguments int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cfg, err := g.Load()
		if err != nil || len(args) >= arguments {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, t := range cfg.Topics {
			if !slices.Contains(args, t.Plugin) && !slices.Contains(names, t.Plugin) {
				names = append(names, t.Plugin)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// trust notes one plugin as it is now.
func trust(store *plugindir.Store, f plugindir.Found, strict bool) (digest string, err error) {
	if f.Err == nil && strict {
		if err := plugindir.CheckTrust(f); err != nil {
			return "", err
		}
	}
	b, err := store.Stage(f)
	if err != nil {
		return "", err
	}
	return b.Digest, store.Change(f.Name, func(n *plugindir.Note) { n.Trust(b.Digest) })
}
