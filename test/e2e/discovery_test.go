package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rrhost/client"
	"rrhost/internal/discovery"
)

// announcements is what the control topic holds, by the host.
func (s *site) announcements() map[string][]*kgo.Record {
	s.t.Helper()
	of := make(map[string][]*kgo.Record)
	for _, r := range s.consumeAll(s.cfg.Discovery.Topic) {
		of[string(r.Key)] = append(of[string(r.Key)], r)
	}
	return of
}

// A host announces itself, answers pings, and takes its leave; and what it said is
// what a stranger reads from the log.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b backend) {
		s := working(t, b)
		p := s.start()
		topic := s.topic("work")

		type hostOf struct {
			Host, State, Plugin, Handler string
			Counters                     discovery.Counters
		}
		var described struct {
			Topic string
			Hosts []hostOf
		}
		var h hostOf
		until(t, 20*time.Second, func() string {
			said := s.rrclient("describe", topic, "--json")
			if err := json.Unmarshal([]byte(said.stdout), &described); err != nil || said.code != 0 || len(described.Hosts) != 1 {
				t.Fatalf("describe exits with %d, %v: %s%s", said.code, err, said.stdout, said.stderr)
			}
			if h = described.Hosts[0]; h.State != "ready" { // told a moment after it is
				return "the plugin is announced as " + h.State
			}
			return ""
		})
		if described.Topic != topic || h.Plugin != "testplugin" || h.Handler != "work" || len(h.Counters.Partitions) != 4 {
			t.Errorf("described as %+v", described)
		}

		c := s.client()
		pong, err := c.Ping(t.Context(), topic)
		if err != nil || pong.Host != h.Host || pong.State != "ready" || pong.Plugin != "testplugin" {
			t.Errorf("Ping = %+v, %v; want host %s", pong, err, h.Host)
		}
		t.Logf("a ping takes %s", pong.Took)

		s.end(p, syscall.SIGTERM)
		if s.backend.embedded { // its broker has ended with it
			s.start()
		}
		records := s.announcements()[h.Host]
		if len(records) < 2 {
			t.Fatalf("the log has %d records of the host", len(records))
		}
		for i, r := range records {
			if goodbye := i == len(records)-1; goodbye != (r.Value == nil) {
				t.Errorf("record %d of %d is %q", i+1, len(records), r.Value)
			} else if _, err := discovery.Decode(r.Key, r.Value); !goodbye && err != nil {
				t.Errorf("record %d: %v", i+1, err)
			}
		}
	})
}

// With fail-fast, a topic that nobody serves fails in milliseconds, and one whose
// only host is being started again does not fail at all.
func TestFailFast(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b backend) {
		s := working(t, b)
		p := s.start()
		s.makeTopic("deserted-" + s.suffix)
		c := s.client(client.WithFailFast())
		work := client.Request{Topic: s.topic("work"), Payload: []byte(`{"do":"sleep","ms":1}`), Timeout: time.Minute}
		if _, err := c.Do(t.Context(), work); err != nil {
			t.Fatal(err)
		}
		fastest := time.Hour // of three: the machine may be busy with something else
		for range 3 {
			begun := time.Now()
			_, err := c.Do(t.Context(), client.Request{Topic: "deserted-" + s.suffix, Payload: []byte("{}")})
			took := time.Since(begun)
			fastest = min(fastest, took)
			if !errors.Is(err, client.ErrNotServed) {
				t.Errorf("a request that nobody serves fails after %s with %v", took, err)
			}
			t.Logf("failed after %s", took)
		}
		if fastest > time.Second {
			t.Errorf("a request that nobody serves fails after %s", fastest)
		}

		// Requests all along the restart of the only host, also from clients that
		// begin while there is none. The embedded broker is away with its host: what
		// cannot be sent then is another failure.
		ctx, stop := context.WithCancel(t.Context())
		var flow sync.WaitGroup
		sent, other := 0, 0
		flow.Go(func() {
			for ctx.Err() == nil {
				_, err := c.Do(t.Context(), work)
				switch {
				case errors.Is(err, client.ErrNotServed):
					t.Errorf("request %d fails for the restart: %v", sent+1, err)
				case err != nil:
					other++
				}
				sent++
			}
		})
		s.end(p, syscall.SIGTERM)
		if !s.backend.embedded {
			if got := s.rrclient("request", work.Topic, `{"do":"sleep","ms":1}`, "--fail-fast", "--timeout", "1s"); got.code != 3 {
				t.Errorf("without a host for a moment, a request ends with %d: %s", got.code, got.stderr)
			}
		}
		s.start()
		if got := s.rrclient("request", work.Topic, `{"do":"sleep","ms":1}`, "--fail-fast"); got.code != 0 {
			t.Errorf("after the restart a request ends with %d: %s", got.code, got.stderr)
		}
		stop()
		flow.Wait()
		if sent == 0 || other > 0 && !s.backend.embedded {
			t.Errorf("%d requests, %d of which failed", sent, other)
		}
	})
}

// What was announced long ago counts for nothing, whoever wrote it: the embedded
// broker believes the writer's time.
func TestFailFastForgets(t *testing.T) {
	t.Parallel()
	s := working(t, embedded)
	s.start()
	s.makeTopic("deserted-" + s.suffix)
	request := client.Request{Topic: "deserted-" + s.suffix, Payload: []byte("{}"), Timeout: 300 * time.Millisecond}
	out := s.outside()
	defer out.Close()
	for _, tt := range []struct { // in this order: the second one serves for both
		age  time.Duration
		want error
	}{
		{discovery.Lifetime + 10*time.Second, client.ErrNotServed},
		{discovery.Lifetime - 10*time.Second, context.DeadlineExceeded}, // sent, and nobody answers
	} {
		a := discovery.Announcement{Host: uuid.NewString(), Topics: []discovery.Topic{{Name: request.Topic}}}
		value, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: s.cfg.Discovery.Topic, Key: []byte(a.Host), Value: value, Timestamp: time.Now().Add(-tt.age)}
		if err := out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.client(client.WithFailFast()).Do(t.Context(), request); !errors.Is(err, tt.want) {
			t.Errorf("announced %s ago: %v, want %v", tt.age, err, tt.want)
		}
	}
}
