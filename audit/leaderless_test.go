package audit

import (
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// leaderless hides the leader of one partition until it is told to show it.
func (b *bench) leaderless(name string, partition int32) (show func()) {
	b.Helper()
	host, port, err := net.SplitHostPort(b.cluster.ListenAddrs()[0])
	if err != nil {
		b.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		b.Fatal(err)
	}
	partitions := map[string]int32{"echo": 4, "rr.replies": 4, "echo.dlq": 1}
	var shown atomic.Bool
	b.cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		q := req.(*kmsg.MetadataRequest)
		if shown.Load() || len(q.Topics) == 0 {
			return nil, nil, false
		}
		resp := q.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = host, int32(number)
		resp.Brokers, resp.ControllerID = append(resp.Brokers, broker), broker.NodeID
		for _, asked := range q.Topics {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic = asked.Topic
			if partitions[*asked.Topic] == 0 {
				topic.ErrorCode = kerr.UnknownTopicOrPartition.Code
			}
			for p := range partitions[*asked.Topic] {
				one := kmsg.NewMetadataResponseTopicPartition()
				one.Partition, one.Replicas, one.ISR = p, []int32{0}, []int32{0}
				if *asked.Topic == name && p == partition {
					one.Leader, one.ErrorCode, one.ISR = -1, kerr.LeaderNotAvailable.Code, nil
				}
				topic.Partitions = append(topic.Partitions, one)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	return func() { shown.Store(true) }
}

// A partition without leader keeps nothing of the others from the trail, and is
// read once it has one.
func TestPartitionWithoutLeader(t *testing.T) {
	b := newBench(t)
	var read, late []*kgo.Record
	for i := range 8 {
		q, p, _ := b.exchange(i)
		b.produce(q, p)
		if read = append(read, p); q.Partition == 3 {
			late = append(late, q)
		} else {
			read = append(read, q)
		}
	}
	show := b.leaderless("echo", 3)
	b.run()
	b.caughtUp(8)
	b.sameAsLog(b.stored(), read...)
	show()
	b.caughtUp(9)
	b.sameAsLog(b.stored(), append(read, late...)...)
}
