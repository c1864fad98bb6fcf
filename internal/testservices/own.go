package testservices

import (
	"strconv"
	"testing"
	"time"

	"github.com/gocql/gocql"
)

// A KafkaCluster is one test's own Kafka. Its nodes are numbered from 1, and
// each is broker and controller. With three nodes, topics have three replicas
// of which two must be in sync.
type KafkaCluster struct {
	// Bootstrap is host:port of every node, comma separated.
	Bootstrap string
	// Secure is the same nodes over TLS with a login.
	Secure Secure

	t testing.TB
	s *service
}

// StartKafka starts a cluster for t, which ends with t.
func StartKafka(t testing.TB, nodes int) *KafkaCluster {
	t.Helper()
	s := startOwn(t, "kafka", "--tls", "--nodes", strconv.Itoa(nodes))
	return &KafkaCluster{Bootstrap: s.settings["KAFKA_BOOTSTRAP"], Secure: secureOf(s.settings), t: t, s: s}
}

// Kill ends a node as a power cut would, and returns when its process is gone.
func (k *KafkaCluster) Kill(node int) {
	k.t.Helper()
	do(k.t, k.s, "kill", strconv.Itoa(node))
}

// StopNode ends a node in order: it hands its partitions over before.
func (k *KafkaCluster) StopNode(node int) {
	k.t.Helper()
	do(k.t, k.s, "stop", strconv.Itoa(node))
}

// StartNode starts a node again, on its port and data, and returns when all
// started nodes serve.
func (k *KafkaCluster) StartNode(node int) {
	k.t.Helper()
	do(k.t, k.s, "startnode", strconv.Itoa(node))
	do(k.t, k.s, "wait")
}

// A Node is one test's own Cassandra.
type Node struct {
	Address  string // host:port
	User     string // empty unless [WithLogin]
	Password string
	CA       string // PEM file; empty unless [WithTLS]

	t testing.TB
	s *service
}

// A CassandraOption changes what [StartCassandra] starts.
type CassandraOption string

// WithLogin asks every client for user and password.
const WithLogin CassandraOption = "--auth"

// WithTLS takes connections over TLS alone.
const WithTLS CassandraOption = "--tls"

// StartCassandra starts a node for t, which ends with t.
func StartCassandra(t testing.TB, options ...CassandraOption) *Node {
	t.Helper()
	var arguments []string
	for _, option := range options {
		arguments = append(arguments, string(option))
	}
	s := startOwn(t, "cassandra", arguments...)
	n := &Node{
		Address:  s.settings["CASSANDRA_ADDRESS"],
		User:     s.settings["CASSANDRA_USER"],
		Password: s.settings["CASSANDRA_PASSWORD"],
		CA:       s.settings["CASSANDRA_CA"],
		t:        t,
		s:        s,
	}
	n.awaitLogin()
	return n
}

// Stop ends the node in order, and returns when its process is gone.
func (n *Node) Stop() {
	n.t.Helper()
	do(n.t, n.s, "stop")
}

// Kill ends the node as a power cut would.
func (n *Node) Kill() {
	n.t.Helper()
	do(n.t, n.s, "kill")
}

// Start starts a stopped node again, on its port and data, and returns when it
// serves.
func (n *Node) Start() {
	n.t.Helper()
	do(n.t, n.s, "start")
	do(n.t, n.s, "wait")
	n.awaitLogin()
}

// awaitLogin returns once a login works: the first role may come after the
// port is open.
func (n *Node) awaitLogin() {
	n.t.Helper()
	if n.User == "" {
		return
	}
	cluster := gocql.NewCluster(n.Address)
	cluster.NumConns = 1 // gocql leaves a goroutine behind when it is closed while it connects more
	cluster.ConnectTimeout = 10 * time.Second
	cluster.Authenticator = gocql.PasswordAuthenticator{Username: n.User, Password: n.Password}
	if n.CA != "" {
		cluster.SslOpts = &gocql.SslOptions{CaPath: n.CA}
	}
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var session *gocql.Session
		if session, err = cluster.CreateSession(); err == nil {
			session.Close()
			return
		}
	}
	n.t.Fatalf("no login to %s after 30 s: %v", n.Address, err)
}

func startOwn(t testing.TB, name string, options ...string) *service {
	t.Helper()
	skipFast(t)
	s, err := start(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func do(t testing.TB, s *service, verb string, arguments ...string) {
	t.Helper()
	if err := s.do(verb, arguments...); err != nil {
		t.Fatal(err)
	}
}
