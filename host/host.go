// Package host is the worker server: it owns the consumer group, the keys and the
// plugins, and answers requests. Command rrhost is this package with flags; a
// program of its own can use it with handlers in the same process ([WithHandler]).
//
// It promises that every request ends in an outcome record, acknowledged by
// Kafka, before its offset is committed: at least once, through the death of the
// host, a plugin or a broker.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"

	"rrhost/audit"
	"rrhost/config"
	"rrhost/host/internal/admin"
	"rrhost/host/internal/embedded"
	"rrhost/host/internal/intake"
	"rrhost/host/internal/reply"
	"rrhost/internal/control"
	"rrhost/internal/discovery"
	"rrhost/internal/guard"
	"rrhost/internal/kafka"
	"rrhost/internal/plugindir"
	"rrhost/plugin"
)

// An Option changes what [New] makes.
type Option func(*Host)

// WithHandler serves topics by handlers in this process rather than by a plugin:
// those whose handler, or else whose name, is the name of one of these. Where the
// configuration has no topics at all, each handler gets one of its name.
func WithHandler(handlers ...plugin.Handler) Option {
	return func(h *Host) { h.handlers = append(h.handlers, handlers...) }
}

// WithLogger sends the log to l. The default is what the [log] section says, on
// standard error.
func WithLogger(l hclog.Logger) Option {
	return func(h *Host) { h.logger = l }
}

// A Host answers the requests of its topics. Make it with [New].
type Host struct {
	cfg      config.Config
	handlers []plugin.Handler
	logger   hclog.Logger
	servers  []*server
	store    *plugindir.Store // set by Run; nil: no plugins

	publisher *discovery.Publisher // nil: nothing is announced

	development Development

	ready chan struct{}

	mu     sync.Mutex // guards all below
	joined bool
	isUp   bool // ready is closed
}

// New checks cfg, whose zero values mean the defaults. It opens nothing.
func New(cfg config.Config, opts ...Option) (*Host, error) {
	h := &Host{ready: make(chan struct{})}
	for _, opt := range opts {
		opt(h)
	}
	if len(cfg.Topics) == 0 {
		for _, handler := range h.handlers {
			cfg.Topics = append(cfg.Topics, config.Topic{Name: handler.Name()})
		}
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	h.cfg = cfg.WithDefaults()
	if len(h.cfg.Topics) == 0 {
		return nil, errors.New("there is no [[topic]] to serve")
	}
	if h.logger == nil {
		h.logger = NewLogger(h.cfg.Log)
	}
	if h.cfg.Discovery.On() {
		h.publisher = discovery.NewPublisher()
	}
	var err error
	h.servers, err = assign(h.cfg, h.handlers)
	return h, err
}

// Ready is closed once the host is a member of its group and each plugin is up or
// known not to come up by itself.
func (h *Host) Ready() <-chan struct{} { return h.ready }

func (h *Host) checkReady() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isUp || !h.joined {
		return
	}
	for _, s := range h.servers {
		s.mu.Lock()
		settled := s.settled
		s.mu.Unlock()
		if !settled {
			return
		}
	}
	h.isUp = true
	close(h.ready)
}

// Run serves until ctx is done; then it stops reading, lets what runs finish for
// at most the drain timeout, commits, leaves the group and stops the plugins. It
// returns nil after such an end, and an error where it could not start. It leaves
// no goroutine and no process behind. It can be called once.
//
// On Linux the process cannot be looked into from then on by others of its user,
// debuggers included, and writes no core dump: it has keys. As PID 1 of a
// container it also waits for orphans.
func (h *Host) Run(ctx context.Context) (err error) {
	if err := guard.Undumpable(); err != nil {
		return fmt.Errorf("keep others out of this process: %w", err)
	}
	r := &run{Host: h, self: newIdentity(), metrics: admin.NewMetrics()}
	if r.flow.ring, err = h.cfg.Ring(); err != nil {
		return err
	}
	for _, w := range h.cfg.Warnings() {
		h.logger.Warn("configuration: " + w.Error())
	}
	if h.cfg.IsEmbedded() {
		broker, err := embedded.Start(h.cfg, h.logger.Named("embedded"))
		if err != nil {
			return err
		}
		defer closing(&err, "the embedded broker", broker)
	}
	if h.hasPlugins() {
		if h.store, err = plugindir.OpenStore(h.cfg.Path(h.cfg.Plugins.Store), h.cfg.Plugins.Trust == "strict"); err != nil {
			return err
		}
		if err := h.store.Sweep(); err != nil {
			h.logger.Warn("old copies of plugins stay in the store", "error", err)
		}
	}
	leaderless, err := kafka.EnsureTopics(ctx, h.cfg)
	if err != nil {
		return err
	}
	if len(leaderless) > 0 {
		h.logger.Warn("partitions without leader are not served until the brokers that hold them are back", "partitions", leaderless)
	}
	producer, err := kafka.NewProducer(h.cfg)
	if err != nil {
		return err
	}
	// What is tried again ends by itself once the producer is closed, and the
	// claims are by then.
	defer func() {
		if r.flow.writer != nil {
			r.flow.writer.Wait()
		}
	}()
	defer closing(&err, "the reply producer", producer)
	group, client, err := kafka.NewGroup(h.cfg, h.cfg.Kafka.Group, nil)
	if err != nil {
		return err
	}
	defer closing(&err, "the group's connections", client)
	defer closing(&err, "the consumer group", group)
	if h.cfg.Audit.Store != "none" {
		if r.ingester, err = audit.NewIngester(h.cfg, h.logger.Named("audit")); err != nil {
			return err
		}
	}
	r.addresses, err = newAddresses(h.cfg.Replies.Allow, producer.Partitions, h.logger)
	if err != nil {
		return err
	}
	var listener net.Listener
	if h.cfg.Admin.Listen != "off" {
		if listener, err = net.Listen("tcp", h.cfg.Admin.Listen); err != nil {
			return fmt.Errorf("admin listener: %w (hint: set listen in [admin] to another address, or to \"off\")", err)
		}
	}
	if build := h.development.Build; build != nil {
		if build(ctx); ctx.Err() != nil {
			if listener != nil {
				_ = listener.Close()
			}
			return nil
		}
	}
	r.wire(producer, group, client)
	return r.serve(ctx, producer, listener)
}

