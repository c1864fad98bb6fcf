// Command bench compares rrhost with a bare sarama echo on one real broker: the
// same payloads, acks, partitions and load. Both take turns, round by round, and
// each figure of rrhost is divided by the yardstick's of the same round: machines
// are noisy, ratios less so.
//
// `make bench` runs it, from the root of the repository.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"rrhost/bench/internal/load"
	"rrhost/client"
)

// A variant is one contender.
type variant struct {
	name  string
	label string
	store string // of rrhost's audit trail; "" for the yardstick
}

var variants = []variant{
	{"a", "bare sarama echo with GCM", ""},
	{"b", `rrhost, store = "none"`, "none"},
	{"c", `rrhost, store = "embedded"`, "embedded"},
	{"d", `rrhost, store = "cassandra"`, "cassandra"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	rounds := flag.Int("rounds", 5, "rounds")
	only := flag.String("only", "a,b,c,d", "contenders; a is the yardstick and always runs")
	measure := flag.Duration("measure", 8*time.Second, "time measured of each contender, load and round")
	warmup := flag.Duration("warmup", 4*time.Second, "time before measuring")
	flag.Parse()

	dir, err := os.MkdirTemp("", "rrhost-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := stage{dir: dir, key: client.GenerateKey(), flags: load.Flags{Warmup: *warmup, Measure: *measure}}
	if err := s.build(ctx); err != nil {
		return err
	}
	defer s.stop()
	wanted := slices.DeleteFunc(slices.Clone(variants), func(v variant) bool {
		return v.name != "a" && !slices.Contains(strings.Split(*only, ","), v.name)
	})
	if err := s.start(ctx, slices.ContainsFunc(wanted, func(v variant) bool { return v.store == "cassandra" })); err != nil {
		return err
	}

	// Not counted: a broker that has just begun compiles its code while it answers,
	// and who comes first would pay for it.
	for _, v := range wanted[:min(2, len(wanted))] {
		if _, err := s.measure(ctx, v, 256); err != nil {
			return fmt.Errorf("warm up (%s): %w", v.name, err)
		}
	}

	results := map[string][]load.Result{} // by contender and load, one a round
	for round := range *rounds {
		for _, inFlight := range []int{256, 1} {
			for _, v := range wanted {
				r, err := s.measure(ctx, v, inFlight)
				if err != nil {
					return fmt.Errorf("round %d, (%s) with %d in flight: %w", round+1, v.name, inFlight, err)
				}
				key := fmt.Sprint(v.name, inFlight)
				results[key] = append(results[key], r)
				fmt.Fprintf(os.Stderr, "round %d  (%s)  %3d in flight  %7.0f/s  median %6d µs  p99 %6d µs  errors %d\n",
					round+1, v.name, inFlight, r.PerSecond, r.P50Micros, r.P99Micros, r.Errors)
			}
		}
	}
	report(wanted, results)
	return nil
}

// report prints medians of the per-round ratios to (a), with their spread.
func report(wanted []variant, results map[string][]load.Result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "contender\t256 in flight: requests/s\tratio to (a)\tone in flight: median\tratio to (a)\terrors")
	perSecond := func(r load.Result) float64 { return r.PerSecond }
	median := func(r load.Result) float64 { return float64(r.P50Micros) }
	for _, v := range wanted {
		many, one := results[v.name+"256"], results[v.name+"1"]
		errors := int64(0)
		for _, r := range slices.Concat(many, one) {
			errors += r.Errors
		}
		fmt.Fprintf(w, "(%s) %s\t%.0f\t%s\t%.0f µs\t%s\t%d\n", v.name, v.label,
			middle(values(many, perSecond)), spread(ratios(many, results["a256"], perSecond)),
			middle(values(one, median)), spread(ratios(one, results["a1"], median)), errors)
	}
}

func values(rs []load.Result, of func(load.Result) float64) []float64 {
	var out []float64
	for _, r := range rs {
		out = append(out, of(r))
	}
	slices.Sort(out)
	return out
}

func ratios(rs, base []load.Result, of func(load.Result) float64) []float64 {
	var out []float64
	for i := range rs {
		out = append(out, of(rs[i])/of(base[i]))
	}
	slices.Sort(out)
	return out
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func spread(sorted []float64) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", middle(sorted), sorted[0], sorted[len(sorted)-1])
}

// measure runs one contender's worker and requester once.
func (s *stage) measure(ctx context.Context, v variant, inFlight int) (r load.Result, err error) {
	worker, requester, err := s.contender(v)
	if err != nil {
		return r, err
	}
	stop, err := worker(ctx)
	if err != nil {
		return r, err
	}
	defer func() {
		if e := stop(); e != nil && err == nil {
			err = e
		}
	}()
	cmd := s.command(ctx, requester[0], append(requester[1:],
		"-in-flight", fmt.Sprint(inFlight), "-warmup", s.flags.Warmup.String(), "-measure", s.flags.Measure.String())...)
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Base(requester[0]), err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("result of %s: %w", filepath.Base(requester[0]), err)
	}
	return r, nil
}
