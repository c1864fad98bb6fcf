// Package config is config.toml as Go: one struct a section, read by rrhost,
// rrclient and the libraries host, client and audit alike.
//
// The zero value of every field means its default, so a [Config] written in Go
// needs only what differs. [Load] reads a file and reports all of its mistakes
// at once, each with its line. There, durations are text such as "30s", and
// sizes are bytes or text such as "64MiB" (KiB, MiB, GiB and TiB, of 1024).
package config

import (
	"errors"
	"path/filepath"
	"time"
)

// Defaults, as the shipped config.toml shows them.
const (
	DefaultGroup           = "workers"
	DefaultClientID        = "rrhost"
	DefaultReplyTopic      = "rr.replies"
	DefaultReplyPartitions = 16
	DefaultControlTopic    = "rr.control"
	DefaultPartitions      = 4
	DefaultConcurrency     = 64
	DefaultMaxAttempts     = 2
	DefaultTimeout         = 30 * time.Second
	DefaultDrainTimeout    = 20 * time.Second
	DefaultEmbeddedListen  = "127.0.0.1:19092"
	DefaultAdminListen     = "127.0.0.1:9464"

	// DefaultMaxPayload is the largest plaintext, in bytes, of a request or a
	// response. With seal and headers it stays under what a broker with default
	// settings accepts (1,048,588 bytes a batch).
	DefaultMaxPayload = 1_000_000

	// MaxMaxPayload is the largest that max_payload may be. A record that large
	// still fits into one request of Kafka's protocol, which brokers bound to
	// 100 MiB unless told.
	MaxMaxPayload = 64 << 20

	// MaxTimeout is the longest that a topic's timeout may be: no requester may
	// wait longer, so more would change nothing.
	MaxTimeout = 24 * time.Hour

	// MaxTopics is how many topics a host may serve that announces them: it does
	// so in one record. A host without [Discovery] may serve more.
	MaxTopics = 2000

	// DefaultMaxInflightBytes bounds what a host holds of requests, in bytes.
	DefaultMaxInflightBytes = 64 << 20
)

// Embedded is the broker address that means the broker inside the host process.
const Embedded = "embedded"

// Config is a whole config.toml.
type Config struct {
	Kafka      Kafka
	Encryption Encryption
	Topics     []Topic // [[topic]]
	Replies    Replies
	Discovery  Discovery
	Audit      Audit
	Plugins    Plugins
	// Plugin holds the [plugin.NAME] sections, by plugin name.
	Plugin   map[string]Plugin
	Embedded EmbeddedBroker
	Host     Host
	Admin    Admin
	Log      Log

	// Dir is the folder of the file; relative paths in it are relative to Dir.
	// Empty means the working directory.
	Dir string

	source *source // nil: no file
}

// WithDefaults returns c with every field that is zero set to its default.
func (c Config) WithDefaults() Config {
	fillAll(c.keys())
	return c
}

// Validate reports all that is wrong with c, not only the first thing found,
// each as a [Fault].
func (c Config) Validate() error {
	c = c.WithDefaults()
	var f faults
	c.check(&f)
	errs := make([]error, len(f.list))
	for i, fault := range f.list {
		errs[i] = fault
	}
	return errors.Join(errs...)
}

// Path returns p, taken from Dir if it is relative.
func (c Config) Path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.Dir, p)
}

// IsEmbedded tells whether c means the broker inside the host process.
func (c Config) IsEmbedded() bool {
	b := c.Kafka.Brokers
	return len(b) == 0 || len(b) == 1 && b[0] == Embedded
}

// Kafka is the [kafka] section: how to reach the brokers.
type Kafka struct {
	// Brokers are bootstrap addresses, host:port, or the single word
	// [Embedded]. Defaults to the embedded broker.
	Brokers []string
	// Group is the hosts' consumer group; the audit ingester's is Group.audit.
	// Default "workers".
	Group string
	// ClientID is what brokers see in logs, metrics and quotas. Default "rrhost".
	ClientID string
	// CreateTopics lets a host create the topics it needs. Nil means true.
	CreateTopics *bool
	// ReplicationFactor of the topics that a host creates, up to 32767. Zero
	// means the broker's default.
	ReplicationFactor int16
	// Rebalance is "cooperative" (default) or "eager".
	Rebalance string
	// InstanceID makes the host a static member of the group. Default: none.
	InstanceID string
	TLS        *TLS  // nil: plaintext
	SASL       *SASL // nil: none
}

// TLS is how to trust a server and, with Cert and Key, to be known to it.
type TLS struct {
	CA         string // PEM file; empty: the system's roots
	Cert       string // PEM file
	Key        string // PEM file
	ServerName string // empty: the name dialled
}

// SASL is a login to Kafka.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Username  string
	Password  Secret
}

// Encryption is the [encryption] section.
type Encryption struct {
	// Key seals, and opens: 64 hex characters, by reference. Unset means the
	// environment variable ENCRYPTION_KEY; with the embedded broker, where that
	// is unset too, the file key in its data folder.
	Key Secret
	// Open are further keys that only open: older ones, or the next.
	Open []Secret
}

// Topic is one [[topic]]: a request topic and who handles it.
type Topic struct {
	// Name is the topic's. It has no default.
	Name string
	// Plugin is the plugin's name. Defaults to Name.
	Plugin string
	// Handler is the name of the handler in the plugin. Empty: the plugin's
	// only one, else the one named like the topic.
	Handler string
	// Partitions the topic is created with, 1 to 10000. Default 4.
	Partitions int32
	// Concurrency is how many requests of this topic one host has in flight at
	// most, 1 to 65536. Default 64.
	Concurrency int
	// Timeout is the longest a request may take, whatever its requester allows:
	// 1 ms to [MaxTimeout]. Default 30 s.
	Timeout time.Duration
	// MaxAttempts is how many crashes of its plugin count against a request, 1 to
	// 100. One that several requests may have caused counts against none that is
	// tried again. Default 2.
	MaxAttempts int
	// Ordering is "none" (default); "key" is reserved.
	Ordering string
	// MaxAge refuses requests whose sent_ms is older: 1 s to a year. Zero: off.
	MaxAge time.Duration
}

