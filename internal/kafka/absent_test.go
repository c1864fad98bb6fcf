package kafka

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/internal/testservices"
)

func TestCheckTopic(t *testing.T) {
	for _, brokers := range []int{1, 3} {
		_, cfg := broker(t, kfake.NumBrokers(brokers), kfake.SeedTopics(1, "t"))
		p := producer(t, cfg)
		if err := p.CheckTopic("t"); err != nil {
			t.Errorf("with %d brokers: CheckTopic = %v of a topic that is there", brokers, err)
		}
		took := testservices.Least(func() {
			if err := p.CheckTopic("nowhere"); !errors.Is(err, ErrNoTopic) {
				t.Errorf("with %d brokers: CheckTopic = %v", brokers, err)
			}
		})
		if took > time.Second { // sarama alone takes 2.2 s
			t.Errorf("with %d brokers: it takes %s", brokers, took)
		}
	}
}

// A topic just created is not known to each broker yet: one of them is no proof.
func TestCheckTopicAsksASecondBroker(t *testing.T) {
	c, cfg := broker(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	asked := 0
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		q := req.(*kmsg.MetadataRequest)
		if len(q.Topics) != 1 || q.Topics[0].Topic == nil || *q.Topics[0].Topic != "t" {
			c.KeepControl()
			return nil, nil, false
		}
		asked++
		resp := q.ResponseKind().(*kmsg.MetadataResponse)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = q.Topics[0].Topic, kerr.UnknownTopicOrPartition.Code
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true // once
	})
	if err := p.CheckTopic("t"); err != nil || asked != 1 {
		t.Errorf("CheckTopic = %v, with %d refusals", err, asked)
	}
}

func TestCheckTopicWithoutAnAnswer(t *testing.T) {
	c, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p, err := NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return nil, errors.New("no"), true
	})
	if err := p.CheckTopic("nowhere"); err == nil || errors.Is(err, ErrNoTopic) {
		t.Errorf("CheckTopic = %v, want that there was no answer", err)
	}
	c.DropControl()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.CheckTopic("t"); !errors.Is(err, ErrProducerClosed) {
		t.Errorf("after Close, CheckTopic = %v", err)
	}
}
