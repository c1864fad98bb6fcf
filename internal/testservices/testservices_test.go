package testservices

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("TESTSERVICES_CHILD") != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestSharedKafka(t *testing.T) {
	listTopics(t, kgo.SeedBrokers(strings.Split(Kafka(t), ",")...))
}

func TestSharedKafkaOverTLSWithLogin(t *testing.T) {
	listTopics(t, secureOptions(t, KafkaSecure(t))...)
}

func TestSharedByConcurrentTests(t *testing.T) {
	skipFast(t) // here, for a skip ends only its own goroutine
	var wg sync.WaitGroup
	addresses := make([]string, 8)
	for i := range addresses {
		wg.Go(func() { addresses[i] = Kafka(t) })
	}
	wg.Wait()
	for _, address := range addresses {
		if address == "" || address != addresses[0] {
			t.Errorf("addresses %q, want one and the same", addresses)
		}
	}
}

func TestSharedCassandra(t *testing.T) {
	if v := version(t, gocql.NewCluster(Cassandra(t))); !strings.HasPrefix(v, "5.") {
		t.Errorf("release %q, want 5.x", v)
	}
}

func TestOwnKafkaLosesANode(t *testing.T) {
	k := StartKafka(t, 3)
	client := newClient(t, secureOptions(t, k.Secure)...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 3, -1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	produce := func(value string) {
		t.Helper()
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce("before")
	k.Kill(2)
	produce("without node 2")
	k.StartNode(2)
	k.StopNode(1)
	produce("without node 1")
	k.StartNode(1)
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	if total != 3 {
		t.Errorf("%d records, want 3", total)
	}
}

func TestOwnCassandraComesBackWithItsData(t *testing.T) {
	n := StartCassandra(t, WithLogin, WithTLS)
	cluster := gocql.NewCluster(n.Address)
	cluster.Authenticator = gocql.PasswordAuthenticator{Username: n.User, Password: n.Password}
	cluster.SslOpts = &gocql.SslOptions{Config: tlsConfig(t, n.CA)}
	exec := func(statement string) {
		t.Helper()
		session := connect(t, cluster)
		defer session.Close()
		if err := session.Query(statement).Exec(); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	exec("CREATE TABLE k.t (a int PRIMARY KEY)")
	exec("INSERT INTO k.t (a) VALUES (7)")

	n.Stop()
	if conn, err := net.DialTimeout("tcp", n.Address, time.Second); err == nil {
		conn.Close()
		t.Error("still serves after Stop")
	}
	n.Start()
	n.Kill()
	n.Start()

	session := connect(t, cluster)
	defer session.Close()
	var a int
	if err := session.Query("SELECT a FROM k.t").Scan(&a); err != nil || a != 7 {
		t.Errorf("read %d, %v; want 7", a, err)
	}
}

// A test process that is killed takes its services along: here it is the test
// binary once more, which starts one, says where, and waits to be killed.
func TestEndsWithItsProcess(t *testing.T) {
	skipFast(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TESTSERVICES_CHILD=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 512)
	n, err := out.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	dir, address, _ := strings.Cut(strings.TrimSpace(string(said[:n])), " ")
	if conn, err := net.Dial("tcp", address); err != nil {
		t.Fatal(err)
	} else {
		conn.Close()
	}
	cmd.Process.Kill()
	cmd.Wait()

	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := os.Stat(dir)
		conn, dialErr := net.DialTimeout("tcp", address, time.Second)
		if dialErr == nil {
			conn.Close()
		}
		if os.IsNotExist(err) && dialErr != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("30 s after its process: folder %v, port %v; want both gone", err, dialErr)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func child() {
	s, err := start("kafka")
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(s.dir + " " + s.settings["KAFKA_BOOTSTRAP"] + "\n")
	select {}
}

func TestFastSkips(t *testing.T) {
	t.Setenv("RRHOST_TEST_FAST", "1")
	for name, ask := range map[string]func(testing.TB){
		"Kafka":          func(t testing.TB) { Kafka(t) },
		"KafkaSecure":    func(t testing.TB) { KafkaSecure(t) },
		"Cassandra":      func(t testing.TB) { Cassandra(t) },
		"StartKafka":     func(t testing.TB) { StartKafka(t, 1) },
		"StartCassandra": func(t testing.TB) { StartCassandra(t) },
		"Long":           Long,
	} {
		probe := &skipProbe{TB: t}
		done := make(chan struct{})
		go func() { // a skip ends its goroutine
			defer close(done)
			ask(probe)
		}()
		<-done
		if !strings.Contains(probe.said, "RRHOST_TEST_FAST") {
			t.Errorf("%s skips with %q, want the variable's name", name, probe.said)
		}
	}
}

func TestServiceThatDoesNotStartSaysWhy(t *testing.T) {
	_, err := start("kafka", "--no-such-option")
	if err == nil || !strings.Contains(err.Error(), "unknown option --no-such-option") {
		t.Errorf("start = %v, want what the script said", err)
	}
}

type skipProbe struct {
	testing.TB
	said string
}

func (p *skipProbe) Helper() {}

func (p *skipProbe) Skip(args ...any) {
	p.said, _ = args[0].(string)
	runtime.Goexit()
}

func listTopics(t *testing.T, options ...kgo.Opt) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := kadm.NewClient(newClient(t, options...)).ListTopics(ctx); err != nil {
		t.Fatal(err)
	}
}

func newClient(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func secureOptions(t *testing.T, s Secure) []kgo.Opt {
	t.Helper()
	return []kgo.Opt{
		kgo.SeedBrokers(strings.Split(s.Bootstrap, ",")...),
		kgo.DialTLSConfig(tlsConfig(t, s.CA)),
		kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()),
	}
}

func tlsConfig(t *testing.T, ca string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", ca)
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

func connect(t *testing.T, cluster *gocql.ClusterConfig) *gocql.Session {
	t.Helper()
	cluster.Timeout, cluster.ConnectTimeout = 20*time.Second, 20*time.Second
	cluster.NumConns = 1
	session, err := cluster.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func version(t *testing.T, cluster *gocql.ClusterConfig) (release string) {
	t.Helper()
	session := connect(t, cluster)
	defer session.Close()
	if err := session.Query("SELECT release_version FROM system.local").Scan(&release); err != nil {
		t.Fatal(err)
	}
	return release
}
