package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// A version is what is known of the build.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from more than the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// NewVersion makes the command version, which both programs have.
func NewVersion(g *Globals, program string) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version, the revision it was built from if known, Go's version and the platform.",
		Example: fmt.Sprintf("  %[1]s version\n  %[1]s version --json", program),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := readVersion()
			if g.JSON {
				return PrintJSON(cmd.OutOrStdout(), v)
			}
			text := program + " " + v.Version
			if v.Revision != "" {
				text += " " + v.Revision
				if v.Modified {
					text += " (modified)"
				}
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), text, v.Go, v.Platform)
			return err
		},
	}
}
