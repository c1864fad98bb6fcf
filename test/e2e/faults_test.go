package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/internal/testservices"
)

// working is a site whose plugin answers with a function of the nonce.
func working(t *testing.T, b backend) *site {
	t.Helper()
	return newSite(t, b, layout{
		topics:  "[[topic]]\nname = \"work-@\"\nplugin = \"testplugin\"\nhandler = \"work\"\nconcurrency = 256\ntimeout = \"2m\"\n",
		plugins: map[string]string{"testplugin": "testplugin"},
	})
}

const (
	workers  = 240
	inFlight = 200 // at least, when the fault comes
)

// Under load, no end of the host or of a plugin loses a request, answers one
// wrongly, or leaves anything out of the trail.
func TestNothingIsLost(t *testing.T) {
	testservices.Long(t)
	t.Parallel()
	faults := []struct {
		name string
		// ms is how long each request takes. The host commits twice a second:
		// what is in flight when it ends must have been there at a commit. What
		// a plugin took along is tried again one by one.
		ms   int
		do   func(t *testing.T, s *site, l *load)
		sign func(r report) bool // that a request was hit
	}{
		{"when the host is stopped and started again", 900, restart(syscall.SIGTERM), nil},
		{"when the host is killed and started again", 900, restart(syscall.SIGKILL), func(r report) bool { return r.Redelivered }},
		{"when a plugin is killed", 40, killPlugin, func(r report) bool { return r.Attempt == 2 }},
	}
	onBoth(t, func(t *testing.T, b backend) {
		for _, fault := range faults {
			t.Run(strings.ReplaceAll(fault.name, " ", "_"), func(t *testing.T) {
				s := working(t, b)
				s.startWatched()
				l := startLoad(s, s.topic("work"), workers, inFlight, order{Do: "sleep", MS: fault.ms})
				fault.do(t, s, l)
				l.awaitMore(2 * workers) // all that was in flight, and others since
				calls := l.finish()
				s.checkCalls(s.topic("work"), calls)
				hit := 0
				for _, c := range calls {
					if fault.sign != nil && fault.sign(c.report) {
						hit++
					}
				}
				if fault.sign != nil && hit == 0 {
					t.Error("no request was in the plugin at that moment: the test shows nothing")
				}
			})
		}
	})
}

func restart(signal syscall.Signal) func(t *testing.T, s *site, l *load) {
	return func(t *testing.T, s *site, l *load) {
		p := s.hosts[len(s.hosts)-1]
		s.end(p, signal)
		if signal == syscall.SIGTERM && strings.Contains(p.log(), "did not finish") {
			t.Errorf("requests in flight were given up:\n%s", p.tail())
		}
		s.startWatched()
	}
}

// killPlugin kills the plugin, again if it had nothing to do at that moment: on a
// busy machine most of what is in flight may wait elsewhere.
func killPlugin(t *testing.T, s *site, l *load) {
	for range 4 {
		was := l.pid.Load()
		if err := syscall.Kill(int(was), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// What it took along comes first.
		until(t, 30*time.Second, func() string {
			if l.pid.Load() == was {
				return "no other plugin process has answered"
			}
			return ""
		})
		if l.retried.Load() > 0 {
			return
		}
	}
}

// While Cassandra is away, requests are answered as ever; the trail catches up.
func TestOutageOfTheStoreDelaysNothingButTheTrail(t *testing.T) {
	t.Parallel()
	testservices.Kafka(t) // or skip
	node := testservices.StartCassandra(t)
	s := working(t, realWith(node.Address))
	s.start()
	l := startLoad(s, s.topic("work"), workers, inFlight, order{Do: "sleep", MS: 1000})

	node.Stop()
	back := time.After(20 * time.Second) // so long it is away, at least
	until(t, 20*time.Second, func() string {
		if code, body := s.get("/readyz"); code != 200 || !strings.Contains(body, "warning: audit") {
			return "the host does not say that the trail lags, or is not ready: " + body
		}
		return ""
	})
	l.awaitMore(2 * workers)
	<-back
	node.Start()
	l.awaitMore(2 * workers)
	until(t, 60*time.Second, func() string {
		if _, body := s.get("/readyz"); strings.Contains(body, "warning: audit") {
			return "the trail does not go on: " + body
		}
		return ""
	})
	s.checkCalls(s.topic("work"), l.finish())
}
