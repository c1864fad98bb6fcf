// Package cassandra is the audit store for many hosts.
//
// by_id has everything of a request in one partition. by_time has metadata by
// time bucket and shard, where the shard is the Kafka partition modulo the
// shard count: what one fetch of one partition brings goes to one Cassandra
// partition, as one batch. There is no secondary index, and on these two tables
// no delete, no update and no lightweight transaction; rows leave by their TTL.
package cassandra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/gocql/gocql"
	"github.com/scylladb/gocqlx/v2"

	"rrhost/config"
	"rrhost/internal/hint"
)

const (
	// requestTimeout is over Cassandra's own (2 s for a write, 5 s for a read),
	// so that its answer, which says more, comes first.
	requestTimeout = 11 * time.Second
	connectTimeout = 5 * time.Second
	// callTimeout bounds one call of the driver with its retries: this version
	// of the driver can execute a query without end.
	callTimeout = 30 * time.Second
)

var keyspaceName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`)

// keyspaceOf is the keyspace's name as Cassandra has it: the driver quotes it.
func keyspaceOf(cfg config.Config) string { return strings.ToLower(cfg.Audit.Cassandra.Keyspace) }

// connect opens a session; keyspace may be empty. The driver gives up when its
// first connections don't stand at once, also for a keyspace that was made a
// moment ago: so that is tried again.
func connect(ctx context.Context, cfg config.Config, keyspace string) (gocqlx.Session, error) {
	session, err := backoff.Retry(ctx, func() (gocqlx.Session, error) {
		c, err := cluster(cfg) // not shared: its policy is for one session
		if err != nil {
			return gocqlx.Session{}, backoff.Permanent(err)
		}
		c.Keyspace = keyspace
		session, err := gocqlx.WrapSession(c.CreateSession())
		if err == nil {
			return session, nil
		}
		err = fmt.Errorf("%w (hint: check hosts in [audit.cassandra], and username, password and tls)", err)
		if !errors.Is(err, gocql.ErrNoConnectionsStarted) {
			err = backoff.Permanent(err)
		}
		return session, err
	}, backoff.WithMaxTries(3))
	if err != nil {
		return gocqlx.Session{}, fmt.Errorf("cassandra %s: %w", strings.Join(cfg.Audit.Cassandra.Hosts, ", "), err)
	}
	return session, nil
}

func cluster(cfg config.Config) (*gocql.ClusterConfig, error) {
	s := cfg.Audit.Cassandra
	if !keyspaceName.MatchString(s.Keyspace) {
		return nil, errors.New("the keyspace's name is a letter followed by letters, digits and _, at most 48")
	}
	c := gocql.NewCluster(s.Hosts...)
	c.ProtoVersion = 4 // what unset values need; the driver has no newer one
	c.Timeout, c.WriteTimeout, c.ConnectTimeout = requestTimeout, requestTimeout, connectTimeout
	c.Logger = quiet{}
	c.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: 3}
	c.DefaultIdempotence = true // what is not says so itself
	c.PageSize = pageSize
	c.SerialConsistency = gocql.LocalSerial
	if s.Consistency != "" {
		level, err := gocql.ParseConsistencyWrapper(s.Consistency)
		if err != nil {
			return nil, fmt.Errorf("consistency: %w", err)
		}
		c.Consistency = level
	} else {
		c.Consistency = gocql.LocalQuorum
	}
	// Peers are expected on the port of the first host.
	if len(s.Hosts) > 0 {
		if _, port, err := net.SplitHostPort(s.Hosts[0]); err == nil {
			if c.Port, err = strconv.Atoi(port); err != nil {
				return nil, fmt.Errorf("port of %s: %w", s.Hosts[0], err)
			}
		}
	}
	near := gocql.RoundRobinHostPolicy()
	if s.LocalDatacenter != "" {
		near = gocql.DCAwareRoundRobinPolicy(s.LocalDatacenter)
	}
	c.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(near)
	if s.Username != "" {
		password, err := s.Password.Resolve(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
		c.Authenticator = gocql.PasswordAuthenticator{Username: s.Username, Password: password}
	}
	if t := s.TLS; t != nil {
		c.SslOpts = &gocql.SslOptions{Config: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}}
		for _, f := range []struct {
			key, path string
			to        *string
		}{{"ca", t.CA, &c.SslOpts.CaPath}, {"cert", t.Cert, &c.SslOpts.CertPath}, {"key", t.Key, &c.SslOpts.KeyPath}} {
			if f.path == "" {
				continue
			}
			// The driver reads it too, and does not tell a missing file from a host
			// that is away.
			if _, err := os.ReadFile(cfg.Path(f.path)); err != nil {
				return nil, hint.File(fmt.Errorf("tls.%s: %w", f.key, err))
			}
			*f.to = cfg.Path(f.path)
		}
	}
	return c, nil
}

// quiet drops the driver's own log lines, which repeat as text what its errors
// say, once per host and attempt.
type quiet struct{}

func (quiet) Print(...any)          {}
func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// bounded gives one call of the driver a deadline of its own.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}
