package audit

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rrhost/config"
	"rrhost/internal/testservices"
)

// Cassandra, over TLS and with a login, dies while records come, and is back later: the ingester lags and
// catches up, and the trail is the log.
func TestCassandraOutage(t *testing.T) {
	node := testservices.StartCassandra(t, testservices.WithLogin, testservices.WithTLS)
	b := newBench(t, func(c *config.Config) {
		c.Audit.Store = "cassandra"
		c.Audit.Cassandra.Hosts = []string{node.Address}
		c.Audit.Cassandra.Username, c.Audit.Cassandra.Password = node.User, config.Secret(node.Password)
		c.Audit.Cassandra.TLS = &config.TLS{CA: node.CA}
	})
	var records []*kgo.Record
	send := func(n int) {
		t.Helper()
		for i := range n {
			q, p, _ := b.exchange(i)
			b.produce(q, p)
			records = append(records, q, p)
		}
	}
	b.run()
	send(100)
	b.caughtUp(9)
	node.Kill()
	send(100)
	b.eventually("the outage shows", func() bool { return b.in.Stats().LastError != nil })
	send(100)
	node.Start()
	b.caughtUp(9)
	b.sameAsLog(b.stored(), records...)

	r := b.reader()
	page, err := r.ByTime(t.Context(), Range{From: time.Now().Add(-time.Hour), Limit: 1000, Payloads: true})
	if err != nil || len(page.Rows) != len(records) {
		t.Fatalf("%d rows, %v", len(page.Rows), err)
	}
	for _, row := range page.Rows {
		if _, _, err := row.Open(b.ring); err != nil {
			t.Fatalf("%+v: %v", row, err)
		}
	}
}
