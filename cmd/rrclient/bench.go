package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rrhost/client"
	"rrhost/cmd/internal/cli"
	"rrhost/config"
)

const (
	defaultInFlight = 64
	mostInFlight    = 100_000
	defaultDuration = 10 * time.Second
)

func newBench(g *cli.Globals) *cobra.Command {
	l := load{}
	c := &cobra.Command{
		Use:   "bench TOPIC JSON|-|@FILE",
		Short: "Measure throughput and latency",
		Long: `Send the same request again and again, a number of them at a time, and print
throughput, latency percentiles of what was answered ok, and failures by name.
One request goes before, unmeasured. Interrupted, it prints what it has.

A progress bar is on standard error if that is a terminal. It exits with 1 if any
request failed.`,
		Example: `  rrclient bench echo '{"n":1}'
  rrclient bench calculate '{"a":10,"b":5}' --in-flight 256 --duration 30s
  rrclient bench echo @body.json --in-flight 1 --count 1000 --json`,
		Args:              cli.Args("TOPIC", "JSON|-|@FILE"),
		ValidArgsFunction: completeTopics(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			if err := l.check(cmd.Flags().Changed("count")); err != nil {
				return cli.Usage(err)
			}
			payload, err := readPayload(cmd.Context(), args[1], cmd.InOrStdin(), cfg.Host.MaxPayload)
			if err != nil {
				return err
			}
			l.request = client.Request{Topic: args[0], Payload: payload, Timeout: l.request.Timeout}
			got, err := bench(cmd.Context(), cfg, l, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := got.print(cmd.OutOrStdout(), g.JSON); err != nil {
				return err
			}
			return got.failure()
		},
	}
	f := c.Flags()
	f.IntVar(&l.inFlight, "in-flight", defaultInFlight, "`requests` at a time")
	f.DurationVar(&l.duration, "duration", defaultDuration, "how long to start requests")
	f.IntVar(&l.count, "count", 0, "`requests` in all, instead of a duration")
	f.DurationVar(&l.request.Timeout, "timeout", config.DefaultTimeout, "how long to wait for each reply")
	c.MarkFlagsMutuallyExclusive("duration", "count")
	return c
}

// check checks the flags; counted is whether there is a count.
func (l load) check(counted bool) error {
	switch {
	case l.inFlight < 1 || l.inFlight > mostInFlight:
		return fmt.Errorf("--in-flight %d is not between 1 and %d", l.inFlight, mostInFlight)
	case counted && l.count < 1:
		return fmt.Errorf("--count %d is below 1", l.count)
	case l.duration <= 0:
		return fmt.Errorf("--duration %s is not above 0", l.duration)
	}
	return checkTimeout(l.request.Timeout)
}

// bench connects, sees that a request comes through, and measures.
func bench(ctx context.Context, cfg config.Config, l load, stderr io.Writer) (*measured, error) {
	c, err := open(ctx, cfg, l.request.Timeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_, err = c.Do(ctx, l.request)
	var handler *client.HandlerError
	if err != nil && !errors.As(err, &handler) { // a handler's errors can be measured too
		return nil, failed(err)
	}
	m := newMeasured(l)
	stop := showProgress(stderr, m)
	defer stop()
	m.run(ctx, c)
	return m, nil
}

// A summary is what was measured, as JSON. Times are in milliseconds.
type summary struct {
	Topic      string             `json:"topic"`
	InFlight   int                `json:"in_flight"`
	Seconds    float64            `json:"seconds"`
	Requests   int64              `json:"requests"`
	OK         int64              `json:"ok"`
	Throughput float64            `json:"throughput"` // ok a second
	Latency    map[string]float64 `json:"latency_ms,omitempty"`
	Errors     map[string]int64   `json:"errors,omitempty"`
}

var percentiles = []struct {
	name string
	at   float64
}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}}

func (m *measured) summary() summary {
	s := summary{
		Topic: m.request.Topic, InFlight: m.inFlight, Seconds: m.elapsed.Seconds(),
		OK: m.latency.TotalCount(), Errors: m.errors,
	}
	s.Requests = s.OK
	for _, n := range m.errors {
		s.Requests += n
	}
	if s.Seconds > 0 {
		s.Throughput = float64(s.OK) / s.Seconds
	}
	if s.OK > 0 {
		ms := func(us float64) float64 { return us / 1000 }
		s.Latency = map[string]float64{"min": ms(float64(m.latency.Min())), "mean": ms(m.latency.Mean()), "max": ms(float64(m.latency.Max()))}
		for _, p := range percentiles {
			s.Latency[p.name] = ms(float64(m.latency.ValueAtPercentile(p.at)))
		}
	}
	return s
}

func (m *measured) print(out io.Writer, asJSON bool) error {
	s := m.summary()
	if asJSON {
		return cli.PrintJSON(out, s)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "requests    %d in %.2f s, %d in flight\n", s.Requests, s.Seconds, s.InFlight)
	fmt.Fprintf(&b, "throughput  %.1f a second\n", s.Throughput)
	if s.OK > 0 {
		fmt.Fprintf(&b, "latency ms  min %.2f  mean %.2f", s.Latency["min"], s.Latency["mean"])
		for _, p := range percentiles {
			fmt.Fprintf(&b, "  %s %.2f", p.name, s.Latency[p.name])
		}
		fmt.Fprintf(&b, "  max %.2f\n", s.Latency["max"])
	}
	fmt.Fprintf(&b, "failures    %s\n", m.failures())
	_, err := io.WriteString(out, b.String())
	return err
}

// failures lists the failures by name.
func (m *measured) failures() string {
	if len(m.errors) == 0 {
		return "none"
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m.errors)) {
		list = append(list, fmt.Sprintf("%s %d", name, m.errors[name]))
	}
	return strings.Join(list, ", ")
}

// failure is the error of a run in which requests failed.
func (m *measured) failure() error {
	if len(m.errors) == 0 {
		return nil
	}
	return fmt.Errorf("requests failed: %s", m.failures())
}
