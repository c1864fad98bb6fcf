package kafka

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"rrhost/config"
)

// ErrNoHost means that nothing answers at the embedded broker's address. Its
// text says so and what to do.
var ErrNoHost = errors.New("no host is running with the embedded broker")

// ErrUnreachable means that none of the brokers answered.
var ErrUnreachable = errors.New("no Kafka broker answered")

// ErrLogin means that a broker does not know this user, or another password.
var ErrLogin = errors.New("refused the login")

func noHost(cfg config.Config) error {
	return fmt.Errorf("%w at %s (hint: start one with `rrhost run`)", ErrNoHost, embeddedAddress(cfg))
}

// dial makes a client and asks a broker for metadata once, so that an absent
// cluster or a refused login is told here, in words, and not by what is built
// on the client.
func dial(cfg config.Config, c *sarama.Config, brokers []string) (sarama.Client, error) {
	cfg = cfg.WithDefaults()
	if cfg.IsEmbedded() {
		// sarama would retry; one attempt tells all there is to know.
		conn, err := net.DialTimeout("tcp", brokers[0], 500*time.Millisecond)
		if err != nil {
			return nil, noHost(cfg)
		}
		_ = conn.Close()
	}
	// The waits between retries are for leader elections. Here nobody is being
	// elected, and that the topic asked for may be missing does not matter.
	var connected atomic.Bool
	patient := c.Metadata.Retry.BackoffFunc
	c.Metadata.Retry.BackoffFunc = func(retries, most int) time.Duration {
		if !connected.Load() {
			return 0
		}
		return patient(retries, most)
	}
	client, err := sarama.NewClient(brokers, c)
	if err != nil {
		return nil, explain(brokers, err)
	}
	err = client.RefreshMetadata(cfg.Replies.Topic)
	connected.Store(true)
	if err != nil && !errors.Is(err, sarama.ErrUnknownTopicOrPartition) && !errors.Is(err, sarama.ErrLeaderNotAvailable) &&
		!errors.Is(err, sarama.ErrTopicAuthorizationFailed) {
		_ = client.Close()
		return nil, explain(brokers, err)
	}
	return lenient{client}, nil
}

// A lenient client's metadata may have partitions without leader: with sarama's
// error for them a group would not join, and serve nothing of what has one.
type lenient struct{ sarama.Client }

// RefreshMetadata fails for more than that partitions have no leader. What is
// known of the others is stored in any case.
func (l lenient) RefreshMetadata(topics ...string) error {
	if err := l.Client.RefreshMetadata(topics...); !isLeaderless(err) {
		return err
	}
	return nil
}

// explain puts what sarama says into words that name the brokers.
func explain(brokers []string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		return fmt.Errorf("kafka at %s %w: %w (hint: check username, password and mechanism in [kafka.sasl])", strings.Join(brokers, ", "), ErrLogin, err)
	case errors.Is(err, sarama.ErrOutOfBrokers):
		return fmt.Errorf("%w at %s: %w (hint: check kafka.brokers, and kafka.tls and kafka.sasl)",
			ErrUnreachable, strings.Join(brokers, ", "), err)
	}
	return fmt.Errorf("kafka at %s: %w", strings.Join(brokers, ", "), err)
}
