package main

import (
	"testing"

	"github.com/spf13/cobra"
)

// Every command says in a line what it is for, and shows how to use it.
func TestCommandsExplainThemselves(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" || c.RunE == nil && !c.HasSubCommands() {
			t.Errorf("%s: short %q, example %q", c.CommandPath(), c.Short, c.Example)
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
}
