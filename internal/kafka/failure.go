package kafka

import (
	"errors"
	"slices"

	"github.com/IBM/sarama"
	"github.com/eapache/go-resiliency/breaker"
)

// failure says what can be done about a message that sarama gave up.
type failure int

const (
	final     failure = iota // trying again gives the same answer
	temporary                // a broker is away, or a leader is being elected
	tooLarge                 // the broker refused the batch: its members may fit alone
	misfit                   // sarama refused the message, in all likelihood for its size
	missingTopic
)

// classify sorts the errors of sarama's asynchronous producer. An answer of a
// broker is final unless it is known to pass; a failure to get one passes.
func classify(err error) failure {
	var answer sarama.KError
	if errors.As(err, &answer) {
		switch answer {
		case sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge:
			return tooLarge
		case sarama.ErrUnknownTopicOrPartition:
			return missingTopic
		case sarama.ErrLeaderNotAvailable, sarama.ErrNotLeaderForPartition, sarama.ErrRequestTimedOut,
			sarama.ErrBrokerNotAvailable, sarama.ErrReplicaNotAvailable, sarama.ErrNetworkException,
			sarama.ErrNotEnoughReplicas, sarama.ErrNotEnoughReplicasAfterAppend, sarama.ErrKafkaStorageError,
			sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID, sarama.ErrInvalidProducerEpoch,
			sarama.ErrFencedLeaderEpoch, sarama.ErrUnknownLeaderEpoch, sarama.ErrOffsetNotAvailable,
			sarama.ErrThrottlingQuotaExceeded:
			return temporary
		}
		return final
	}
	var settings sarama.ConfigurationError
	var encoding sarama.PacketEncodingError
	switch {
	case errors.As(err, &settings):
		return misfit
	case errors.As(err, &encoding), errors.Is(err, sarama.ErrClosedClient), errors.Is(err, sarama.ErrShuttingDown),
		errors.Is(err, sarama.ErrInvalidPartition), errors.Is(err, ErrNoHost):
		return final
	}
	return temporary
}

// isBreaker reports whether sarama did not even try, because it failed before.
func isBreaker(err error) bool { return errors.Is(err, breaker.ErrBreakerOpen) }

// isLeaderless reports whether err is of refreshed metadata, and says no more than
// that partitions have no leader. Then all that is known of their topics is stored.
func isLeaderless(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(all.Unwrap(), func(err error) bool { return !isLeaderless(err) })
	}
	return errors.Is(err, sarama.ErrLeaderNotAvailable)
}
