package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"rrhost/audit"
	"rrhost/client"
	"rrhost/internal/testservices"
	"rrhost/internal/wire"
)

// Ten thousand requests at once over one client: each gets the answer to its own,
// and the trail has two rows of each and of nothing else.
func TestTenThousandConcurrentRequests(t *testing.T) {
	testservices.Long(t)
	onBoth(t, func(t *testing.T, b backend) {
		const count = 10_000
		s := newSite(t, b, layout{
			topics:  "[[topic]]\nname = \"echo-@\"\nplugin = \"echo\"\ntimeout = \"2m\"\n",
			plugins: map[string]string{"echo": "echo"},
		})
		s.start()
		c := s.client(client.WithDefaultTimeout(90 * time.Second))
		topic := s.topic("echo")

		ids := make([]string, count)
		begun := time.Now()
		var calls sync.WaitGroup
		for i := range count {
			ids[i] = uuid.NewString()
			calls.Go(func() {
				want := fmt.Sprintf(`{"nonce":%q}`, uuid.NewString())
				got, err := client.Call[json.RawMessage](context.Background(), c, topic, json.RawMessage(want), client.WithRequestID(ids[i]))
				if err != nil || string(got) != want {
					t.Errorf("sent %s, got %s, %v", want, got, err)
				}
			})
		}
		calls.Wait()
		t.Logf("%d answered in %s", count, time.Since(begun).Round(time.Millisecond))
		if t.Failed() {
			return
		}

		log, rows := s.checkTrail()
		if len(log) != 2*count {
			t.Errorf("the log has %d records, want %d", len(log), 2*count)
		}
		kinds := make(map[string][]string, count)
		for _, row := range rows {
			kinds[row.RequestID] = append(kinds[row.RequestID], row.Type)
			if row.Type == audit.TypeResponse && row.Status != string(wire.StatusOK) {
				t.Errorf("request %s: %s", row.RequestID, row.Status)
			}
		}
		for _, id := range ids {
			if got := fmt.Sprint(kinds[id]); got != "[request response]" && got != "[response request]" {
				t.Errorf("request %s has the rows %s, want a request and a response", id, got)
			}
		}
		if len(kinds) != count {
			t.Errorf("the trail has %d requests, want %d", len(kinds), count)
		}
		s.awaitCommitted(topic)
	})
}
