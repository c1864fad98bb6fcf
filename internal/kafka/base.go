// Package kafka turns the [kafka] section of the configuration into sarama as
// rrhost needs it: connections, producers, consumer groups and topics. It is
// the one place where host, client and audit get them from.
//
// It sets none of sarama's package-level variables: those belong to programs.
package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"rrhost/config"
	"rrhost/internal/hint"
)

// EmbeddedUser is who logs in to the embedded broker.
const EmbeddedUser = "rrhost"

// PasswordFile is the name of the file in the embedded broker's data folder
// that holds the password of [EmbeddedUser]. The broker writes it.
const PasswordFile = "broker.password"

// version is what sarama speaks: old enough for brokers still in use, new
// enough for reasons in JoinGroup (3.2). A newer broker understands it.
var version = sarama.V3_6_0_0

// Base returns the brokers of cfg and the settings that every connection to
// them shares: identity, TLS, login and bounds. Topics are never created by
// merely naming them, and metadata is fetched only for topics in use.
//
// With the embedded broker it fails with [ErrNoHost] when no host has been
// started on the data folder yet.
func Base(cfg config.Config) (*sarama.Config, []string, error) {
	cfg = cfg.WithDefaults()
	c := sarama.NewConfig()
	c.Version = version
	c.ClientID = cfg.Kafka.ClientID
	c.MetricRegistry = noMetrics{}
	c.ChannelBufferSize = 1024

	c.Net.DialTimeout = 5 * time.Second
	c.Net.KeepAlive = 30 * time.Second
	// One request at a time on a connection: what the idempotent producer asks
	// for, and consumers do by themselves.
	c.Net.MaxOpenRequests = 1

	c.Metadata.Full = false
	c.Metadata.AllowAutoTopicCreation = false
	c.Metadata.RefreshFrequency = 2 * time.Minute
	// About 2 s in all: what a leader election usually takes. A topic that does
	// not exist is told after it.
	c.Metadata.Retry.Max = 6
	c.Metadata.Retry.BackoffFunc = func(retries, _ int) time.Duration {
		return backoff(retries, 100*time.Millisecond, 500*time.Millisecond)
	}
	c.Admin.Timeout = 10 * time.Second

	if cfg.IsEmbedded() {
		password, err := embeddedPassword(cfg)
		if err != nil {
			return nil, nil, err
		}
		c.Net.DialTimeout = 500 * time.Millisecond
		if err := login(c, "SCRAM-SHA-256", EmbeddedUser, password); err != nil {
			return nil, nil, err
		}
		return c, []string{embeddedAddress(cfg)}, nil
	}

	if cfg.Kafka.TLS != nil {
		t, err := tlsConfig(cfg, *cfg.Kafka.TLS)
		if err != nil {
			return nil, nil, err
		}
		c.Net.TLS.Enable, c.Net.TLS.Config = true, t
	}
	if s := cfg.Kafka.SASL; s != nil {
		password, err := s.Password.Resolve(cfg.Dir)
		if err != nil {
			return nil, nil, fmt.Errorf("kafka.sasl.password: %w", err)
		}
		if err := login(c, s.Mechanism, s.Username, password); err != nil {
			return nil, nil, fmt.Errorf("kafka.sasl.mechanism: %w", err)
		}
	}
	return c, cfg.Kafka.Brokers, nil
}

// backoff is first, doubled with every retry after the first, at most most.
func backoff(retries int, first, most time.Duration) time.Duration {
	d := first
	for ; retries > 1 && d < most; retries-- {
		d *= 2
	}
	return min(d, most)
}

// embeddedAddress is where the embedded broker of cfg is dialled: a listener
// on all interfaces is reached on loopback.
func embeddedAddress(cfg config.Config) string {
	host, port, err := net.SplitHostPort(cfg.Embedded.Listen)
	if err != nil {
		return cfg.Embedded.Listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func embeddedPassword(cfg config.Config) (string, error) {
	path := cfg.Path(filepath.Join(cfg.Embedded.Dir, PasswordFile))
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", noHost(cfg)
	case err != nil:
		return "", hint.File(fmt.Errorf("read the embedded broker's password: %w", err))
	}
	return strings.TrimSpace(string(text)), nil
}

func tlsConfig(cfg config.Config, t config.TLS) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(cfg.Path(t.CA))
		if err != nil {
			return nil, hint.File(fmt.Errorf("kafka.tls.ca: %w", err))
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca: %s holds no PEM certificate", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("kafka.tls: cert and key go together")
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.Path(t.Cert), cfg.Path(t.Key))
		if err != nil {
			return nil, hint.File(fmt.Errorf("kafka.tls.cert: %w", err))
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
