package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"rrhost/config"
	"rrhost/internal/testservices"
)

// certificate makes a self-signed one for 127.0.0.1 and kafka.test, and writes
// it with its key to dir.
func certificate(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		DNSNames: []string{"kafka.test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der2, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der2})
	for name, text := range map[string][]byte{"cert.pem": certPEM, "key.pem": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// One message there over TLS with each way to log in.
func TestSecureConnections(t *testing.T) {
	dir := t.TempDir()
	pair := certificate(t, dir)
	server := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	_, cfg := broker(t, kfake.TLS(server), kfake.EnableSASL(), kfake.SeedTopics(1, "t"),
		kfake.Superuser("PLAIN", "p", "secret"), kfake.Superuser("SCRAM-SHA-256", "s256", "secret"), kfake.Superuser("SCRAM-SHA-512", "s512", "secret"))
	cfg.Dir = dir
	cfg.Kafka.TLS = &config.TLS{CA: "cert.pem", Cert: "cert.pem", Key: "key.pem", ServerName: "kafka.test"}
	for mechanism, user := range map[string]string{"PLAIN": "p", "SCRAM-SHA-256": "s256", "SCRAM-SHA-512": "s512"} {
		t.Run(mechanism, func(t *testing.T) {
			cfg := cfg
			cfg.Kafka.SASL = &config.SASL{Mechanism: mechanism, Username: user, Password: "secret"}
			p := producer(t, cfg)
			r := newResults(t)
			p.Send(message("t", nil, []byte("v")), 0, r.done(0))
			r.all()
			if r.errs[0] != nil {
				t.Fatal(r.errs[0])
			}
			cfg.Kafka.SASL = &config.SASL{Mechanism: mechanism, Username: user, Password: "wrong"}
			_, err := NewProducer(cfg)
			if err == nil || strings.Contains(err.Error(), "wrong") {
				t.Errorf("with a wrong password: %v", err)
			}
		})
	}
	cfg.Kafka.TLS.ServerName = "elsewhere.test"
	cfg.Kafka.SASL = &config.SASL{Mechanism: "PLAIN", Username: "p", Password: "secret"}
	if _, err := NewProducer(cfg); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "elsewhere.test") {
		t.Errorf("another server's certificate: %v", err)
	}
}

// The embedded broker is reached with the password that it left in its folder.
func TestEmbeddedConnection(t *testing.T) {
	const password = "from the broker's file"
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.SeedTopics(1, "t"),
		kfake.Superuser("SCRAM-SHA-256", EmbeddedUser, password))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(cluster.ListenAddrs()[0])
	cfg := config.Config{Dir: dir, Embedded: config.EmbeddedBroker{Dir: "store", Listen: "0.0.0.0:" + port}}
	if _, _, err := Base(cfg); !errors.Is(err, ErrNoHost) || !strings.Contains(err.Error(), "127.0.0.1:"+port) {
		t.Errorf("before the broker was started: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "store", PasswordFile), []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	cluster.Close()
	took := testservices.Least(func() {
		if _, err := NewProducer(cfg); !errors.Is(err, ErrNoHost) {
			t.Errorf("after the broker stopped: %v", err)
		}
	})
	if took > time.Second {
		t.Errorf("after the broker stopped: told after %v", took)
	}
}

func TestBaseRefuses(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "empty.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		kafka config.Kafka
		want  string
	}{
		{config.Kafka{TLS: &config.TLS{CA: "missing.pem"}}, "kafka.tls.ca"},
		{config.Kafka{TLS: &config.TLS{CA: "empty.pem"}}, "holds no PEM certificate"},
		{config.Kafka{TLS: &config.TLS{Cert: "cert.pem"}}, "cert and key go together"},
		{config.Kafka{TLS: &config.TLS{Cert: "cert.pem", Key: "empty.pem"}}, "kafka.tls.cert"},
		{config.Kafka{SASL: &config.SASL{Mechanism: "GSSAPI", Password: "x"}}, "none of PLAIN"},
		{config.Kafka{SASL: &config.SASL{Mechanism: "PLAIN", Password: "env:RRHOST_TEST_NOT_SET"}}, "kafka.sasl.password"},
	}
	for _, tt := range tests {
		tt.kafka.Brokers = []string{"b:9092"}
		if _, _, err := Base(config.Config{Dir: dir, Kafka: tt.kafka}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want it to mention %q", tt.kafka, err, tt.want)
		}
	}
}

// The first bootstrap address is dead: the others serve.
func TestDeadBootstrap(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(1, "t"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	cfg.Kafka.Brokers = append([]string{dead, dead}, cfg.Kafka.Brokers...)
	producer(t, cfg)
	cfg.Kafka.Brokers = []string{dead}
	if _, err := NewProducer(cfg); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), dead) {
		t.Errorf("no broker: %v", err)
	}
}

// A login that is refused is told as such, with what to look at.
func TestRefusedLogin(t *testing.T) {
	b := sarama.NewMockBroker(t, 1)
	defer b.Close()
	b.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{
			{ApiKey: 3, MaxVersion: 5}, {ApiKey: 17, MaxVersion: 1}, {ApiKey: 36, MaxVersion: 1}, // Metadata, SaslHandshake, SaslAuthenticate
		}),
		"SaslHandshakeRequest":    sarama.NewMockSaslHandshakeResponse(t).SetEnabledMechanisms([]string{"PLAIN"}),
		"SaslAuthenticateRequest": sarama.NewMockSaslAuthenticateResponse(t).SetError(sarama.ErrSASLAuthenticationFailed),
	})
	cfg := config.Config{Kafka: config.Kafka{
		Brokers: []string{b.Addr()}, SASL: &config.SASL{Mechanism: "PLAIN", Username: "rrhost", Password: "open-sesame"},
	}}
	_, err := NewProducer(cfg)
	if !errors.Is(err, ErrLogin) || errors.Is(err, ErrUnreachable) || !strings.HasSuffix(err.Error(), "(hint: check username, password and mechanism in [kafka.sasl])") {
		t.Errorf("NewProducer = %v, want that the login was refused", err)
	}
}

func TestBackoff(t *testing.T) {
	var got []string
	for i := range 6 {
		got = append(got, fmt.Sprint(backoff(i, 50*time.Millisecond, 300*time.Millisecond)))
	}
	if text := strings.Join(got, " "); text != "50ms 50ms 100ms 200ms 300ms 300ms" {
		t.Errorf("backoff: %s", text)
	}
}

func TestClassify(t *testing.T) {
	tests := []struct {
		err  error
		want failure
	}{
		{sarama.ErrMessageSizeTooLarge, tooLarge},
		{sarama.ErrMessageSetSizeTooLarge, tooLarge},
		{sarama.ErrUnknownTopicOrPartition, missingTopic},
		{sarama.ErrNotLeaderForPartition, temporary},
		{fmt.Errorf("refresh: %w", sarama.ErrLeaderNotAvailable), temporary},
		{sarama.ErrOutOfBrokers, temporary},
		{io.EOF, temporary},
		{sarama.ErrTopicAuthorizationFailed, final},
		{sarama.ErrClosedClient, final},
		{sarama.ErrInvalidPartition, final},
		{sarama.ConfigurationError("too large"), misfit},
	}
	for _, tt := range tests {
		if got := classify(tt.err); got != tt.want {
			t.Errorf("classify(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}
