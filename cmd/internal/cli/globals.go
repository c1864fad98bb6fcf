package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"rrhost/config"
	"rrhost/internal/envelope"
)

// Globals are the flags that every command has.
type Globals struct {
	ConfigFile string
	JSON       bool
}

// Bind adds the flags to root and what is below it.
func (g *Globals) Bind(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&g.ConfigFile, "config", "config.toml", "configuration `file`; paths in it are relative to it")
	flags.BoolVar(&g.JSON, "json", false, "print JSON, for programs")
	_ = root.MarkPersistentFlagFilename("config", "toml") // fails for a flag that is not there
}

// Load reads the configuration.
func (g *Globals) Load() (config.Config, error) {
	cfg, err := config.Load(g.ConfigFile)
	if err == nil {
		return cfg, nil
	}
	var mistakes *config.Error
	switch {
	case errors.As(err, &mistakes) && len(mistakes.Faults) > 1:
		err = fmt.Errorf("the configuration has %d mistakes\n%w", len(mistakes.Faults), err)
	case errors.Is(err, fs.ErrNotExist):
		err = Hint(err, "--config names the configuration file; without it, that is config.toml in the working directory")
	}
	return config.Config{}, Usage(err)
}

// Keys makes the key ring. What is wrong with it is a mistake of configuration.
func Keys(cfg config.Config) (*envelope.Ring, error) {
	ring, err := cfg.Ring()
	if err != nil {
		return nil, Usage(err)
	}
	return ring, nil
}

// PrintJSON writes v as one line.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Group makes a command that only has commands below it.
func Group(use, short, example string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.NoArgs}
	c.AddCommand(below...)
	return c
}
