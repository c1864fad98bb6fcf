package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/internal/kafka"
)

// A topicLine is a topic as JSON.
type topicLine struct {
	Name       string            `json:"name"`
	Role       string            `json:"role"`
	Partitions int32             `json:"partitions"`
	Replicas   int16             `json:"replicas,omitempty"` // absent: the brokers' default
	Configs    map[string]string `json:"configs"`
}

func newTopics(g *cli.Globals) *cobra.Command {
	var show bool
	c := &cobra.Command{
		Use:   "topics",
		Short: "Create the topics that are missing",
		Long: `Create those of the configured topics that are missing, with the settings that
rrhost needs, and list them all. A topic that is there is left as it is; see
rrhost check. "rrhost run" does the same at its start unless create_topics is
false.`,
		Example: `  rrhost topics
  rrhost topics --print          # the kafka-topics.sh commands instead
  rrhost topics --print --json   # names, partitions and settings`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			specs := kafka.Topics(cfg)
			if !show {
				cli.TuneSarama(nil)
				ask := true // typing the command is the consent that create_topics gives
				cfg.Kafka.CreateTopics = &ask
				if err := kafka.EnsureTopics(cmd.Context(), cfg); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			switch {
			case g.JSON:
				for _, s := range specs {
					line := topicLine{Name: s.Name, Role: s.Role, Partitions: s.Partitions, Replicas: max(s.Replicas, 0), Configs: s.Configs}
					if err := cli.PrintJSON(out, line); err != nil {
						return err
					}
				}
			case show:
				if cfg.IsEmbedded() {
					// No tool but a host and its clients may log in there.
					fmt.Fprintln(out, "# not needed: with the embedded broker, a host creates its topics. For a Kafka cluster at BROKERS:")
					cfg.Kafka.Brokers = []string{"BROKERS"}
					specs = kafka.Topics(cfg)
				}
				for _, line := range kafka.Commands(specs, cfg) {
					fmt.Fprintln(out, line)
				}
			default:
				for _, s := range specs {
					fmt.Fprintf(out, "ok     %s (%s)\n", s.Name, s.Role)
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&show, "print", false, "print what would be created and contact no broker")
	return c
}