func (h *Host) hasPlugins() bool {
	return slices.ContainsFunc(h.servers, func(s *server) bool { return s.handlers == nil })
}

// closing closes c at the end of a function whose error is err.
func closing(err *error, what string, c io.Closer) {
	if e := c.Close(); e != nil && *err == nil {
		*err = fmt.Errorf("close %s: %w", what, e)
	}
}

// A run is one life of a host.
type run struct {
	*Host
	self      identity
	flow      flow
	intake    *intake.Intake
	addresses *addresses
	ingester  *audit.Ingester // nil: no trail
	metrics   *admin.Metrics
}

// wire joins the rooms: see [flow] for what goes through them.
func (r *run) wire(producer *kafka.Producer, group sarama.ConsumerGroup, client sarama.Client) {
	r.flow.logger, r.flow.maxPayload = r.logger, r.cfg.Host.MaxPayload
	r.flow.topics = make(map[string]*topic)
	r.flow.writer = reply.New(reply.Config{
		Producer: producer, Ring: r.flow.ring, Topics: r.cfg.Replies.Allow,
		MaxPayload: r.cfg.Host.MaxPayload, MaxRecord: kafka.MaxRecord(r.cfg), Logger: r.logger.Named("reply"),
	})
	r.flow.addresses, r.flow.answered = r.addresses, r.development.Answered
	r.flow.pong = r.pong
	concurrency := make(map[string]int)
	for _, s := range r.servers {
		for _, t := range s.topics {
			r.flow.topics[t.Name] = &topic{
				Topic: t, server: s, lane: s.lane, metrics: r.metrics.Topic(t.Name), log: rate.NewLimiter(10, 10),
			}
			concurrency[t.Name] = t.Concurrency
		}
	}
	r.intake = intake.New(intake.Config{
		Group: group, Topics: concurrency, MaxBytes: r.cfg.Host.MaxInflightBytes,
		DrainTimeout: r.cfg.Host.DrainTimeout, Start: r.flow.serve, Logger: r.logger.Named("intake"),
		Oldest: func(topic string, partition int32) (int64, error) {
			return client.GetOffset(topic, partition, sarama.OffsetOldest)
		},
		Joined: func() {
			r.mu.Lock()
			r.joined = true
			r.mu.Unlock()
			r.checkReady()
			r.changed()
		},
	})
}

// serve runs until ctx is done. The intake ends first, with what runs; then what
// it needed until then.
func (r *run) serve(ctx context.Context, producer *kafka.Producer, listener net.Listener) error {
	rest, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()

	background.Go(func() { guard.Reap(rest) })
	r.startServers(rest, &background)
	background.Go(func() { r.addresses.run(rest) })
	if r.publisher != nil {
		background.Go(func() { r.announce(rest, producer) })
	}
	if r.ingester != nil {
		background.Go(func() {
			if err := r.ingester.Run(rest); err != nil {
				r.logger.Error("the audit ingester ended", "error", err)
			}
		})
	}
	if r.store != nil {
		background.Go(func() {
			if err := control.Serve(rest, r.store.Dir(), controlled{r.Host}); err != nil {
				r.logger.Error("commands of rrhost plugin do not reach this host", "error", err)
			}
		})
	}
	if listener != nil {
		r.logger.Info("serving health and metrics", "address", listener.Addr().String())
		background.Go(func() {
			if err := admin.Serve(rest, listener, r.metrics, r.sources()); err != nil {
				r.logger.Error("health and metrics ended", "error", err)
			}
		})
	}
	return r.intake.Run(ctx)
}

// sources is what operators can ask.
func (r *run) sources() admin.Sources {
	return admin.Sources{
		Intake:   r.intake.State,
		Refusals: r.flow.writer.Refusals,
		Skew:     r.flow.writer.Clock().Skew,
		Audit: func() (audit.Stats, bool) {
			if r.ingester == nil {
				return audit.Stats{}, false
			}
			return r.ingester.Stats(), true
		},
		Servers: func() []admin.Server {
			list := make([]admin.Server, 0, len(r.servers))
			for _, s := range r.servers {
				list = append(list, s.state())
			}
			return list
		},
	}
}

func (s *server) state() admin.Server {
	a := admin.Server{Name: s.name, Lane: s.lane.State()}
	for _, t := range s.topics {
		a.Topics = append(a.Topics, t.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plugin != nil {
		state := s.plugin.State()
		a.Plugin = &state
	}
	return a
}
