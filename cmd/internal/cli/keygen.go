package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"rrhost/client"
)

// NewKeygen makes the command keygen, which both programs have.
func NewKeygen(g *Globals, program string) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen",
		Short: "Print a new encryption key",
		Long: `Print a new encryption key: 64 hex characters, for ENCRYPTION_KEY or a file
that [encryption] key names. Hosts and requesters need the same one.`,
		Example: fmt.Sprintf(`  export ENCRYPTION_KEY=$(%[1]s keygen)
  (umask 077; %[1]s keygen > secret.key)   # then: key = "file:secret.key"`, program),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key := client.GenerateKey()
			if g.JSON {
				return PrintJSON(cmd.OutOrStdout(), map[string]string{"key": key})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), key)
			return err
		},
	}
}