// Replies is the [replies] section.
type Replies struct {
	// Topic is where requesters listen. Default "rr.replies".
	Topic string
	// Partitions the topic is created with, 1 to 10000; each requester listens on
	// one. Default 16.
	Partitions int32
	// Allow lists the topics that a request may name in reply_to. Defaults to
	// Topic alone.
	Allow []string
}

// Discovery is the [discovery] section: how requesters learn what hosts serve.
type Discovery struct {
	// Topic is the control topic: each host writes there what it serves. "off"
	// means that it does not; then `rrclient topics`, `rrclient describe` and
	// client.WithFailFast have nothing to read. Default "rr.control".
	Topic string
}

// On tells whether there is a control topic.
func (d Discovery) On() bool { return d.Topic != "off" }

// Audit is the [audit] section.
type Audit struct {
	// Store is "embedded", "cassandra" or "none". Defaults to "embedded" with
	// the embedded broker and to "none" else.
	Store string
	// TTL is how long rows are kept, 1 s to 20 years. Default 720 h.
	TTL time.Duration
	// ErrorText is "sealed" (default) or "plain": whether the handler's error
	// message is stored readable.
	ErrorText string
	Cassandra Cassandra
}

// Cassandra is the [audit.cassandra] section.
type Cassandra struct {
	Hosts           []string      // host:port of some nodes; no default
	LocalDatacenter string        // default "datacenter1"
	Keyspace        string        // default "messaging"
	Migrate         *bool         // create and update the tables at start; nil means true
	Username        string        // empty: no login
	Password        Secret        // of Username
	TLS             *TLS          // nil: plaintext
	Replication     string        // CQL map; empty: SimpleStrategy with factor 1 where the keyspace is missing
	Consistency     string        // of reads and writes; default "LOCAL_QUORUM"
	Shards          int           // partitions of by_time for each bucket, 1 to 1024; default 16, fixed when the layout is made
	Bucket          time.Duration // of time in one partition of by_time, 1 min to 24 h; default 10 min, fixed likewise
}

// Plugins is the [plugins] section.
type Plugins struct {
	// Dir is where plugins are started from. Default "plugins".
	Dir string
	// Store is the host's own folder for plugins: copies of what it runs, by
	// digest, what it trusts, and its control socket. Default "data/plugins".
	Store string
	// Trust is "strict" (default): what others than the host's user could have
	// written is not run. "dev" runs it, with a warning.
	Trust string
	// Verify is "off" (default), or "lock": only what `rrhost plugin trust` has
	// noted is run.
	Verify string
	// Env lists the host's environment variables that a plugin.toml may ask for, beside PATH,
	// HOME, TMPDIR, LANG and TZ. Default: none.
	Env []string
	// StartTimeout bounds the time from start to ready, 1 ms to 1 h. Default 10 s.
	StartTimeout time.Duration
}

// Plugin is a [plugin.NAME] section: what the operator decides for one plugin.
type Plugin struct {
	// Instances is how many processes share the plugin's requests, 1 to 1024.
	// Default: what its plugin.toml says, else 1.
	Instances int
	// User is whom its processes run as, where the host is root. Default: as
	// the host.
	User string
	// Memory in bytes (1 MiB and more), CPUs in thousandths of a processor (up to
	// 2^20), and OpenFiles (16 to 2^20) bound each process. Zero means no bound.
	// Only Linux bounds memory and CPUs.
	Memory    int64
	MilliCPUs int
	OpenFiles int
	// Config is the plugin's own section, [plugin.NAME.config], as decoded TOML.
	Config map[string]any
}

// EmbeddedBroker is the [embedded] section.
type EmbeddedBroker struct {
	Dir            string        // of the broker's log, the audit store and the key; default "data"
	Listen         string        // host:port, loopback only; default "127.0.0.1:19092"
	Retention      time.Duration // of records, 1 s to 100 years; default 168 h
	RetentionBytes int64         // per topic, 1 KiB and more; default 1 GiB
}

// Host is the [host] section: bounds of the host process.
type Host struct {
	// DrainTimeout bounds the wait for requests in flight when a partition is
	// given up or the host stops: 1 ms to 24 h. It must be below
	// RebalanceTimeout, or the group hands the partition to another host
	// mid-request. Default 20 s.
	DrainTimeout time.Duration
	// RebalanceTimeout is how long the group waits for a member, 1 s to 24 h.
	// Default 60 s.
	RebalanceTimeout time.Duration
	// MaxInflightBytes bounds what the host holds of requests, from when they are
	// read until their outcome is acknowledged, in bytes: keys, values and
	// headers, with 256 for each record and 64 for each header. The host's
	// partitions have equal shares, and each may exceed its own by one fetch. It
	// is at least MaxPayload. Default 64 MiB.
	MaxInflightBytes int64
	// MaxPayload is the largest plaintext of one request or response, in bytes, up
	// to [MaxMaxPayload]. Default 1,000,000.
	MaxPayload int
}

// Admin is the [admin] section.
type Admin struct {
	Listen string // host:port, or "off": none; default "127.0.0.1:9464"
}

// Log is the [log] section.
type Log struct {
	Level  string // trace, debug, info (default), warn, error
	Format string // text (default) or json
}
