package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/internal/discovery"
)

func newDescribe(g *cli.Globals) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "describe TOPIC",
		Short: "Show who serves a topic, and what it takes",
		Long: `Show the hosts that serve a topic, and the JSON Schemas of its requests and
responses, as the hosts announce them on the control topic. It asks no host and
needs no key. A topic that no host announces is an error.`,
		Example: `  rrclient describe calculate
  rrclient describe calculate --json`,
		Args:              cli.Args("TOPIC"),
		ValidArgsFunction: completeTopics(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := announced(cmd.Context(), g, timeout)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(t servedTopic) bool { return t.Topic == args[0] })
			if i < 0 {
				return notAnnounced(args[0], list)
			}
			if g.JSON {
				return cli.PrintJSON(cmd.OutOrStdout(), list[i])
			}
			return list[i].print(cmd.OutOrStdout())
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", announceTimeout, "how long to read")
	return c
}

func notAnnounced(topic string, list []servedTopic) error {
	hint := "start a host that serves it"
	if len(list) > 0 {
		names := make([]string, len(list))
		for i, t := range list {
			names[i] = t.Topic
		}
		hint = "hosts serve " + strings.Join(names, ", ")
	}
	return cli.Hint(fmt.Errorf("not_served: no host has announced topic %s in the last %s", topic, discovery.Lifetime), hint)
}

// print shows each host, and the schemas of the one that announced itself last:
// while a plugin is being replaced they may differ.
func (t *servedTopic) print(w io.Writer) error {
	var b strings.Builder
	show := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, cli.Line(fmt.Sprintf(format, args...)))
	}
	show("topic", "%s", t.Topic)
	newest := t.Hosts[0]
	for _, h := range t.Hosts {
		if h.AnnouncedMS < newest.AnnouncedMS {
			newest = h
		}
		show("host", "%s, group %s, since %s, id %s", h.Name, h.Group, h.Started.Format(time.RFC3339), h.Host)
		show("  plugin", "%s", strings.Join(strings.Fields(h.Plugin+" "+h.Version+" "+h.State), ", "))
		show("  has", "partitions %s; in flight %d, waiting %d", partitions(h.Counters.Partitions), h.Counters.InFlight, h.Counters.Waiting)
		show("  answered", "%s", statusCounts(h.Counters.Answered))
	}
	if newest.Handler != "" {
		show("handler", "%s", newest.Handler)
	}
	show("timeout", "%s", time.Duration(newest.TimeoutMS)*time.Millisecond)
	for _, s := range []struct {
		name   string
		schema json.RawMessage
	}{{"request", newest.Request}, {"response", newest.Response}} {
		var text bytes.Buffer
		if len(s.schema) == 0 {
			show(s.name, "any")
		} else if err := json.Indent(&text, s.schema, "", "  "); err != nil {
			return err
		} else {
			fmt.Fprintf(&b, "%s\n%s\n", s.name, cli.Printable(text.String()))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func partitions(list []int32) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Trim(fmt.Sprint(list), "[]")
}
