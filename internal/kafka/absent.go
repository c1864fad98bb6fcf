package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// ErrNoTopic is wrapped by the error of a message to a topic that does not exist.
var ErrNoTopic = errors.New("the topic does not exist")

// noTopic is the error of a message to a topic that the brokers don't have.
func noTopic(topic string) error {
	return fmt.Errorf("%w: %s (hint: check the name; `rrhost run` creates those of its config.toml when it starts)", ErrNoTopic, topic)
}

// confirmAfter is when a second broker is asked for a topic that the first does
// not have: news of a topic just created are among all brokers by then.
const confirmAfter = 100 * time.Millisecond

// CheckTopic asks the brokers for a topic and returns an error that wraps
// [ErrNoTopic] if they don't have it. sarama tells so too, after having asked for
// seconds whether it has come up. Another error means that none answered.
func (p *Producer) CheckTopic(topic string) error {
	p.mu.RLock()
	if p.closed {
		p.mu.RUnlock()
		return ErrProducerClosed
	}
	p.open.Add(1) // Close waits
	p.mu.RUnlock()
	defer p.open.Done()

	brokers := p.few.client.Brokers()
	if len(brokers) == 0 {
		return ErrUnreachable
	}
	absent, err := lacks(p.few.client, brokers[0], topic)
	if err == nil && absent && len(brokers) > 1 {
		time.Sleep(confirmAfter)
		absent, err = lacks(p.few.client, brokers[1], topic)
	}
	if err == nil && absent {
		err = noTopic(topic)
	}
	return err
}

// lacks asks one broker.
func lacks(client sarama.Client, b *sarama.Broker, topic string) (bool, error) {
	_ = b.Open(client.Config()) // it may be open; else the question tells
	answer, err := b.GetMetadata(sarama.NewMetadataRequest(version, []string{topic}))
	if err != nil {
		return false, fmt.Errorf("ask for topic %s: %w", topic, err)
	}
	for _, t := range answer.Topics {
		if t.Name == topic {
			return t.Err == sarama.ErrUnknownTopicOrPartition, nil
		}
	}
	return false, nil
}
