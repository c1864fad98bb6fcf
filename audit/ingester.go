package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/go-hclog"

	"rrhost/audit/internal/trail"
	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/kafka"
)

// An ingester's store.
type writer interface {
	// Write stores rows and positions. Nil means that they are stored; on an
	// error any part may be.
	Write(ctx context.Context, rows []trail.Row, positions []trail.Position) error
	Positions(ctx context.Context) ([]trail.Position, error)
	Close() error
}

const (
	// storeTimeout bounds one call of the store. It is below the time in which
	// a rebalance must be answered.
	storeTimeout = 30 * time.Second
	// longestPause between two tries while the store or Kafka is away.
	longestPause = 10 * time.Second
	// remindEvery is how often a lasting failure is logged again.
	remindEvery = time.Minute
)

// An Ingester copies the log into the store: request, reply and dead-letter
// records, each exactly as often as it is in the log. It is beside the work and
// not in its way: while the store is away it lags, and catches up after.
//
// Where reading goes on is the store's to say, not the consumer group's, whose
// commits are for lag displays: so nothing counts as read that isn't stored.
type Ingester struct {
	cfg    config.Config
	logger hclog.Logger
	decode *decoder
	open   func(context.Context) (writer, error)
	now    func() time.Time
	owed   map[claim]int64 // up to where the store has refused rows; the writing goroutine's alone

	mu        sync.Mutex
	current   *generation // nil: not reading
	counts    counts
	failure   error
	since     time.Time // of failure; zero: all is well
	reminded  time.Time
	retention time.Duration
	missing   []string
}

type counts struct{ rows, gaps, malformed, foreign uint64 }

// NewIngester checks the settings and connects to nothing yet. With store
// "none" it returns [ErrNoStore].
func NewIngester(cfg config.Config, logger hclog.Logger) (*Ingester, error) {
	cfg = cfg.WithDefaults()
	if cfg.Audit.Store == storeNone {
		return nil, ErrNoStore
	}
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	var ring *envelope.Ring
	if cfg.Audit.ErrorText == "plain" {
		var err error
		if ring, err = cfg.Ring(); err != nil {
			return nil, fmt.Errorf("audit: error_text is \"plain\": %w", err)
		}
	}
	return &Ingester{
		cfg: cfg, logger: logger, decode: newDecoder(cfg, ring), now: time.Now, owed: map[claim]int64{}, retention: defaultRetention,
		open: func(ctx context.Context) (writer, error) { return openWriter(ctx, cfg, logger) },
	}, nil
}

// Run ingests until ctx is done and then stores what it has read before it
// returns nil. Failures of the store or of Kafka end no run: they are logged,
// counted, and retried. It owns all it starts and leaves nothing behind.
func (in *Ingester) Run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 500*time.Millisecond, longestPause
	for ctx.Err() == nil {
		err := in.session(ctx, pause.Reset)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errTopicsChanged) {
			continue
		}
		in.fail(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
	return nil
}

// session opens store and Kafka and reads until something fails.
func (in *Ingester) session(ctx context.Context, progress func()) error {
	store, err := in.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	log, err := openLog(in.cfg)
	if err != nil {
		return err
	}
	defer log.close()
	topics, missing, err := log.present(in.decode.topics())
	if err != nil {
		return err
	}
	retention := log.retention(ctx, in.cfg, topics)
	in.mu.Lock()
	in.missing = missing
	if len(topics) > 0 {
		in.retention = retention
	}
	in.mu.Unlock()
	if len(topics) == 0 {
		return fmt.Errorf("none of the topics exists: %s", strings.Join(missing, ", "))
	}
	members, client, err := kafka.NewGroup(in.cfg, group(in.cfg), settings)
	if err != nil {
		return err
	}
	defer client.Close()
	defer members.Close()
	drained := make(chan struct{})
	go func() { // ends when the group is closed
		defer close(drained)
		for err := range members.Errors() {
			in.logger.Debug("audit consumer", "error", err)
		}
	}()
	defer func() { members.Close(); <-drained }()
	for ctx.Err() == nil {
		g := newGeneration(in, store, log, missing, progress)
		err := members.Consume(ctx, topics, g)
		in.mu.Lock()
		in.current = nil
		in.mu.Unlock()
		if cause := g.cause(); cause != nil {
			return cause
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("read Kafka: %w", err)
		}
	}
	return nil
}

// settings of the group. It rebalances eagerly: each member then sets its
// claims to the store's positions in Setup, the one place where that works.
func settings(c *sarama.Config) {
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	c.Consumer.Offsets.AutoCommit.Interval = 5 * time.Second
	// The host's own member is static under this name, in another group.
	c.Consumer.Group.InstanceId = ""
}

// fail notes a failure and logs it, once and then every minute.
func (in *Ingester) fail(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.now()
	in.failure = err
	if in.since.IsZero() {
		in.since, in.reminded = now, time.Time{}
	}
	if now.Sub(in.reminded) < remindEvery {
		return
	}
	in.reminded = now
	down := now.Sub(in.since)
	if down > in.retention/4 {
		in.logger.Error("audit: nothing is stored; Kafka will soon drop records that the trail doesn't have",
			"error", err, "since", in.since, "retention", in.retention.String(), "left", (in.retention - down).Round(time.Second).String())
		return
	}
	in.logger.Warn("audit: not storing, will try again; requests are not affected", "error", err, "since", in.since)
}

// stored notes a success of g, after a failure or not.
func (in *Ingester) stored(g *generation, rows []trail.Row, well bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range rows {
		switch {
		case rows[i].Type == trail.Gap:
			in.counts.gaps++
			continue
		case rows[i].Status == "malformed" && rows[i].Type != trail.DeadLetter:
			in.counts.malformed++
		}
		in.counts.rows++
	}
	in.current = g
	if well && !in.since.IsZero() {
		in.logger.Info("audit: storing again", "after", in.now().Sub(in.since).Round(time.Millisecond).String())
		in.failure, in.since = nil, time.Time{}
	}
}

func (in *Ingester) foreign() {
	in.mu.Lock()
	in.counts.foreign++
	in.mu.Unlock()
}
