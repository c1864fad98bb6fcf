package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	c := Config{
		Kafka:  Kafka{Brokers: []string{"b1"}, SASL: &SASL{Mechanism: "GSSAPI", Username: "u"}},
		Topics: []Topic{{Name: "a", Timeout: -1}, {Plugin: "x/y"}, {Name: "a"}},
		Host:   Host{DrainTimeout: time.Hour},
		Log:    Log{Level: "loud"},
	}
	want := []string{
		`kafka.brokers[1]: "b1" is not host:port; write it as in "broker1:9092", or "embedded" alone`,
		`kafka.sasl.mechanism: "GSSAPI" is not one of its values; write "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"`,
		`kafka.sasl.password: is missing; write "env:NAME" or "file:PATH"`,
		`topic[1].timeout: "-1ns" is too small; write a duration from "1ms"`,
		`topic[2].name: is missing; write the topic's name, as in name = "calculate"`,
		`topic[2].plugin: "x/y" is a path; write the name of a file or folder in the plugin directory`,
		`log.level: "loud" is not one of its values; write "trace", "debug", "info", "warn" or "error"`,
		`topic[3].name: "a" is the name of topic[1] too; write each topic once`,
		`host.drain_timeout: "1h" is not below rebalance_timeout ("1m"); write a shorter one, or a longer rebalance_timeout`,
	}
	err := c.Validate()
	if err == nil || !reflect.DeepEqual(strings.Split(err.Error(), "\n"), want) {
		t.Errorf("Validate =\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
	var f Fault
	if !errors.As(err, &f) || f.Key != "kafka.brokers[1]" || f.Line != 0 {
		t.Errorf("errors.As gives %+v", f)
	}
}

// A host that has more topics than it can announce would be taken for one that
// serves none.
func TestValidateTopicsBeyondOneAnnouncement(t *testing.T) {
	var c Config
	for i := range MaxTopics {
		c.Topics = append(c.Topics, Topic{Name: fmt.Sprint("t", i)})
	}
	if err := c.Validate(); err != nil {
		t.Errorf("%d topics: %v", MaxTopics, err)
	}
	c.Topics = append(c.Topics, Topic{Name: "more"})
	const want = `topic[2001]: is one more than the 2000 that a host can announce; serve it at another host, or set topic = "off" in [discovery] at hosts and requesters`
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("Validate = %v, want %s", err, want)
	}
	c.Discovery.Topic = "off"
	if err := c.Validate(); err != nil {
		t.Errorf("without discovery: %v", err)
	}
}

// A key that is written out is a mistake in a file alone.
func TestValidateLiteralKey(t *testing.T) {
	c := Config{Encryption: Encryption{Key: Secret(strings.Repeat("ab", 32))}}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestWithDefaults(t *testing.T) {
	yes := true
	want := Config{
		Kafka:   Kafka{Brokers: []string{"embedded"}, Group: "workers", ClientID: "rrhost", CreateTopics: &yes, Rebalance: "cooperative"},
		Topics:  []Topic{{Name: "a", Plugin: "a", Partitions: 4, Concurrency: 64, Timeout: 30 * time.Second, MaxAttempts: 2, Ordering: "none"}},
		Replies: Replies{Topic: "r", Partitions: 16, Allow: []string{"r"}},
		Audit: Audit{Store: "embedded", TTL: 720 * time.Hour, ErrorText: "sealed", Cassandra: Cassandra{
			LocalDatacenter: "datacenter1", Keyspace: "messaging", Migrate: &yes, Consistency: "LOCAL_QUORUM", Shards: 16, Bucket: 10 * time.Minute,
		}},
		Plugins:   Plugins{Dir: "plugins", Store: "data/plugins", Trust: "strict", Verify: "off", StartTimeout: 10 * time.Second},
		Embedded:  EmbeddedBroker{Dir: "data", Listen: "127.0.0.1:19092", Retention: 168 * time.Hour, RetentionBytes: 1 << 30},
		Discovery: Discovery{Topic: "rr.control"},
		Host:      Host{DrainTimeout: 20 * time.Second, RebalanceTimeout: time.Minute, MaxInflightBytes: 64 << 20, MaxPayload: 1_000_000},
		Admin:     Admin{Listen: "127.0.0.1:9464"},
		Log:       Log{Level: "info", Format: "text"},
	}
	written := Config{Topics: []Topic{{Name: "a"}}, Replies: Replies{Topic: "r"}}
	got := written.WithDefaults()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if again := got.WithDefaults(); !reflect.DeepEqual(again, got) {
		t.Errorf("twice: %+v\nonce:  %+v", again, got)
	}
	if written.Topics[0].Plugin != "" || written.Kafka.Brokers != nil {
		t.Errorf("WithDefaults changed the Config that it was called on: %+v", written)
	}
	real := Config{Kafka: Kafka{Brokers: []string{"b:9092"}}}.WithDefaults()
	if real.Audit.Store != "none" || real.IsEmbedded() {
		t.Errorf("with real brokers the store is %q", real.Audit.Store)
	}
}

func TestWarnings(t *testing.T) {
	c := Config{
		Kafka: Kafka{Brokers: []string{"b:9092"}, ReplicationFactor: 1, SASL: &SASL{Mechanism: "PLAIN", Username: "u", Password: "p"}},
		Audit: Audit{Store: "cassandra", Cassandra: Cassandra{Hosts: []string{"c:9042"}, Username: "u", Password: "p"}},
		Admin: Admin{Listen: ":9464"},
	}
	var got []string
	for _, w := range c.Warnings() {
		got = append(got, w.Key)
	}
	want := []string{"kafka.sasl", "kafka.replication_factor", "audit.cassandra.username", "admin.listen"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("warnings about %v, want %v", got, want)
	}
	c.Kafka.SASL.Mechanism = "SCRAM-SHA-512"
	if w := c.Warnings()[0]; w.Key != "kafka.sasl" || w.Want != "add [kafka.tls]" {
		t.Errorf("SCRAM without TLS: %v", w)
	}
	if w := (Config{}).Warnings(); w != nil {
		t.Errorf("the defaults have warnings: %v", w)
	}
}
