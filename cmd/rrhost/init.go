package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/internal/hint"
	"rrhost/internal/scaffold"
)

func newPluginInit(g *cli.Globals) *cobra.Command {
	var names []string
	for _, l := range scaffold.Languages {
		names = append(names, l.Name)
	}
	lang := names[0]
	c := &cobra.Command{
		Use:   "init NAME",
		Short: "Begin a plugin: a folder that builds, has tests, and runs",
		Long: `Make a folder with a plugin of one handler, its tests, and the SDK, which comes
with this program: nothing else is fetched but the libraries that the SDK uses.
NAME may be a path; its last part is the plugin's name. The folder must not be
there yet. It belongs into the plugin directory, the one that dir in [plugins]
names: "rrhost dev" then builds and runs it.`,
		Example: `  rrhost plugin init plugins/price
  rrhost plugin init plugins/price --lang ` + names[len(names)-1],
		Args: cli.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := scaffold.LanguageNamed(lang)
			if err != nil {
				return cli.Usage(fmt.Errorf("--lang: %w", err))
			}
			folder := filepath.Clean(args[0])
			if err := l.CheckName(filepath.Base(folder)); err != nil {
				return cli.Usage(err)
			}
			p, err := scaffold.New(folder, l)
			switch {
			case errors.Is(err, fs.ErrExist):
				return cli.Hint(cli.Usage(fmt.Errorf("%s is there already, and nothing was changed", folder)), "choose another name, or remove it")
			case errors.Is(err, fs.ErrNotExist):
				return cli.Hint(cli.Usage(fmt.Errorf("the folder %s, which %s shall be in, is not there", filepath.Dir(folder), filepath.Base(folder))), "mkdir -p "+hint.Quote(filepath.Dir(folder)))
			case err != nil:
				return err
			}
			if g.JSON {
				return cli.PrintJSON(cmd.OutOrStdout(), map[string]any{
					"name": p.Name, "folder": p.Folder, "language": l.Name, "handler": p.Name, "request": p.Request, "next": l.Next(p.Name),
				})
			}
			return whatNext(cmd.OutOrStdout(), p)
		},
	}
	c.Flags().StringVar(&lang, "lang", lang, "`language` to write it in: "+strings.Join(names, ", "))
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that is not there
	return c
}

// whatNext tells what to do with a new plugin.
func whatNext(w io.Writer, p scaffold.Plugin) error {
	_, err := fmt.Fprintf(w, `%[1]s is a plugin in %[2]s, with one handler, %[3]s.

Try it:

  cd %[1]s
  %[4]s

Name it in config.toml, whose plugin directory it must be in:

  [[topic]]
  name = "%[3]s"

Run it; this builds it, and again whenever a file changes:

  rrhost dev
  rrclient request %[3]s '%[5]s'    # in another terminal: %[6]s
`, hint.Quote(p.Folder), p.Language.Title, p.Name, strings.Join(p.Language.Next(p.Name), "\n  "), p.Request, p.Response)
	return err
}

func newPluginSDK(g *cli.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "sdk FOLDER",
		Short: "Bring a plugin's SDK up to this program's",
		Long: `Put the SDK that comes with this program into a plugin's folder, in place of the
one that "rrhost plugin init" put there. No other file is changed. There is no
need to: a plugin that was built with an older SDK goes on to work.`,
		Example: "  rrhost plugin sdk plugins/price",
		Args:    cli.Args("FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := scaffold.Update(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				return cli.Hint(cli.Usage(err), "rrhost plugin init begins a plugin that has one")
			}
			if err != nil {
				return err
			}
			if g.JSON {
				return cli.PrintJSON(cmd.OutOrStdout(), map[string]string{"folder": args[0], "language": l.Name, "next": l.Updated})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has the SDK for %s of this rrhost. Next, in the folder: %s\n", args[0], l.Title, l.Updated)
			return err
		},
	}
}
