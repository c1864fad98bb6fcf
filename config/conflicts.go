package config

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
)

// check reports all that is wrong with c, whose defaults are filled in.
func (c *Config) check(f *faults) {
	checkAll(f, "", c.keys())
	c.checkKafka(f)
	c.checkTopics(f)
	c.checkReplies(f)
	c.checkDiscovery(f)
	c.checkAudit(f)
	c.checkPlugins(f)
	c.checkEmbedded(f)
	c.checkHost(f)
}

func (c *Config) checkKafka(f *faults) {
	if i := slices.Index(c.Kafka.Brokers, Embedded); i >= 0 && !c.IsEmbedded() {
		f.report(element("kafka.brokers", i), `"embedded" stands beside addresses`, `write ["embedded"] alone, or addresses alone`)
	}
	if c.IsEmbedded() && !f.has("kafka.brokers") {
		const want = "leave it out, or write the addresses of real brokers"
		if c.Kafka.TLS != nil {
			f.report("kafka.tls", "is not for the embedded broker", want)
		}
		if c.Kafka.SASL != nil {
			f.report("kafka.sasl", "is not for the embedded broker", want)
		}
	}
	c.Kafka.TLS.check(f, "kafka.tls")
}

func (t *TLS) check(f *faults, at string) {
	if t == nil {
		return
	}
	if t.Cert != "" && t.Key == "" {
		f.report(join(at, "key"), "is missing", "write the path of the certificate's key, or leave cert out")
	}
	if t.Key != "" && t.Cert == "" {
		f.report(join(at, "cert"), "is missing", "write the path of the key's certificate, or leave key out")
	}
}

func (c *Config) checkTopics(f *faults) {
	first := map[string]string{} // the name with _ for . → where it stands
	for i, t := range c.Topics {
		if t.Timeout > MaxTimeout {
			f.report(join(element("topic", i), "timeout"), fmt.Sprintf("%q is longer than any requester may wait", short(t.Timeout)),
				fmt.Sprintf("write a duration up to %q", short(MaxTimeout)))
		}
		at := join(element("topic", i), "name")
		if t.Name == "" {
			continue
		}
		metric := strings.ReplaceAll(t.Name, ".", "_")
		switch j := slices.IndexFunc(c.Topics, func(o Topic) bool { return o.Name == t.Name }); {
		case j < i:
			f.report(at, fmt.Sprintf("%q is the name of %s too", t.Name, element("topic", j)), "write each topic once")
		case first[metric] != "":
			f.report(at, fmt.Sprintf("%q and %s are the same to Kafka, which takes . for _", t.Name, first[metric]), "write another name")
		default:
			first[metric] = at
		}
		if i := slices.Index(c.Replies.Allow, t.Name); i >= 0 || t.Name == c.Replies.Topic {
			f.report(at, fmt.Sprintf("%q is a reply topic", t.Name), "write another name here or in [replies]")
		}
	}
}

func (c *Config) checkReplies(f *faults) {
	if !slices.Contains(c.Replies.Allow, c.Replies.Topic) && !f.has("replies.topic") && !f.has("replies.allow") {
		f.report("replies.allow", fmt.Sprintf("lacks the reply topic %q", c.Replies.Topic), "list it too")
	}
}

func (c *Config) checkDiscovery(f *faults) {
	const at = "discovery.topic"
	name := c.Discovery.Topic
	if c.Discovery.On() && len(c.Topics) > MaxTopics {
		// Requesters would take all of them for unserved.
		f.report(element("topic", MaxTopics), fmt.Sprintf("is one more than the %d that a host can announce", MaxTopics),
			`serve it at another host, or set topic = "off" in [discovery] at hosts and requesters`)
	}
	if slices.ContainsFunc(c.Topics, func(t Topic) bool { return t.Name == name }) {
		f.report(at, fmt.Sprintf("%q is a request topic", name), "write another name")
	}
	if name == c.Replies.Topic || slices.Contains(c.Replies.Allow, name) {
		f.report(at, fmt.Sprintf("%q is a reply topic", name), "write another name")
	}
}

func (c *Config) checkAudit(f *faults) {
	k := c.Audit.Cassandra
	if c.Audit.Store == "cassandra" && len(k.Hosts) == 0 {
		f.report("audit.cassandra.hosts", "is missing", `write where Cassandra listens, as in ["127.0.0.1:9042"]`)
	}
	if k.Username != "" && k.Password == "" {
		f.report("audit.cassandra.password", "is missing", wantSecret+", or leave username out")
	}
	if k.Password != "" && k.Username == "" {
		f.report("audit.cassandra.username", "is missing", "write the user to log in as, or leave password out")
	}
	k.TLS.check(f, "audit.cassandra.tls")
}

// checkPlugins keeps keys and passwords away from plugins, and finds the section
// whose plugin is misspelled. A plugin that no topic names may have a section.
func (c *Config) checkPlugins(f *faults) {
	var unread []string // plugins without a section
	used := map[string]bool{}
	for _, t := range c.Topics {
		used[t.Plugin] = true
		if _, has := c.Plugin[t.Plugin]; !has {
			unread = append(unread, t.Plugin)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Plugin)) {
		if near := nearest(name, unread); near != "" && !used[name] {
			f.report(join("plugin", name), fmt.Sprintf("no topic names a plugin %q", name), "did you mean "+near+"?")
		}
	}
	for i, name := range c.Plugins.Env {
		if slices.Contains(c.secretVariables(), name) {
			f.report(element("plugins.env", i), name+" holds a secret of the host", "leave it out")
		}
	}
}

// secretVariables are the environment variables that secrets come from.
func (c *Config) secretVariables() []string {
	names := []string{keyVariable}
	add := func(s Secret) {
		if name, ok := strings.CutPrefix(string(s), "env:"); ok {
			names = append(names, name)
		}
	}
	add(c.Encryption.Key)
	for _, s := range c.Encryption.Open {
		add(s)
	}
	if c.Kafka.SASL != nil {
		add(c.Kafka.SASL.Password)
	}
	add(c.Audit.Cassandra.Password)
	return names
}

func (c *Config) checkEmbedded(f *faults) {
	rel, err := filepath.Rel(c.Path(c.Plugins.Dir), c.Path(c.Embedded.Dir))
	if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		f.report("embedded.dir", "is in the plugin directory", "write a folder of its own")
	}
	if _, port, _ := net.SplitHostPort(c.Embedded.Listen); port != "0" && c.IsEmbedded() && c.Embedded.Listen == c.Admin.Listen {
		f.report("embedded.listen", fmt.Sprintf("%q is the address of [admin] too", c.Embedded.Listen), "write another port")
	}
}

func (c *Config) checkHost(f *faults) {
	h := c.Host
	if h.MaxPayload > MaxMaxPayload {
		f.report("host.max_payload", formatSize(int64(h.MaxPayload))+" is too large", "write a size up to "+formatSize(MaxMaxPayload))
	}
	if h.DrainTimeout >= h.RebalanceTimeout && !f.has("host.rebalance_timeout") {
		f.report("host.drain_timeout", fmt.Sprintf("%q is not below rebalance_timeout (%q)", short(h.DrainTimeout), short(h.RebalanceTimeout)),
			"write a shorter one, or a longer rebalance_timeout")
	}
	if h.MaxInflightBytes < int64(h.MaxPayload) && !f.has("host.max_payload") {
		f.report("host.max_inflight_bytes", fmt.Sprintf("%s has no room for one payload of max_payload (%s)", formatSize(h.MaxInflightBytes), formatSize(int64(h.MaxPayload))),
			"write a larger one")
	}
}
