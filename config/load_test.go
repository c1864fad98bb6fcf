package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// faultsOf parses text and returns what is printed of its mistakes, a line each.
func faultsOf(t *testing.T, text string) []string {
	t.Helper()
	_, err := Parse("config.toml", []byte(text))
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("Parse: %v, want an *Error", err)
	}
	return strings.Split(err.Error(), "\n")
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		name string
		text string
		want []string
	}{
		// keys
		{"unknown key", "[log]\ncolour = true",
			[]string{`config.toml:2: log.colour: is not a key of [log]; known there are level, format`}},
		{"wrong case", "[kafka]\nClient_ID = \"a\"",
			[]string{`config.toml:2: kafka.Client_ID: is not a key of [kafka]; did you mean client_id?`}},
		{"dash", "[kafka]\nclient-id = \"a\"",
			[]string{`config.toml:2: kafka.client-id: is not a key of [kafka]; did you mean client_id?`}},
		{"slip", "[kafka]\nbroker = [\"b1:9092\"]",
			[]string{`config.toml:2: kafka.broker: is not a key of [kafka]; did you mean brokers?`}},
		{"another section's key", "[kafka]\ndrain_timeout = \"5s\"",
			[]string{`config.toml:2: kafka.drain_timeout: is not a key of [kafka]; it belongs in [host]`}},
		{"key of several sections", "[host]\nlisten = \"127.0.0.1:1\"",
			[]string{`config.toml:2: host.listen: is not a key of [host]; it belongs in [embedded] or [admin]`}},
		{"key outside of a section", "\ntimeout = \"5s\"",
			[]string{`config.toml:2: timeout: is not a key of the file; it belongs in [[topic]]`}},
		{"quoted key", "[log]\n\"a b.c\" = 1",
			[]string{`config.toml:2: log."a b.c": is not a key of [log]; known there are level, format`}},
		{"unknown section", "[metrics]\na = 1",
			[]string{`config.toml:1: metrics: is not a key of the file; known there are kafka, encryption, topic, replies, discovery, audit, plugins, plugin, embedded, host, admin, log`}},
		{"section in wrong case, and a mistake in it", "[Log]\nlevel = \"loud\"",
			[]string{
				`config.toml:1: Log: is not a key of the file; did you mean [log]?`,
				`config.toml:2: log.level: "loud" is not one of its values; write "trace", "debug", "info", "warn" or "error"`,
			}},
		{"misspelled table of a list", "[[topics]]\nname = \"a\"\n[[topics]]\ntimeout = 3",
			[]string{
				`config.toml:1: topics: is not a key of the file; did you mean [[topic]]?`,
				`config.toml:3: topic[2].name: is missing; write the topic's name, as in name = "calculate"`,
				`config.toml:4: topic[2].timeout: 3 is a bare number; write "3s"`,
			}},
		{"misspelled subsection", "[audit.casandra]\nhosts = [\"a:1\"]",
			[]string{`config.toml:1: audit.casandra: is not a key of [audit]; did you mean [audit.cassandra]?`}},
		{"misspelled required key is not missing too", "[[topic]]\nnane = \"a\"",
			[]string{`config.toml:2: topic[1].nane: is not a key of [[topic]]; did you mean name?`}},

		// shapes
		{"table for tables", "[topic]\nname = \"a\"",
			[]string{`config.toml:1: topic: is a table, not a list of tables; write [[topic]]`}},
		{"tables for table", "[[kafka]]\ngroup = \"a\"",
			[]string{`config.toml:1: kafka: is a list of tables, not a table; write [kafka], and its keys below it`}},
		{"value for table", "kafka = \"b1:9092\"",
			[]string{`config.toml:1: kafka: is text, not a table; write [kafka], and its keys below it`}},
		{"value for optional table", "[kafka]\nbrokers = [\"b:1\"]\ntls = true",
			[]string{`config.toml:3: kafka.tls: is true or false, not a table; write [kafka.tls], and its keys below it`}},
		{"number among tables", "topic = [{name = \"a\"},\n 7]",
			[]string{`config.toml:2: topic[2]: is a number, not a table; write [[topic]], and its keys below it`}},
		{"tables for text", "[[log.level]]\na = 1",
			[]string{`config.toml:1: log.level: a list of tables is not text; write text in quotes, such as "info"`}},

		// types
		{"number for text", "[kafka]\ngroup = 7",
			[]string{`config.toml:2: kafka.group: 7 is not text; write text in quotes, such as "workers"`}},
		{"date for text", "[kafka.tls]\nca = 2024-01-01",
			[]string{`config.toml:1: kafka.tls: is not for the embedded broker; leave it out, or write the addresses of real brokers`,
				`config.toml:2: kafka.tls.ca: a date or time is not text; write text in quotes`}},
		{"text for number", "[replies]\npartitions = \"16\"",
			[]string{`config.toml:2: replies.partitions: "16" is not a whole number; write 16 without quotes`}},
		{"word for number", "[replies]\npartitions = \"many\"",
			[]string{`config.toml:2: replies.partitions: "many" is not a whole number; write a whole number from 1 to 10000`}},
		{"fraction for number", "[replies]\npartitions = 1.5",
			[]string{`config.toml:2: replies.partitions: 1.5 is not a whole number; write a whole number from 1 to 10000`}},
		{"text for flag", "[kafka]\ncreate_topics = \"false\"",
			[]string{`config.toml:2: kafka.create_topics: "false" is neither true nor false; write false without quotes`}},
		{"number for flag", "[kafka]\ncreate_topics = 1",
			[]string{`config.toml:2: kafka.create_topics: 1 is neither true nor false; write true or false`}},
		{"text for list", "[kafka]\nbrokers = \"b1:9092\"",
			[]string{`config.toml:2: kafka.brokers: "b1:9092" is not a list of text; write ["b1:9092"]`}},
		{"number for list", "[kafka]\nbrokers = 9092",
			[]string{`config.toml:2: kafka.brokers: 9092 is not a list of text; write a list in brackets`}},
		{"number in list", "[kafka]\nbrokers = [\n \"b1:9092\",\n 9092,\n]",
			[]string{`config.toml:4: kafka.brokers[2]: 9092 is not text; write text in quotes`}},
		{"number for secret", "[audit.cassandra]\nusername = \"a\"\npassword = 12345",
			[]string{`config.toml:3: audit.cassandra.password: is a number, not text; write "env:NAME" or "file:PATH"`}},
		{"text for secrets", "[encryption]\nopen = \"file:old.key\"",
			[]string{`config.toml:2: encryption.open: is text, not a list of text; write a list in brackets`}},
		{"number among secrets", "[encryption]\nopen = [\"file:old.key\", 5]",
			[]string{`config.toml:2: encryption.open[2]: is a number, not text; write "env:NAME" or "file:PATH"`}},

		// durations and sizes
		{"bare number", "[audit]\nttl = 30",
			[]string{`config.toml:2: audit.ttl: 30 is a bare number; write "30s"`}},
		{"bare fraction", "[audit]\nttl = 1.5",
			[]string{`config.toml:2: audit.ttl: 1.5 is a bare number; write "1.5s"`}},
		{"bare zero", "[audit]\nttl = 0",
			[]string{`config.toml:2: audit.ttl: 0 is a bare number; write it with a unit, as in "720h"`}},
		{"bare infinity", "[audit]\nttl = inf",
			[]string{`config.toml:2: audit.ttl: +Inf is a bare number; write it with a unit, as in "720h"`}},
		{"infinity in quotes", "[audit]\nttl = \"inf\"",
			[]string{`config.toml:2: audit.ttl: "inf" is not a duration; write a number and ms, s, m or h, as in "720h"`}},
		{"number in quotes", "[audit]\nttl = \"30\"",
			[]string{`config.toml:2: audit.ttl: "30" has no unit; write "30s"`}},
		{"days", "[audit]\nttl = \"30d\"",
			[]string{`config.toml:2: audit.ttl: "30d" is in days; write hours: "720h"`}},
		{"not a duration", "[audit]\nttl = \"long\"",
			[]string{`config.toml:2: audit.ttl: "long" is not a duration; write a number and ms, s, m or h, as in "720h"`}},
		{"flag for duration", "[[topic]]\nname = \"a\"\nmax_age = false",
			[]string{`config.toml:3: topic[1].max_age: false is not a duration; write it in quotes, as in "1s"`}},
		{"zero is not the default", "[audit]\nttl = \"0s\"",
			[]string{`config.toml:2: audit.ttl: "0s" is too small; write a duration from "1s"`}},
		{"negative", "[[topic]]\nname = \"a\"\ntimeout = \"-1s\"",
			[]string{`config.toml:3: topic[1].timeout: "-1s" is too small; write a duration from "1ms"`}},
		{"longer than Cassandra keeps", "[audit]\nttl = \"999999h\"",
			[]string{`config.toml:2: audit.ttl: "999999h" is too large; write a duration up to "175200h"`}},
		{"longer than requesters wait", "[[topic]]\nname = \"a\"\ntimeout = \"25h\"",
			[]string{`config.toml:3: topic[1].timeout: "25h" is longer than any requester may wait; write a duration up to "24h"`}},
		{"decimal unit", "[embedded]\nretention_bytes = \"2GB\"",
			[]string{`config.toml:2: embedded.retention_bytes: "2GB" is not a size; write "2GiB"`}},
		{"size without unit", "[embedded]\nretention_bytes = \"2048\"",
			[]string{`config.toml:2: embedded.retention_bytes: "2048" is not a size; write 2048 without quotes, or a unit: KiB, MiB, GiB`}},
		{"not a size", "[embedded]\nretention_bytes = \"much\"",
			[]string{`config.toml:2: embedded.retention_bytes: "much" is not a size; write a number of bytes, or text such as "64MiB"`}},
		{"fraction of bytes", "[embedded]\nretention_bytes = 1.5",
			[]string{`config.toml:2: embedded.retention_bytes: 1.5 is not a size; write a number of bytes, or text such as "64MiB"`}},
		{"huge size", "[embedded]\nretention_bytes = \"99999999TiB\"",
			[]string{`config.toml:2: embedded.retention_bytes: "99999999TiB" is not a size; write a smaller one`}},
		{"negative size", "[embedded]\nretention_bytes = -1",
			[]string{`config.toml:2: embedded.retention_bytes: -1 is too small; write a size from "1KiB"`}},
		{"zero size", "[host]\nmax_payload = 0",
			[]string{`config.toml:2: host.max_payload: 0 is too small; write a size from 1`}},

		// ranges and allowed values
		{"zero", "[[topic]]\nname = \"a\"\nconcurrency = 0",
			[]string{`config.toml:3: topic[1].concurrency: 0 is too small; write a number from 1`}},
		{"too many", "[[topic]]\nname = \"a\"\npartitions = 5000000000",
			[]string{`config.toml:3: topic[1].partitions: 5000000000 is too large; write a number up to 10000`}},
		{"more than the field holds", "[kafka]\nreplication_factor = 65536",
			[]string{`config.toml:2: kafka.replication_factor: 65536 is too large; write a number up to 32767`}},
		{"none of the values", "[audit]\nstore = \"sqlite\"",
			[]string{`config.toml:2: audit.store: "sqlite" is not one of its values; write "embedded", "cassandra" or "none"`}},
		{"empty where there is a default", "[log]\nlevel = \"\"",
			[]string{`config.toml:2: log.level: "" is not one of its values; write "trace", "debug", "info", "warn" or "error"`}},
		{"reserved", "[[topic]]\nname = \"a\"\nordering = \"key\"",
			[]string{`config.toml:3: topic[1].ordering: "key" is reserved for later; write "none"`}},

		// names and addresses
		{"topic with a space", "[[topic]]\nname = \"a b\"",
			[]string{`config.toml:2: topic[1].name: "a b" is not a name that Kafka takes; write up to 249 of the characters A-Z a-z 0-9 . _ -`}},
		{"topic of dots", "[[topic]]\nname = \"..\"",
			[]string{`config.toml:2: topic[1].name: ".." is not a name that Kafka takes; write another name`}},
		{"topic of Kafka", "[[topic]]\nname = \"__consumer_offsets\"",
			[]string{`config.toml:2: topic[1].name: "__consumer_offsets" is among Kafka's own topics; write a name that does not begin with __`}},
		{"topic that is a dead-letter topic", "[[topic]]\nname = \"a\"\n[[topic]]\nname = \"a.dlq\"",
			[]string{`config.toml:4: topic[2].name: "a.dlq" is the name of a dead-letter topic; write a name that does not end in .dlq`}},
		{"topic without room", "[[topic]]\nplugin = \"a\"\nname = \"" + strings.Repeat("a", 246) + "\"",
			[]string{`config.toml:3: topic[1].name: leaves no room for .dlq; write up to 245 characters`}},
		{"endless topic", "[[topic]]\nplugin = \"a\"\nname = \"" + strings.Repeat("a", 250) + "\"",
			[]string{`config.toml:3: topic[1].name: is too long for Kafka; write up to 249 of the characters A-Z a-z 0-9 . _ -`}},
		{"plugin by path", "[[topic]]\nname = \"a\"\nplugin = \"../a\"",
			[]string{`config.toml:3: topic[1].plugin: "../a" is a path; write the name of a file or folder in the plugin directory`}},
		{"hidden plugin", "[[topic]]\nname = \"a\"\nplugin = \".a\"",
			[]string{`config.toml:3: topic[1].plugin: ".a" begins with a dot, and is never run; write the name of a file or folder in the plugin directory`}},
		{"hidden plugin by default", "[[topic]]\nname = \".a\"",
			[]string{`config.toml:1: topic[1].plugin: ".a" begins with a dot, and is never run; write the name of a file or folder in the plugin directory`}},
		{"group of two words", "[kafka]\ngroup = \"my workers\"",
			[]string{`config.toml:2: kafka.group: "my workers" is not a group's name; write up to 200 characters without spaces`}},
		{"endless group", "[kafka]\ngroup = \"" + strings.Repeat("g", 201) + "\"",
			[]string{`config.toml:2: kafka.group: is too long; write up to 200 characters without spaces`}},
		{"empty instance id is none, another is a name", "[kafka]\ninstance_id = \"host 1\"\nclient_id = \"\"",
			[]string{
				`config.toml:2: kafka.instance_id: "host 1" is not a name that Kafka takes; write up to 249 of the characters A-Z a-z 0-9 . _ -`,
				`config.toml:3: kafka.client_id: is empty; write up to 249 of the characters A-Z a-z 0-9 . _ -`,
			}},
		{"plugin with a line break", "[[topic]]\nname = \"a\"\nplugin = \"a\\nb\"\nhandler = \"c\\td\"",
			[]string{
				`config.toml:3: topic[1].plugin: "a\nb" is not a plugin's name; write the name of a file or folder in the plugin directory`,
				`config.toml:4: topic[1].handler: "c\td" is not a handler's name; write a name that the plugin's Describe lists`,
			}},
		{"endless value", "[log]\nlevel = \"" + strings.Repeat("é", 100) + "\"",
			[]string{`config.toml:2: log.level: "` + strings.Repeat("é", 60) + `…" is not one of its values; write "trace", "debug", "info", "warn" or "error"`}},
		{"embedded broker without port", "[embedded]\nlisten = \"localhost\"",
			[]string{`config.toml:2: embedded.listen: "localhost" is not host:port; write it as in "127.0.0.1:19092"`}},
		{"empty group", "[kafka]\ngroup = \"\"",
			[]string{`config.toml:2: kafka.group: is empty; write up to 200 characters without spaces`}},
		{"broker without port", "[kafka]\nbrokers = [\"b1:9092\", \"b2\"]",
			[]string{`config.toml:2: kafka.brokers[2]: "b2" is not host:port; write it as in "broker1:9092", or "embedded" alone`}},
		{"broker as URL with a password", "[kafka]\nbrokers = [\"kafka://me:secret@b1:9092\"]",
			[]string{`config.toml:2: kafka.brokers[1]: user@host is not host:port; write it as in "broker1:9092", or "embedded" alone`}},
		{"port out of range", "[audit.cassandra]\nhosts = [\"c1:99999\"]",
			[]string{`config.toml:2: audit.cassandra.hosts[1]: "c1:99999" is not host:port; write it as in "localhost:9042"`}},
		{"no brokers", "[kafka]\nbrokers = []",
			[]string{`config.toml:2: kafka.brokers: is empty; write at least one`}},
		{"the same broker twice", "[kafka]\nbrokers = [\"a:1\", \"a:1\"]",
			[]string{`config.toml:2: kafka.brokers[2]: is the same as kafka.brokers[1]; leave one out`}},
		{"embedded broker for all", "[embedded]\nlisten = \"0.0.0.0:19092\"",
			[]string{`config.toml:2: embedded.listen: "0.0.0.0:19092" is open to other machines; write a loopback address, as in "127.0.0.1:19092"`}},
		{"admin without port", "[admin]\nlisten = \"localhost\"",
			[]string{`config.toml:2: admin.listen: "localhost" is not host:port; write it as in "127.0.0.1:9464", or "off"`}},
		{"home folder", "[plugins]\ndir = \"~/plugins\"",
			[]string{`config.toml:2: plugins.dir: "~/plugins" begins with ~, which only a shell knows; write the folder out`}},
		{"empty folder", "[plugins]\ndir = \"\"",
			[]string{`config.toml:2: plugins.dir: "" is not a folder's path; write a path; a relative one begins at this file's folder`}},
		{"variable with its value", "[plugins]\nenv = [\"A=b\"]",
			[]string{`config.toml:2: plugins.env[1]: "A=b" is not the name of an environment variable; write names alone, as in ["HTTPS_PROXY"]`}},
		{"keyspace in upper case", "[audit.cassandra]\nkeyspace = \"Messaging\"",
			[]string{`config.toml:2: audit.cassandra.keyspace: "Messaging" is not a keyspace's name; write up to 48 of the characters a-z 0-9 _, a letter first`}},
		{"statement in the replication map", "[audit.cassandra]\nreplication = \"{'class': 'X'}; DROP KEYSPACE y\"",
			[]string{`config.toml:2: audit.cassandra.replication: "{'class': 'X'}; DROP KEYSPACE y" is not a replication map; write it as in "{'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"`}},

		// secrets
		{"key written out", "[encryption]\nkey = \"" + strings.Repeat("ab", 32) + "\"",
			[]string{`config.toml:2: encryption.key: is not a reference to a key; write "env:NAME" or "file:PATH"`}},
		{"key as the name of a variable", "[encryption]\nkey = \"env:" + strings.Repeat("ab", 32) + "\"",
			[]string{`config.toml:2: encryption.key: is a key, not a reference to one; write "env:NAME" or "file:PATH"`}},
		{"key written out among several", "[encryption]\nopen = [\"env:A\",\n\"" + strings.Repeat("ab", 32) + "\"]",
			[]string{`config.toml:3: encryption.open[2]: is not a reference to a key; write "env:NAME" or "file:PATH"`}},
		{"empty key among several", "[encryption]\nopen = [\"\"]",
			[]string{`config.toml:2: encryption.open[1]: is empty; write "env:NAME" or "file:PATH"`}},
		{"no variable's name", "[encryption]\nkey = \"env:MY KEY\"",
			[]string{`config.toml:2: encryption.key: what follows env: is not the name of an environment variable; write it as in "env:KAFKA_PASSWORD"`}},
		{"no file's name", "[encryption]\nkey = \"file:\"",
			[]string{`config.toml:2: encryption.key: what follows file: is not a path; write it as in "file:kafka.password"`}},

		// what is missing
		{"topic without name", "[[topic]]\nplugin = \"a\"",
			[]string{`config.toml:1: topic[1].name: is missing; write the topic's name, as in name = "calculate"`}},
		{"empty name", "[[topic]]\nname = \"\"",
			[]string{`config.toml:2: topic[1].name: is empty; write the topic's name, as in name = "calculate"`}},
		{"empty login", "[kafka]\nbrokers = [\"b:1\"]\n[kafka.sasl]",
			[]string{
				`config.toml:3: kafka.sasl.mechanism: is missing; write "SCRAM-SHA-512", "SCRAM-SHA-256" or "PLAIN"`,
				`config.toml:3: kafka.sasl.username: is missing; write the user to log in as`,
				`config.toml:3: kafka.sasl.password: is missing; write "env:NAME" or "file:PATH"`,
			}},
		{"Cassandra nowhere", "[audit]\nstore = \"cassandra\"",
			[]string{`config.toml:1: audit.cassandra.hosts: is missing; write where Cassandra listens, as in ["127.0.0.1:9042"]`}},
		{"certificate without key", "[kafka]\nbrokers = [\"b:1\"]\n[kafka.tls]\ncert = \"a.pem\"",
			[]string{`config.toml:3: kafka.tls.key: is missing; write the path of the certificate's key, or leave cert out`}},
		{"key without certificate", "[audit.cassandra]\ntls = {key = \"a.pem\"}",
			[]string{`config.toml:2: audit.cassandra.tls.cert: is missing; write the path of the key's certificate, or leave key out`}},
		{"user without password", "[audit.cassandra]\nusername = \"a\"",
			[]string{`config.toml:1: audit.cassandra.password: is missing; write "env:NAME" or "file:PATH", or leave username out`}},
		{"password without user", "[audit.cassandra]\npassword = \"env:A\"",
			[]string{`config.toml:1: audit.cassandra.username: is missing; write the user to log in as, or leave password out`}},

		// conflicts
		{"topic twice", "[[topic]]\nname = \"a\"\n[[topic]]\nname = \"b\"\n[[topic]]\nname = \"a\"",
			[]string{`config.toml:6: topic[3].name: "a" is the name of topic[1] too; write each topic once`}},
		{"topics that Kafka takes for one", "[[topic]]\nname = \"a.b\"\n[[topic]]\nname = \"a_b\"",
			[]string{`config.toml:4: topic[2].name: "a_b" and topic[1].name are the same to Kafka, which takes . for _; write another name`}},
		{"reply topic for requests", "[[topic]]\nname = \"rr.replies\"",
			[]string{`config.toml:2: topic[1].name: "rr.replies" is a reply topic; write another name here or in [replies]`}},
		{"allowed reply topic for requests", "[replies]\nallow = [\"rr.replies\", \"a\"]\n[[topic]]\nname = \"a\"",
			[]string{`config.toml:4: topic[1].name: "a" is a reply topic; write another name here or in [replies]`}},
		{"reply topic that is not allowed", "[replies]\ntopic = \"r\"\nallow = [\"s\"]",
			[]string{`config.toml:3: replies.allow: lacks the reply topic "r"; list it too`}},
		{"embedded among others", "[kafka]\nbrokers = [\"b1:9092\", \"embedded\"]",
			[]string{`config.toml:2: kafka.brokers[2]: "embedded" stands beside addresses; write ["embedded"] alone, or addresses alone`}},
		{"login to the embedded broker", "[kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"a\"\npassword = \"env:A\"",
			[]string{`config.toml:1: kafka.sasl: is not for the embedded broker; leave it out, or write the addresses of real brokers`}},
		{"drain as long as the rebalance", "[host]\ndrain_timeout = \"60s\"",
			[]string{`config.toml:2: host.drain_timeout: "1m" is not below rebalance_timeout ("1m"); write a shorter one, or a longer rebalance_timeout`}},
		{"a wrong timeout is not in conflict too", "[host]\ndrain_timeout = \"90s\"\nrebalance_timeout = 120",
			[]string{`config.toml:3: host.rebalance_timeout: 120 is a bare number; write "120s"`}},
		{"no room for a payload", "[host]\nmax_inflight_bytes = \"512KiB\"",
			[]string{`config.toml:2: host.max_inflight_bytes: "512KiB" has no room for one payload of max_payload (1000000); write a larger one`}},
		{"a payload beyond Kafka's requests", "[host]\nmax_payload = \"65MiB\"\nmax_inflight_bytes = \"1GiB\"",
			[]string{`config.toml:2: host.max_payload: "65MiB" is too large; write a size up to "64MiB"`}},
		{"control topic for requests", "[discovery]\ntopic = \"a\"\n[[topic]]\nname = \"a\"",
			[]string{`config.toml:2: discovery.topic: "a" is a request topic; write another name`}},
		{"control topic for replies", "[discovery]\ntopic = \"rr.replies\"",
			[]string{`config.toml:2: discovery.topic: "rr.replies" is a reply topic; write another name`}},
		{"data among plugins", "[embedded]\ndir = \"plugins/data\"",
			[]string{`config.toml:2: embedded.dir: is in the plugin directory; write a folder of its own`}},
		{"one address twice", "[admin]\nlisten = \"127.0.0.1:19092\"",
			[]string{`config.toml:1: embedded.listen: "127.0.0.1:19092" is the address of [admin] too; write another port`}},
		{"secret for plugins", "[plugins]\nenv = [\"HTTPS_PROXY\", \"ENCRYPTION_KEY\", \"CQL_PW\"]\n[audit.cassandra]\nusername = \"a\"\npassword = \"env:CQL_PW\"",
			[]string{
				`config.toml:2: plugins.env[2]: ENCRYPTION_KEY holds a secret of the host; leave it out`,
				`config.toml:2: plugins.env[3]: CQL_PW holds a secret of the host; leave it out`,
			}},

		// plugins' own sections
		{"plugin's key outside of config", "[plugin.a]\nrate = 1",
			[]string{`config.toml:2: plugin.a.rate: is not a key of [plugin.a]; known there are instances, user, memory, millicpus, open_files, config; what is the plugin's own goes into [plugin.a.config]`}},
		{"plugin without a table", "[plugin]\na = 1",
			[]string{`config.toml:2: plugin.a: is a number, not a table; write [plugin.a], and its keys below it`}},
		{"config that is no table", "[plugin.a]\nconfig = 1",
			[]string{`config.toml:2: plugin.a.config: is a number, not a table; write [plugin.a.config], and its keys below it`}},
		{"section of a hidden plugin", "[plugin.\".a\".config]\nb = 1",
			[]string{`config.toml:1: plugin.".a": ".a" begins with a dot, and is never run; write the name of a file or folder in the plugin directory`}},
		{"misspelled plugin", "[[topic]]\nname = \"calculate\"\n[plugin.calcluate.config]\nb = 1",
			[]string{`config.toml:3: plugin.calcluate: no topic names a plugin "calcluate"; did you mean calculate?`}},

		// syntax: alone, whatever else is wrong
		{"no quotes", "[log]\ncolour = 1\nlevel = loud\n",
			[]string{`config.toml:3: unexpected character U+006C 'l' at start of value; write text in quotes`}},
		{"open string", "[log]\nlevel = \"info\nformat = 3",
			[]string{`config.toml:2: basic strings cannot have new lines`}},
		{"open list", "[kafka]\nbrokers = [\"a:1\"\n",
			[]string{`config.toml:2: array is incomplete`}},
		{"key twice", "[log]\nlevel = \"info\"\n\nlevel = \"warn\"",
			[]string{`config.toml:4: Key 'log.level' has already been defined; write it once`}},
		{"section twice", "[log]\nlevel = \"info\"\n[admin]\n[log]",
			[]string{`config.toml:4: Key 'log' has already been defined; write it once`}},
		{"number that no type holds", "[encryption]\nkey = 99999999999999999999999",
			[]string{`config.toml:2: is not valid TOML; write text in quotes, and check numbers and dates`}},
		{"date that is none", "[log]\nlevel = 2024-99-99",
			[]string{`config.toml:2: is not valid TOML; write text in quotes, and check numbers and dates`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := faultsOf(t, tt.text); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("of\n%s\ngot\n%s\nwant\n%s", tt.text, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// Ten mistakes of meaning in one valid file come in one run, by line.
func TestTenMistakes(t *testing.T) {
	got := faultsOf(t, `# ten mistakes
[kafka]
brokers = ["b1:9092", "b2"]
Group = "workers"
rebalance = "lazy"

[[topic]]
name = "calculate"
timeout = 30

[[topic]]
name = "echo"
concurrency = "64"
timeout = 60

[[topic]]
name = "echo"

[host]
drain_timeout = "90s"

[audit]
store = "cassandra"

[audit.cassandra]
keyspace = "Trail"
`)
	want := []string{
		`config.toml:3: kafka.brokers[2]: "b2" is not host:port; write it as in "broker1:9092", or "embedded" alone`,
		`config.toml:4: kafka.Group: is not a key of [kafka]; did you mean group?`,
		`config.toml:5: kafka.rebalance: "lazy" is not one of its values; write "cooperative" or "eager"`,
		`config.toml:9: topic[1].timeout: 30 is a bare number; write "30s"`,
		`config.toml:13: topic[2].concurrency: "64" is not a whole number; write 64 without quotes`,
		`config.toml:14: topic[2].timeout: 60 is a bare number; write "60s"`,
		`config.toml:17: topic[3].name: "echo" is the name of topic[2] too; write each topic once`,
		`config.toml:20: host.drain_timeout: "1m30s" is not below rebalance_timeout ("1m"); write a shorter one, or a longer rebalance_timeout`,
		`config.toml:25: audit.cassandra.hosts: is missing; write where Cassandra listens, as in ["127.0.0.1:9042"]`,
		`config.toml:26: audit.cassandra.keyspace: "Trail" is not a keyspace's name; write up to 48 of the characters a-z 0-9 _, a letter first`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The same file written with inline tables, dotted keys, Windows line ends and
// a byte order mark is the same configuration.
func TestParse(t *testing.T) {
	yes, no := true, false
	want := Config{
		Kafka: Kafka{
			Brokers: []string{"b1:9092", "[::1]:9092"}, CreateTopics: &no, ReplicationFactor: 3,
			TLS:  &TLS{CA: "ca.pem"},
			SASL: &SASL{Mechanism: "PLAIN", Username: "u", Password: "env:P"},
		},
		Encryption: Encryption{Open: []Secret{"file:a", "env:B"}},
		Topics:     []Topic{{Name: "a", Timeout: 1500 * time.Millisecond}, {Name: "b", Plugin: "a", Handler: "b"}},
		Audit:      Audit{Store: "cassandra", Cassandra: Cassandra{Hosts: []string{"c:9042"}, Migrate: &yes}},
		Plugin:     map[string]Plugin{"a": {Config: map[string]any{"n": int64(1), "deep": map[string]any{"l": []any{1.5, true}}}}},
		Embedded:   EmbeddedBroker{RetentionBytes: 5 << 20},
		Host:       Host{MaxPayload: 2000, MaxInflightBytes: 2 << 30},
		Admin:      Admin{Listen: ":0"},
		Dir:        "etc",
	}.WithDefaults()
	tables := `[kafka]
brokers = ["b1:9092", "[::1]:9092"]
create_topics = false
replication_factor = 3
[kafka.tls]
ca = "ca.pem"
[kafka.sasl]
mechanism = "PLAIN"
username = "u"
password = "env:P"
[encryption]
open = ["file:a", "env:B"]
[[topic]]
name = "a"
timeout = "1.5s"
[[topic]]
name = "b"
plugin = "a"
handler = "b"
[audit]
store = "cassandra"
cassandra.hosts = ["c:9042"]
cassandra.migrate = true
[plugin.a.config]
n = 1
[plugin.a.config.deep]
l = [1.5, true]
[embedded]
retention_bytes = "5 MiB"
[host]
max_payload = 2_000
max_inflight_bytes = "2GiB"
[admin]
listen = ":0"
`
	inline := `kafka = {brokers = ["b1:9092", "[::1]:9092"], create_topics = false, replication_factor = 3, tls = {ca = "ca.pem"}, sasl = {mechanism = 'PLAIN', username = "u", password = "env:P"}}
encryption.open = ["file:a", "env:B"]
topic = [{name = "a", timeout = "1500ms"}, {name = "b", plugin = "a", handler = "b"}]
audit = {store = "cassandra", cassandra = {hosts = ["c:9042"], migrate = true}}
plugin.a.config = {n = 1, deep.l = [1.5, true]}
embedded.retention_bytes = 5242880
host = {max_payload = 2000, max_inflight_bytes = "2048MiB"}
admin.listen = ":0"`
	for name, text := range map[string]string{
		"tables": tables, "inline": inline,
		"windows": "\ufeff" + strings.ReplaceAll(tables, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse("etc/config.toml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			got.source = nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestPlace(t *testing.T) {
	c, err := Parse("etc/config.toml", []byte("[[topic]]\nname = \"a\"\n[plugin.a.config]\nrate = { \"odd key\" = 1 }\nlist = [\n  1,\n  2]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for want, keys := range map[string][]string{
		"etc/config.toml:3": {"plugin", "a", "config", "missing"},
		"etc/config.toml:4": {"plugin", "a", "config", "rate", "odd key"},
		"etc/config.toml:5": {"plugin", "a", "config", "list"},
		"etc/config.toml:1": {"nothing"},
	} {
		if got := c.Place(keys...); got != want {
			t.Errorf("%v: %s, want %s", keys, got, want)
		}
	}
	if got := (Config{}).Place("plugin"); got != "" {
		t.Errorf("without a file: %s", got)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	if _, err := Load(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of no file: %v", err)
	}
	if err := os.WriteFile(file, []byte("[log]\nlevel = 'warn'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != "warn" || c.Path("data") != filepath.Join(dir, "data") || c.Path("/a") != "/a" {
		t.Errorf("Load = %+v", c)
	}
	if err := os.WriteFile(file, []byte("\nlog = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(file)
	if want := file + ":2: log: is a number, not a table; write [log], and its keys below it"; err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
	var f Fault
	if !errors.As(err, &f) || f.Line != 2 || f.Key != "log" {
		t.Errorf("the error's fault is %+v", f)
	}
}
