// Command raw is the yardstick of the benchmark: the same echo over bare sarama,
// sealed with AES-256-GCM, with nothing of what rrhost adds. Its settings are
// sarama's defaults but for acks, and the ones below.
//
//	raw worker | requester
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/IBM/sarama"

	"rrhost/bench/internal/load"
)

const (
	headerID    = "request_id"
	headerReply = "reply_to"
)

type settings struct {
	brokers []string
	topic   string
	flags   load.Flags
	aead    cipher.AEAD
}

func (s settings) replyTopic() string { return s.topic + ".reply" }

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: raw worker|requester [flags]")
		os.Exit(2)
	}
	fs := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	var s settings
	s.flags.Register(fs)
	brokers := fs.String("brokers", "127.0.0.1:9092", "bootstrap addresses, separated by commas")
	fs.StringVar(&s.topic, "topic", "raw", "request topic; replies go to TOPIC.reply")
	_ = fs.Parse(os.Args[2:]) // exits by itself
	s.brokers = strings.Split(*brokers, ",")
	err := s.key(os.Getenv("ENCRYPTION_KEY"))
	if err == nil {
		switch os.Args[1] {
		case "worker":
			err = s.worker()
		case "requester":
			err = s.requester()
		default:
			err = fmt.Errorf("unknown command %q", os.Args[1])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "raw:", err)
		os.Exit(1)
	}
}

func (s *settings) key(text string) error {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 32 {
		return errors.New("ENCRYPTION_KEY must be 64 hex characters")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	s.aead, err = cipher.NewGCMWithNonceSize(block, 16)
	return err
}

func (s *settings) encode(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 16, 16+len(plain)+s.aead.Overhead())
	if _, err := rand.Read(out); err != nil {
		return nil, err
	}
	return s.aead.Seal(out, out[:16], plain, nil), nil
}

func (s *settings) decode(b []byte, v any) error {
	if len(b) < 16 {
		return errors.New("short payload")
	}
	plain, err := s.aead.Open(nil, b[:16], b[16:], nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

func kafkaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = "raw-sarama"
	c.Version = sarama.V3_6_0_0
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = false
	c.Producer.Return.Errors = true
	c.Producer.Compression = sarama.CompressionNone
	c.Producer.Flush.Frequency = 0
	c.Net.MaxOpenRequests = 5
	c.Producer.Partitioner = sarama.NewRandomPartitioner
	c.Consumer.Fetch.Min = 1
	c.Consumer.Return.Errors = true
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.ChannelBufferSize = 1024
	return c
}

func (s *settings) producer() (sarama.AsyncProducer, error) {
	p, err := sarama.NewAsyncProducer(s.brokers, kafkaConfig())
	if err != nil {
		return nil, err
	}
	go func() {
		for e := range p.Errors() {
			fmt.Fprintln(os.Stderr, "produce:", e)
		}
	}()
	return p, nil
}

type echo struct {
	*settings
	producer sarama.AsyncProducer
}

func (echo) Setup(sarama.ConsumerGroupSession) error   { fmt.Println("ready"); return nil }
func (echo) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (e echo) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		var id, replyTo []byte
		for _, h := range m.Headers {
			switch string(h.Key) {
			case headerID:
				id = h.Value
			case headerReply:
				replyTo = h.Value
			}
		}
		var q load.Request
		if err := e.decode(m.Value, &q); err != nil {
			return err
		}
		body, err := e.encode(load.Handle(q))
		if err != nil {
			return err
		}
		e.producer.Input() <- &sarama.ProducerMessage{
			Topic: string(replyTo), Value: sarama.ByteEncoder(body),
			Headers: []sarama.RecordHeader{{Key: []byte(headerID), Value: id}},
		}
		session.MarkMessage(m, "")
	}
	return nil
}

func (s *settings) worker() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	p, err := s.producer()
	if err != nil {
		return err
	}
	defer p.Close()
	group, err := sarama.NewConsumerGroup(s.brokers, s.topic+".workers", kafkaConfig())
	if err != nil {
		return err
	}
	defer group.Close()
	go func() {
		for e := range group.Errors() {
			fmt.Fprintln(os.Stderr, "consume:", e)
		}
	}()
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{s.topic}, echo{s, p}); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func (s *settings) requester() error {
	consumer, err := sarama.NewConsumer(s.brokers, kafkaConfig())
	if err != nil {
		return err
	}
	partitions, err := consumer.Partitions(s.replyTopic())
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards pending
	pending := map[string]chan []byte{}
	for _, partition := range partitions {
		replies, err := consumer.ConsumePartition(s.replyTopic(), partition, sarama.OffsetNewest)
		if err != nil {
			return err
		}
		go func() {
			for e := range replies.Errors() {
				fmt.Fprintln(os.Stderr, "consume:", e)
			}
		}()
		go func() {
			for m := range replies.Messages() {
				for _, h := range m.Headers {
					if string(h.Key) != headerID {
						continue
					}
					mu.Lock()
					waiting := pending[string(h.Value)]
					delete(pending, string(h.Value))
					mu.Unlock()
					if waiting != nil {
						waiting <- m.Value
					}
				}
			}
		}()
	}
	p, err := s.producer()
	if err != nil {
		return err
	}
	return s.flags.Run(func(ctx context.Context, q load.Request) (load.Response, error) {
		var raw [16]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return load.Response{}, err
		}
		id := hex.EncodeToString(raw[:])
		body, err := s.encode(q)
		if err != nil {
			return load.Response{}, err
		}
		reply := make(chan []byte, 1)
		mu.Lock()
		pending[id] = reply
		mu.Unlock()
		p.Input() <- &sarama.ProducerMessage{
			Topic: s.topic, Value: sarama.ByteEncoder(body),
			Headers: []sarama.RecordHeader{{Key: []byte(headerID), Value: []byte(id)}, {Key: []byte(headerReply), Value: []byte(s.replyTopic())}},
		}
		select {
		case value := <-reply:
			var r load.Response
			err := s.decode(value, &r)
			return r, err
		case <-ctx.Done():
			mu.Lock()
			delete(pending, id)
			mu.Unlock()
			return load.Response{}, ctx.Err()
		}
	})
}
