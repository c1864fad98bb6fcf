// Package testservices gives tests a real Apache Kafka and a real Apache
// Cassandra, on loopback, without Docker.
//
// [Kafka], [KafkaSecure] and [Cassandra] are shared: by every test of one
// process, and by every package where scripts/services/with.sh started them
// (make test does). So a test uses topic, group and keyspace names of its own.
// [StartKafka] and [StartCassandra] are a test's own, to be stopped and killed.
//
// Environment:
//
//	RRHOST_TEST_FAST=1            skip every test that asks for a service, or is [Long]
//	RRHOST_TEST_KAFKA             bootstrap addresses to use instead of an own Kafka
//	RRHOST_TEST_KAFKA_SECURE      bootstrap addresses of TLS with SCRAM-SHA-512; with these three:
//	RRHOST_TEST_KAFKA_USER
//	RRHOST_TEST_KAFKA_PASSWORD
//	RRHOST_TEST_KAFKA_CA          PEM file
//	RRHOST_TEST_CASSANDRA         host:port to use instead of an own Cassandra
//	RRHOST_TEST_KEEP=1            keep the folders of own services, with their logs
//	RRHOST_CACHE                  where jars are kept; default .cache in the repository
//
// A service ends with the process that started it, in whatever way that ends:
// its script holds the other end of a pipe. No goroutine watches it, so leak
// checks see nothing of it.
package testservices

import (
	"os"
	"sync"
	"testing"
)

// Secure is how to reach a Kafka over TLS with a login. The mechanism is
// SCRAM-SHA-512; own brokers take SCRAM-SHA-256 and PLAIN too.
type Secure struct {
	Bootstrap string // host:port, comma separated
	CA        string // PEM file
	User      string
	Password  string
}

// Kafka returns the bootstrap addresses of a shared Kafka of one node, which
// asks for no login and creates no topic by itself.
func Kafka(t testing.TB) string {
	t.Helper()
	skipFast(t)
	if given := os.Getenv("RRHOST_TEST_KAFKA"); given != "" {
		return given
	}
	return shared(t, sharedKafka)["KAFKA_BOOTSTRAP"]
}

// KafkaSecure returns the secure side of the shared Kafka.
func KafkaSecure(t testing.TB) Secure {
	t.Helper()
	skipFast(t)
	if given := os.Getenv("RRHOST_TEST_KAFKA_SECURE"); given != "" {
		return Secure{
			Bootstrap: given,
			CA:        os.Getenv("RRHOST_TEST_KAFKA_CA"),
			User:      os.Getenv("RRHOST_TEST_KAFKA_USER"),
			Password:  os.Getenv("RRHOST_TEST_KAFKA_PASSWORD"),
		}
	}
	return secureOf(shared(t, sharedKafka))
}

// Cassandra returns host:port of a shared Cassandra of one node, which asks
// for no login.
func Cassandra(t testing.TB) string {
	t.Helper()
	skipFast(t)
	if given := os.Getenv("RRHOST_TEST_CASSANDRA"); given != "" {
		return given
	}
	return shared(t, sharedCassandra)["CASSANDRA_ADDRESS"]
}

// What the tests of this process share. Nothing closes them: they end with it.
var (
	sharedKafka     = sync.OnceValues(func() (*service, error) { return start("kafka", "--tls") })
	sharedCassandra = sync.OnceValues(func() (*service, error) { return start("cassandra") })
)

func shared(t testing.TB, get func() (*service, error)) map[string]string {
	t.Helper()
	s, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return s.settings
}

func secureOf(settings map[string]string) Secure {
	return Secure{
		Bootstrap: settings["KAFKA_SECURE_BOOTSTRAP"],
		CA:        settings["KAFKA_CA"],
		User:      settings["KAFKA_USER"],
		Password:  settings["KAFKA_PASSWORD"],
	}
}

// Long skips a test that takes its time, or all of two processors, where
// RRHOST_TEST_FAST=1 asks for quick ones. What it tests has a quick test too, or is
// for the full run.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("RRHOST_TEST_FAST") == "1" {
		t.Skip("takes its time, and RRHOST_TEST_FAST=1 asks for quick tests")
	}
}

func skipFast(t testing.TB) {
	t.Helper()
	if os.Getenv("RRHOST_TEST_FAST") == "1" {
		t.Skip("needs a real service, and RRHOST_TEST_FAST=1 asks for tests that need Go alone")
	}
}
