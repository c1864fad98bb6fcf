// Command rrhost is the worker server: it answers the requests of its topics with
// the plugins in a directory.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/internal/guard"
)

func main() {
	// Plugins are started with the host's keys at hand, by run, check and others.
	if err := guard.Undumpable(); err != nil {
		fmt.Fprintln(os.Stderr, "rrhost: keep other processes out of this one:", err)
		os.Exit(cli.ExitError)
	}
	ctx, stop := cli.Signals(context.Background())
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program; it returns the code to exit with.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Main(ctx, newRoot(), args, stdin, stdout, stderr)
}

func newRoot() *cobra.Command {
	g := new(cli.Globals)
	root := &cobra.Command{
		Use:   "rrhost",
		Short: "Answer requests in Kafka topics with plugins",
		Long: `rrhost takes requests from Kafka topics, has the plugins in a directory handle
them, and sends the replies. It reads config.toml, which as shipped needs no
other service: broker, audit trail and key are then in the folder data.

Exit codes: 0 all is well, 2 the command line or the configuration is wrong,
1 anything else.`,
		Example: `  rrhost demo     # one request from end to end, with nothing to set up
  rrhost check    # what is wrong, and how to mend it
  rrhost run      # answer requests until SIGINT or SIGTERM
  rrhost dev      # the same, and build and reload plugins as they are edited`,
	}
	g.Bind(root)
	root.AddCommand(
		newRun(g), newDev(g), newDemo(g), newCheck(g), newTopics(g), newPlugin(g),
		cli.Group("audit", "Look after the audit trail's store", "  rrhost audit migrate", newMigrate(g)),
		cli.NewKeygen(g, "rrhost"), cli.NewVersion(g, "rrhost"),
	)
	return root
}
