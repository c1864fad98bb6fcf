package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/internal/discovery"
)

// announceTimeout is how long the commands read what hosts announce, by default.
const announceTimeout = 10 * time.Second

// A servedTopic is a topic as hosts announce it.
type servedTopic struct {
	Topic string      `json:"topic"`
	Hosts []topicHost `json:"hosts"`
}

// A topicHost is one host's part of it.
type topicHost struct {
	Host        string    `json:"host"`
	Name        string    `json:"name"`
	Group       string    `json:"group"`
	Started     time.Time `json:"started"`
	AnnouncedMS int64     `json:"announced_ms_ago"`
	discovery.Topic
}

func newTopics(g *cli.Globals) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "topics",
		Short: "List the topics that hosts serve",
		Long: `List the request topics that running hosts serve, as the hosts themselves
announce them on the control topic every half minute. It asks no host and needs no
key. A host that ended without a goodbye is listed for another 90s.

Each line has the plugin's state, the topic, how many hosts serve it, the plugin
with its versions, and the requests answered since the hosts' start. With --json
each line is an object, with all that "rrclient describe" shows.`,
		Example: `  rrclient topics
  rrclient topics --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := announced(cmd.Context(), g, timeout)
			if err != nil {
				return err
			}
			if len(list) == 0 && !g.JSON {
				fmt.Fprintln(cmd.ErrOrStderr(), "note: no host announces anything")
			}
			for _, t := range list {
				if g.JSON {
					err = cli.PrintJSON(cmd.OutOrStdout(), t)
				} else {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), cli.Line(t.line()))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", announceTimeout, "how long to read")
	return c
}

// announced reads what hosts announce, by topic.
func announced(ctx context.Context, g *cli.Globals, timeout time.Duration) ([]servedTopic, error) {
	cfg, err := g.Load()
	if err != nil {
		return nil, err
	}
	if err := checkTimeout(timeout); err != nil {
		return nil, cli.Usage(err)
	}
	if !cfg.Discovery.On() {
		return nil, cli.Usage(cli.Hint(fmt.Errorf("hosts announce nothing: discovery.topic is \"off\" in %s", g.ConfigFile), "leave it out, here and at the hosts"))
	}
	cli.TuneSarama(nil)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	hosts, err := cli.Interruptible(ctx, func() ([]discovery.Record, error) { return readHosts(ctx, cfg) })
	if err != nil {
		return nil, failed(err)
	}
	return byTopic(hosts, time.Now()), nil
}

// readHosts reads the control topic to its end.
func readHosts(ctx context.Context, cfg config.Config) ([]discovery.Record, error) {
	var hosts discovery.Hosts
	reader, err := discovery.Read(cfg, hosts.Add)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	select {
	case <-reader.CaughtUp():
		return hosts.List(time.Now()), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("read what hosts announce: %w", context.Cause(ctx))
	}
}

func byTopic(hosts []discovery.Record, now time.Time) []servedTopic {
	of := make(map[string]*servedTopic)
	for _, h := range hosts {
		for _, t := range h.Announcement.Topics {
			if of[t.Name] == nil {
				of[t.Name] = &servedTopic{Topic: t.Name}
			}
			of[t.Name].Hosts = append(of[t.Name].Hosts, topicHost{
				Host: h.Host, Name: h.Announcement.Name, Group: h.Announcement.Group,
				Started: time.UnixMilli(h.Announcement.Started).UTC(), AnnouncedMS: now.Sub(h.Seen).Milliseconds(), Topic: t,
			})
		}
	}
	var list []servedTopic
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, *of[name])
	}
	return list
}

// line is the topic in a list.
func (t *servedTopic) line() string {
	states, plugins, answered, inFlight := map[string]int{}, map[string]int{}, map[string]int64{}, 0
	for _, h := range t.Hosts {
		states[h.State]++
		plugins[strings.TrimSpace(h.Plugin+" "+h.Version)]++
		inFlight += h.Counters.InFlight
		for status, n := range h.Counters.Answered {
			answered[status] += n
		}
	}
	hosts := "1 host"
	if len(t.Hosts) > 1 {
		hosts = fmt.Sprintf("%d hosts", len(t.Hosts))
	}
	words := []string{fmt.Sprintf("%-11s %s", counted(states), t.Topic), hosts, "plugin " + counted(plugins)}
	if inFlight > 0 {
		words = append(words, fmt.Sprintf("in flight %d", inFlight))
	}
	return strings.Join(append(words, "answered "+statusCounts(answered)), ", ")
}

// counted lists names, the most frequent first, with how often where there are
// several.
func counted(names map[string]int) string {
	sorted := slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		return cmp.Or(cmp.Compare(names[b], names[a]), cmp.Compare(a, b))
	})
	for i, name := range sorted {
		if len(names) > 1 {
			sorted[i] = fmt.Sprintf("%s (%d)", name, names[name])
		}
	}
	return strings.Join(sorted, " ")
}

// statusCounts lists how many requests were answered with which status.
func statusCounts(answered map[string]int64) string {
	var words []string
	for _, status := range slices.SortedFunc(maps.Keys(answered), func(a, b string) int {
		return cmp.Or(cmp.Compare(answered[b], answered[a]), cmp.Compare(a, b))
	}) {
		words = append(words, fmt.Sprintf("%s %d", status, answered[status]))
	}
	if len(words) == 0 {
		return "nothing yet"
	}
	return strings.Join(words, " ")
}
