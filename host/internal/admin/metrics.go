package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"rrhost/host/internal/supervise"
	"rrhost/internal/wire"
)

// Metrics are the counters of the request path. Their labels come from the
// configuration and the status table only, never from a request.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	letters  *prometheus.CounterVec
	stages   *prometheus.HistogramVec
	plugins  *prometheus.CounterVec
}

// NewMetrics makes a registry of its own: two hosts in one process do not meet.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rrhost_requests_total",
			Help: "Requests with an acknowledged reply, by topic and status.",
		}, []string{"topic", "status"}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rrhost_dead_letters_total",
			Help: "Acknowledged dead letters, by topic and reason.",
		}, []string{"topic", "reason"}),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rrhost_stage_seconds",
			Help: "Time of a request in each stage: slot (received until it has a slot), " +
				"handle (until it has an outcome), reply (until Kafka has acknowledged the reply).",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2.5, 16), // 50 µs to 46 s
		}, []string{"topic", "stage"}),
		plugins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rrhost_plugin_transitions_total",
			Help: "Changes of a plugin's state, or of one of its instances, by plugin and the state it came to.",
		}, []string{"plugin", "state"}),
	}
	m.registry.MustRegister(m.requests, m.letters, m.stages, m.plugins)
	return m
}

// Transition counts a change of a plugin's state.
func (m *Metrics) Transition(e supervise.Event) {
	m.plugins.WithLabelValues(e.Name, string(e.To())).Inc()
}

// TopicMetrics are the counters of one topic, looked up once.
type TopicMetrics struct {
	outcomes            map[wire.Status]prometheus.Counter
	letters             map[wire.Status]prometheus.Counter
	slot, handle, reply prometheus.Observer
}

// Topic returns the counters of a topic.
func (m *Metrics) Topic(name string) *TopicMetrics {
	t := &TopicMetrics{
		outcomes: make(map[wire.Status]prometheus.Counter),
		letters:  make(map[wire.Status]prometheus.Counter),
		slot:     m.stages.WithLabelValues(name, "slot"),
		handle:   m.stages.WithLabelValues(name, "handle"),
		reply:    m.stages.WithLabelValues(name, "reply"),
	}
	for _, status := range wire.Statuses() {
		t.outcomes[status] = m.requests.WithLabelValues(name, string(status))
	}
	for _, reason := range wire.Reasons() {
		t.letters[reason] = m.letters.WithLabelValues(name, string(reason))
	}
	return t
}

// Replied counts an acknowledged reply, with the times at which the request was
// received, got its slot, and had its outcome.
func (t *TopicMetrics) Replied(status wire.Status, received, begun, finished time.Time) {
	t.outcomes[status].Inc()
	t.slot.Observe(begun.Sub(received).Seconds())
	t.handle.Observe(finished.Sub(begun).Seconds())
	t.reply.Observe(time.Since(finished).Seconds())
}

// Answered returns how many replies were acknowledged of each status that there
// were some of.
func (t *TopicMetrics) Answered() map[string]int64 {
	counts := make(map[string]int64)
	for status, counter := range t.outcomes {
		var m dto.Metric
		if err := counter.Write(&m); err == nil && m.GetCounter().GetValue() > 0 {
			counts[string(status)] = int64(m.GetCounter().GetValue())
		}
	}
	return counts
}

// RepliedUnsealed counts an acknowledged reply to what could not be opened or
// read.
func (t *TopicMetrics) RepliedUnsealed(status wire.Status) { t.outcomes[status].Inc() }

// DeadLettered counts an acknowledged dead letter.
func (t *TopicMetrics) DeadLettered(reason wire.Status) { t.letters[reason].Inc() }
