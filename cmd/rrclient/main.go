// Command rrclient sends requests to the handlers behind Kafka topics, and reads
// the audit trail.
package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
)

func main() {
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
		Use:   "rrclient",
		Short: "Send requests through Kafka, and read their trail",
		Long: `rrclient sends requests to Kafka topics whose handlers a host runs, and shows
what came of them. It reads the same config.toml as the host.

Exit codes: 0 ok, 4 the handler returned an error, 3 no result in time, 2 the
command line or the configuration is wrong, 1 any other failure; its name is on
standard error.`,
		Example: `  rrclient request calculate '{"a":10,"b":5}'
  rrclient topics
  rrclient logs --since 10m
  rrclient bench echo '{"n":1}' --in-flight 64`,
	}
	g.Bind(root)
	root.AddCommand(newRequest(g), newTopics(g), newDescribe(g), newPing(g), newLogs(g), newBench(g), cli.NewKeygen(g, "rrclient"), cli.NewVersion(g, "rrclient"))
	return root
}
