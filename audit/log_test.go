package audit

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/config"
	"rrhost/internal/kafka"
)

// The ingester says what is wrong in the words of the rest of the program.
func TestLogIsNotReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, kafka.PasswordFile), []byte("password"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[error]config.Config{
		kafka.ErrNoHost:      {Dir: dir, Embedded: config.EmbeddedBroker{Dir: ".", Listen: nobody}},
		kafka.ErrUnreachable: {Kafka: config.Kafka{Brokers: []string{nobody}}},
	} {
		if _, err := openLog(cfg.WithDefaults()); !errors.Is(err, want) || !strings.Contains(err.Error(), nobody) {
			t.Errorf("openLog = %v, want %v at %s", err, want, nobody)
		}
	}
}

// Where the login may not see the topic that is asked for first, the brokers have
// answered all the same.
func TestLogWithoutRightToReplies(t *testing.T) {
	b := newBench(t)
	host, port, err := net.SplitHostPort(b.cluster.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	b.cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		q := req.(*kmsg.MetadataRequest)
		if len(q.Topics) != 1 || q.Topics[0].Topic == nil || *q.Topics[0].Topic != b.cfg.Replies.Topic {
			return nil, nil, false
		}
		resp := q.ResponseKind().(*kmsg.MetadataResponse)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = q.Topics[0].Topic, kerr.TopicAuthorizationFailed.Code
		resp.Topics = append(resp.Topics, topic)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = host, int32(n)
		resp.Brokers = append(resp.Brokers, broker)
		resp.ControllerID = broker.NodeID
		return resp, nil, true
	})
	log, err := openLog(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	log.close()
}
