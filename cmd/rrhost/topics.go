package main

import (
	"fmt"
	"strings"

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
				leaderless, err := kafka.EnsureTopics(cmd.Context(), cfg)
				if err != nil {
					return err
				}
				if len(leaderless) > 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "warning: without leader: %s (hint: start the brokers that hold them)\n", strings.Join(leaderless, ", "))
				}
			}
			out := cmd.OutOrStdout()
			if g.JSON {
				for _, s := range specs {
					line := topicLine{Name: s.Name, Role: s.Role, Partitions: s.Partitions, Replicas: max(s.Replicas, 0), Configs: s.Configs}
					if err := cli.PrintJSON(out, line); err != nil {
						return err
					}
				}
				return nil
			}
			var lines []string
			switch {
			case show && cfg.IsEmbedded():
				// No tool but a host and its clients may log in there.
				cfg.Kafka.Brokers = []string{"BROKERS"}
				lines = append([]string{"# not needed: with the embedded broker, a host creates its topics. For a Kafka cluster at BROKERS:"},
					kafka.Commands(kafka.Topics(cfg), cfg)...)
			case show:
				lines = kafka.Commands(specs, cfg)
			default:
				for _, s := range specs {
					lines = append(lines, fmt.Sprintf("ok     %s (%s)", s.Name, s.Role))
				}
			}
			for _, line := range lines {
				if _, err := fmt.Fprintln(out, line); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&show, "print", false, "print what would be created and contact no broker")
	return c
}
