package config

import "net"

// Warnings lists what is allowed in c and yet worth a word at start and in
// `rrhost check`.
func (c Config) Warnings() []Fault {
	c = c.WithDefaults()
	var list []Fault
	warn := func(key, problem, want string) {
		list = append(list, Fault{Key: key, Problem: problem, Want: want})
	}
	if s := c.Kafka.SASL; s != nil && c.Kafka.TLS == nil {
		if s.Mechanism == "PLAIN" {
			warn("kafka.sasl", "the password crosses the network readable", "add [kafka.tls]")
		} else {
			warn("kafka.sasl", "without TLS a listener can take over the connection and try passwords at leisure", "add [kafka.tls]")
		}
	}
	if !c.IsEmbedded() && c.Kafka.ReplicationFactor == 1 {
		warn("kafka.replication_factor", "with one copy, a lost broker is lost requests", "write 3 where there are three brokers")
	}
	if k := c.Audit.Cassandra; c.Audit.Store == "cassandra" && k.Username != "" && k.TLS == nil {
		warn("audit.cassandra.username", "the password crosses the network readable", "add [audit.cassandra.tls]")
	}
	if host, _, err := net.SplitHostPort(c.Admin.Listen); err == nil && !isLoopback(host) {
		warn("admin.listen", "other machines reach it, and it asks for no login", "keep it behind a firewall or a proxy")
	}
	return list
}
