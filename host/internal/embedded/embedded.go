// Package embedded is the broker inside the host process: kfake, which speaks
// Kafka's protocol and keeps its log in a data folder, made fit for more than
// tests. What it acknowledged survives the death of the process, as with
// Kafka; like there, a power cut may cost the last moments.
//
// What kfake alone gets wrong for that purpose, and this package mends:
//
//   - its retention can empty a partition, whose offsets then begin at 0 again
//     after a restart, so that a group skips requests: trimming is our own, and
//     never takes the newest batch (see [trimmer]);
//   - two processes open one folder without an error: it is locked;
//   - any stranger's bytes crash it: connections are guarded (see
//     [guardedConn]);
//   - after a kill it judges producers by sequence numbers that it saved before
//     they moved on, and refuses them for good: these are dropped.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/twmb/franz-go/pkg/kfake"

	"rrhost/config"
	"rrhost/internal/kafka"
)

// A Broker serves until it is closed.
type Broker struct {
	cluster  *kfake.Cluster
	listener *listener
	trimmer  *trimmer
	lock     *os.File

	stop  context.CancelFunc
	done  chan struct{} // closed when the trimmer has ended
	close func() error  // what Close does, once
}

// Start opens the data folder of cfg and serves on its address, loopback
// unless cfg says otherwise. Port 0 takes a free one, see [Broker.Addr].
//
// It fails with [ErrInUse] when another process has the folder.
func Start(cfg config.Config, logger hclog.Logger) (*Broker, error) {
	cfg = cfg.WithDefaults()
	dir, err := filepath.Abs(cfg.Path(cfg.Embedded.Dir))
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	b := &Broker{done: make(chan struct{})}
	b.close = sync.OnceValue(b.shut)
	if b.lock, err = openFolder(dir); err != nil {
		return nil, err
	}
	if err := b.serve(cfg, dir, logger); err != nil {
		return nil, errors.Join(err, b.lock.Close())
	}

	// What a kill brought back is trimmed again before a host reads it.
	b.trimmer.pass(time.Now())
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() {
		defer close(b.done)
		b.trimmer.run(ctx)
	}()

	logger.Info("the embedded broker is for one machine; for many, set [kafka] brokers to a Kafka cluster",
		"listen", b.Addr(), "data", dir)
	if host, _, err := net.SplitHostPort(cfg.Embedded.Listen); err == nil && !loopback(host) {
		logger.Warn("the embedded broker can be reached from other machines, and has no TLS", "listen", cfg.Embedded.Listen)
	}
	return b, nil
}

// serve starts kfake on the locked folder.
func (b *Broker) serve(cfg config.Config, dir string, logger hclog.Logger) error {
	password, err := openPassword(filepath.Join(dir, kafka.PasswordFile))
	if err != nil {
		return err
	}
	log := filepath.Join(dir, logFolder)
	// Kept from the last run, it would win over the password file.
	if err := remove(filepath.Join(log, "sasl.json")); err != nil {
		return err
	}
	if b.listener, err = listen(cfg.Embedded.Listen); err != nil {
		return err
	}
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return b.listener, nil }),
		kfake.DataDir(log),
		kfake.ClusterID("rrhost-embedded"),
		kfake.DefaultNumPartitions(config.DefaultPartitions),
		kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", kafka.EmbeddedUser, password),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes": strconv.FormatInt(segmentBytes(cfg.Embedded.RetentionBytes), 10),
			// kfake's own retention and compaction: in ten years.
			"log.cleaner.backoff.ms": strconv.FormatInt((10 * 365 * 24 * time.Hour).Milliseconds(), 10),
			// A group that was away for longer than the log is kept goes on
			// where it was, instead of at the oldest request.
			"offsets.retention.minutes": "2147483647",
		}),
		kfake.WithLogger(kfakeLogger{logger}),
	)
	if err != nil {
		return errors.Join(fmt.Errorf("open the log in %s: %w", log, err), b.listener.Close())
	}
	keepNewest(b.cluster)
	b.trimmer = &trimmer{
		cluster:   b.cluster,
		dir:       filepath.Join(log, "partitions"),
		retention: cfg.Embedded.Retention,
		bytes:     cfg.Embedded.RetentionBytes,
		control:   cfg.Discovery.Topic,
		every:     trimEvery,
		logger:    logger,
	}
	// The numbers are in memory now. Should this process be killed, what is on
	// disk would be older than the producers that live on.
	if err := remove(filepath.Join(log, "seq_windows.json")); err != nil {
		b.cluster.Close()
		return err
	}
	return nil
}

// Addr returns the address, host:port, that the broker listens on and tells
// its clients.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// Close ends every connection, writes down what a quick start needs, and
// leaves the folder. It may be called twice.
func (b *Broker) Close() error { return b.close() }

func (b *Broker) shut() error {
	b.stop()
	<-b.done // before the cluster: it would wait for its answers for ever
	b.cluster.Close()
	b.listener.wait()
	if err := b.lock.Close(); err != nil {
		return fmt.Errorf("unlock the data folder: %w", err)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// remove is os.Remove for a file that may be missing.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// kfakeLogger brings kfake's lines into the host's log. Its info is about
// single requests, which is debugging here.
type kfakeLogger struct{ hclog.Logger }

func (l kfakeLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	levels := map[kfake.LogLevel]hclog.Level{
		kfake.LogLevelError: hclog.Error,
		kfake.LogLevelWarn:  hclog.Warn,
		kfake.LogLevelInfo:  hclog.Debug,
		kfake.LogLevelDebug: hclog.Trace,
	}
	if to, ok := levels[level]; ok && to >= l.GetLevel() {
		l.Log(to, fmt.Sprintf(format, args...))
	}
}
