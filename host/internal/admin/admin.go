// Package admin tells operators how a host stands: liveness, readiness with its
// reasons, and metrics.
package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rrhost/audit"
	"rrhost/host/internal/dispatch"
	"rrhost/host/internal/intake"
	"rrhost/host/internal/supervise"
	"rrhost/internal/httpserve"
)

// Sources are where the state comes from, each asked anew for every answer.
type Sources struct {
	Intake   func() intake.State
	Servers  func() []Server
	Refusals func() map[string]string            // topics that take no records, and why
	Audit    func() (stats audit.Stats, on bool) // on: there is a trail
	Skew     func() (time.Duration, bool)        // of the broker's clock; whether known
}

// A Server is a plugin, or this process where it has handlers.
type Server struct {
	Name   string
	Lane   dispatch.State
	Plugin *supervise.State // nil in this process, and where no plugin was found
	Topics []string
}

// Reasons lists why the host is not ready, nothing if it is. What only warns
// begins with "warning:" and does not count.
func (s Sources) Reasons() (problems, warnings []string) {
	in := s.Intake()
	if !in.Joined {
		reason := "kafka: not a member of the consumer group"
		if in.Err != nil {
			reason += ": " + in.Err.Error()
		}
		problems = append(problems, reason)
	}
	for _, p := range in.Partitions {
		if p.OldestAge > stuckAfter {
			warnings = append(warnings, fmt.Sprintf("partition %s/%d: offset %d (request %s) has been unsettled for %s",
				p.Topic, p.Partition, p.OldestOffset, p.OldestRequestID, p.OldestAge.Round(time.Second)))
		}
	}
	for topic, why := range s.Refusals() {
		problems = append(problems, fmt.Sprintf("topic %s: %s", topic, why))
	}
	for _, server := range s.Servers() {
		if !server.Lane.Up {
			problems = append(problems, fmt.Sprintf("plugin %s: %s (topics: %s)", server.Name, server.Lane.Cause, strings.Join(server.Topics, ", ")))
		}
		if server.Lane.Stuck > 0 {
			warnings = append(warnings, fmt.Sprintf("plugin %s: %d handlers run on although their requests have ended", server.Name, server.Lane.Stuck))
		}
	}
	if stats, on := s.Audit(); on && stats.LastError != nil {
		warnings = append(warnings, fmt.Sprintf("audit: %v; the trail lags behind and will catch up", stats.LastError))
	}
	return problems, warnings
}

// stuckAfter is when an unsettled request is worth a warning.
const stuckAfter = 2 * time.Minute

// Serve answers on l until ctx is done. It closes l.
func Serve(ctx context.Context, l net.Listener, m *Metrics, s Sources) error {
	m.registry.MustRegister(&collector{sources: s})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		problems, warnings := s.Reasons()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if len(problems) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			for _, p := range problems {
				fmt.Fprintln(w, "not ready:", p)
			}
		} else {
			fmt.Fprintln(w, "ok")
		}
		for _, p := range warnings {
			fmt.Fprintln(w, "warning:", p)
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	if err := httpserve.Serve(ctx, server, l); err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	return nil
}

// A collector turns the state into metrics when it is asked.
type collector struct{ sources Sources }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rrhost_"+name, help, labels, nil)
}

var (
	descInFlight   = desc("in_flight", "Requests in flight, by topic and partition.", "topic", "partition")
	descWaiting    = desc("waiting", "Requests received and without a slot, by topic and partition.", "topic", "partition")
	descLag        = desc("lag", "Records behind the log's end, by topic and partition.", "topic", "partition")
	descHeld       = desc("held_bytes", "Bytes of request records held.")
	descUp         = desc("plugin_up", "1 if the plugin takes requests.", "plugin")
	descState      = desc("plugin_state", "1 for the state that the plugin is in.", "plugin", "state")
	descPinned     = desc("plugin_pinned", "1 if a rollback keeps the directory's content from running.", "plugin")
	descPluginHeld = desc("plugin_held", "1 if the plugin kept failing by itself, and is tried every 30 s alone.", "plugin")
	descRestarts   = desc("plugin_restarts_total", "Starts of the plugin after its first.", "plugin")
	descStuck      = desc("plugin_stuck_handlers", "Handlers that run on although their request has ended.", "plugin")
	descSkew       = desc("broker_clock_skew_seconds", "How far the broker's clock is ahead of the host's; absent while unknown.")
	descRefused    = desc("topic_refused", "1 for a topic that takes no records now.", "topic")
)

// Describe implements [prometheus.Collector]; the metrics are those of the
// topics and plugins that there are, so it names none beforehand.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	in := c.sources.Intake()
	gauge(descHeld, float64(in.HeldBytes))
	for _, p := range in.Partitions {
		id := fmt.Sprint(p.Partition)
		gauge(descInFlight, float64(p.InFlight), p.Topic, id)
		gauge(descWaiting, float64(p.Waiting), p.Topic, id)
		gauge(descLag, float64(p.Lag), p.Topic, id)
	}
	for _, s := range c.sources.Servers() {
		gauge(descUp, number(s.Lane.Up), s.Name)
		gauge(descStuck, float64(s.Lane.Stuck), s.Name)
		if s.Plugin != nil {
			gauge(descState, 1, s.Name, string(s.Plugin.State))
			gauge(descPinned, number(s.Plugin.Pinned), s.Name)
			gauge(descPluginHeld, number(s.Plugin.Held), s.Name)
			out <- prometheus.MustNewConstMetric(descRestarts, prometheus.CounterValue, float64(s.Plugin.Restarts), s.Name)
		}
	}
	for topic := range c.sources.Refusals() {
		gauge(descRefused, 1, topic)
	}
	if skew, known := c.sources.Skew(); known {
		gauge(descSkew, skew.Seconds())
	}
	c.collectAudit(out)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
