package config

import (
	"cmp"
	"math"
	"time"
)

// This file is the schema: every key of config.toml with its type, its default
// and what it may be. Reading, defaults, checks and suggestions follow from it.

const year = 365 * 24 * time.Hour

func (c *Config) keys() []key {
	store := "none"
	if c.IsEmbedded() {
		store = "embedded"
	}
	return []key{
		section("kafka", c.Kafka.keys()),
		section("encryption", c.Encryption.keys()),
		sections("topic", &c.Topics, (*Topic).keys),
		section("replies", c.Replies.keys()),
		section("discovery", c.Discovery.keys()),
		section("audit", c.Audit.keys(store)),
		section("plugins", c.Plugins.keys()),
		named("plugin", &c.Plugin, pluginName, (*Plugin).keys),
		section("embedded", c.Embedded.keys()),
		section("host", c.Host.keys()),
		section("admin", c.Admin.keys()),
		section("log", c.Log.keys()),
	}
}

func (k *Kafka) keys() []key {
	return []key{
		texts("brokers", &k.Brokers, []string{Embedded}, brokerAddress),
		text("group", &k.Group, DefaultGroup, groupName),
		text("client_id", &k.ClientID, DefaultClientID, kafkaName),
		flag("create_topics", &k.CreateTopics, true),
		number("replication_factor", &k.ReplicationFactor, 0, 0, math.MaxInt16),
		text("rebalance", &k.Rebalance, "cooperative", oneOf("cooperative", "eager")),
		text("instance_id", &k.InstanceID, "", kafkaName),
		optional("tls", &k.TLS, (*TLS).keys),
		optional("sasl", &k.SASL, (*SASL).keys),
	}
}

func (t *TLS) keys() []key {
	return []key{
		text("ca", &t.CA, "", nil),
		text("cert", &t.Cert, "", nil),
		text("key", &t.Key, "", nil),
		text("server_name", &t.ServerName, "", nil),
	}
}

func (s *SASL) keys() []key {
	mechanism := oneOf("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	return []key{
		required(text("mechanism", &s.Mechanism, "", mechanism), `write "SCRAM-SHA-512", "SCRAM-SHA-256" or "PLAIN"`),
		required(text("username", &s.Username, "", nil), "write the user to log in as"),
		required(secret("password", &s.Password), wantSecret),
	}
}

func (e *Encryption) keys() []key {
	return []key{
		secret("key", &e.Key),
		secrets("open", &e.Open),
	}
}

func (t *Topic) keys() []key {
	return []key{
		required(text("name", &t.Name, "", topicName), `write the topic's name, as in name = "calculate"`),
		text("plugin", &t.Plugin, t.Name, t.pluginName),
		text("handler", &t.Handler, "", handlerName),
		number("partitions", &t.Partitions, DefaultPartitions, 1, maxPartitions),
		number("concurrency", &t.Concurrency, DefaultConcurrency, 1, 65536),
		duration("timeout", &t.Timeout, DefaultTimeout, time.Millisecond, year), // and no longer than MaxTimeout
		number("max_attempts", &t.MaxAttempts, DefaultMaxAttempts, 1, 100),
		text("ordering", &t.Ordering, "none", ordering),
		duration("max_age", &t.MaxAge, 0, time.Second, year),
	}
}

func (r *Replies) keys() []key {
	return []key{
		text("topic", &r.Topic, DefaultReplyTopic, topicName),
		number("partitions", &r.Partitions, DefaultReplyPartitions, 1, maxPartitions),
		texts("allow", &r.Allow, []string{cmp.Or(r.Topic, DefaultReplyTopic)}, topicName),
	}
}

func (d *Discovery) keys() []key {
	return []key{text("topic", &d.Topic, DefaultControlTopic, topicName)}
}

func (a *Audit) keys(store string) []key {
	return []key{
		text("store", &a.Store, store, oneOf("embedded", "cassandra", "none")),
		duration("ttl", &a.TTL, 720*time.Hour, time.Second, 20*year), // Cassandra's longest
		text("error_text", &a.ErrorText, "sealed", oneOf("sealed", "plain")),
		section("cassandra", a.Cassandra.keys()),
	}
}

func (c *Cassandra) keys() []key {
	return []key{
		texts("hosts", &c.Hosts, nil, address),
		text("local_datacenter", &c.LocalDatacenter, "datacenter1", nil),
		text("keyspace", &c.Keyspace, "messaging", keyspace),
		flag("migrate", &c.Migrate, true),
		text("username", &c.Username, "", nil),
		secret("password", &c.Password),
		optional("tls", &c.TLS, (*TLS).keys),
		text("replication", &c.Replication, "", replication),
		text("consistency", &c.Consistency, "LOCAL_QUORUM", oneOf("ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_ONE", "LOCAL_QUORUM", "EACH_QUORUM")),
		number("shards", &c.Shards, 16, 1, 1024),
		duration("bucket", &c.Bucket, 10*time.Minute, time.Minute, 24*time.Hour),
	}
}

func (p *Plugins) keys() []key {
	return []key{
		text("dir", &p.Dir, "plugins", path),
		text("store", &p.Store, "data/plugins", path),
		text("trust", &p.Trust, "strict", oneOf("strict", "dev")),
		text("verify", &p.Verify, "off", oneOf("off", "lock")),
		texts("env", &p.Env, nil, variable),
		duration("start_timeout", &p.StartTimeout, 10*time.Second, time.Millisecond, time.Hour),
	}
}

func (p *Plugin) keys() []key {
	return []key{
		number("instances", &p.Instances, 0, 1, 1024),
		text("user", &p.User, "", nil),
		size("memory", &p.Memory, 0, 1<<20),
		number("millicpus", &p.MilliCPUs, 0, 1, 1<<20),
		number("open_files", &p.OpenFiles, 0, 16, 1<<20),
		anything("config", &p.Config),
	}
}

func (e *EmbeddedBroker) keys() []key {
	return []key{
		text("dir", &e.Dir, "data", path),
		text("listen", &e.Listen, DefaultEmbeddedListen, loopback),
		duration("retention", &e.Retention, 168*time.Hour, time.Second, 100*year),
		size("retention_bytes", &e.RetentionBytes, 1<<30, 1<<10),
	}
}

func (h *Host) keys() []key {
	return []key{
		duration("drain_timeout", &h.DrainTimeout, DefaultDrainTimeout, time.Millisecond, 24*time.Hour),
		duration("rebalance_timeout", &h.RebalanceTimeout, time.Minute, time.Second, 24*time.Hour),
		size("max_inflight_bytes", &h.MaxInflightBytes, DefaultMaxInflightBytes, 1),
		size("max_payload", &h.MaxPayload, DefaultMaxPayload, 1),
	}
}

func (a *Admin) keys() []key {
	return []key{text("listen", &a.Listen, DefaultAdminListen, listenOrOff)}
}

func (l *Log) keys() []key {
	return []key{
		text("level", &l.Level, "info", oneOf("trace", "debug", "info", "warn", "error")),
		text("format", &l.Format, "text", oneOf("text", "json")),
	}
}
