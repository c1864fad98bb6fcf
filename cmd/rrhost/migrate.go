package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rrhost/audit"
	"rrhost/cmd/internal/cli"
)

func newMigrate(g *cli.Globals) *cobra.Command {
	var show bool
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Create or upgrade the audit store's tables",
		Long: `Create the audit store's tables, or bring them up to this version. Doing it
again changes nothing. "rrhost run" does the same at its start unless migrate is
false in [audit.cassandra].`,
		Example: `  rrhost audit migrate
  rrhost audit migrate --print   # the statements, for whoever may change the schema`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			if cfg.Audit.Store == "none" {
				return cli.Usage(audit.ErrNoStore)
			}
			out := cmd.OutOrStdout()
			if !show {
				if err := audit.Migrate(cmd.Context(), cfg); err != nil {
					return err
				}
				if g.JSON {
					return cli.PrintJSON(out, map[string]string{"store": cfg.Audit.Store, "state": "up to date"})
				}
				_, err := fmt.Fprintf(out, "ok     the %s store's tables are up to date\n", cfg.Audit.Store)
				return err
			}
			statements := audit.MigrationStatements(cfg)
			if g.JSON {
				return cli.PrintJSON(out, statements)
			}
			for _, s := range statements {
				if _, err := fmt.Fprintln(out, s+";"); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&show, "print", false, "print the statements and change nothing")
	return c
}
