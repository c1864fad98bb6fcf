package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"rrhost/client"
	"rrhost/internal/control"
	"rrhost/internal/wire"
)

// replacements of the plugin under load.
const replacements = 20

// A plugin is replaced twenty times under load: no request is lost or fails, each
// build answers, and none that was sent after a switch is begun by an older one.
func TestReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	s := working(t, real)
	s.start()
	first := s.plugin(t)
	flow := startFlow(s, 64)

	builds := map[string]int{first.Version: 0} // which one has this version
	var switched [replacements + 1]time.Time   // since when it alone takes requests
	for n := 1; n <= replacements; n++ {
		s.installBuild(t, fmt.Sprintf("build %d", n))
		if n%2 == 0 { // every other one by command, the rest by themselves
			if got := s.command(program(t, "rrhost"), "plugin", "reload", "testplugin", "--config", filepath.Join(s.dir, "config.toml")); got.code != 0 {
				t.Fatalf("reload: %s", got.stderr)
			}
		}
		var p control.Plugin
		until(t, 30*time.Second, func() string {
			p = s.plugin(t)
			if _, old := builds[p.Version]; old || p.State != "ready" {
				return fmt.Sprintf("replacement %d does not run: %+v", n, p)
			}
			return ""
		})
		builds[p.Version], switched[n] = n, time.Now()
		flow.awaitMore(t, 500)
	}
	calls, rate := flow.finish()

	answered, wrong := make(map[int]int), 0
	for _, c := range calls {
		n, known := builds[strings.TrimPrefix(c.plugin, "testplugin ")]
		problem := c.wrong()
		switch {
		case problem != "":
		case !known:
			problem = fmt.Sprintf("it was answered by %q", c.plugin)
		case n < replacements && c.sent.After(switched[n+1]):
			problem = fmt.Sprintf("it was sent %s after the switch from build %d, which answered it", c.sent.Sub(switched[n+1]), n)
		}
		if problem != "" {
			if wrong++; wrong <= 5 {
				t.Errorf("request %s: %s", c.id, problem)
			}
		}
		answered[n]++
	}
	if wrong > 5 {
		t.Errorf("and %d more", wrong-5)
	}
	for n := range replacements + 1 {
		if answered[n] == 0 {
			t.Errorf("build %d has answered nothing", n)
		}
	}
	t.Logf("%d requests, %.0f a second, over %d builds", len(calls), rate, len(builds))
	// The race detector, where it is on, takes most of this client's time.
	if !raceEnabled && rate < 1000 {
		t.Errorf("%.0f requests a second; 1000 are wanted", rate)
	}
	all := make([]call, len(calls))
	for n, c := range calls {
		all[n] = c.call
	}
	s.checkCalls(s.topic("work"), all)
}

// plugin is how the host has the test plugin.
func (s *site) plugin(t *testing.T) control.Plugin {
	t.Helper()
	clients, err := control.Dial(t.Context(), s.cfg.Path(s.cfg.Plugins.Store))
	if err != nil || len(clients) != 1 {
		t.Fatalf("%d hosts answer, %v", len(clients), err)
	}
	plugins, err := clients[0].Plugins(t.Context())
	if err != nil || len(plugins) != 1 {
		t.Fatalf("%d plugins, %v", len(plugins), err)
	}
	return plugins[0]
}

// installBuild puts a plugin into the directory that differs in what it is called
// alone: an executable may have anything at its end.
func (s *site) installBuild(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(program(t, "testplugin"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.dir, "plugins")
	if err := os.WriteFile(filepath.Join(dir, ".tmp"), append(text, name...), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, ".tmp"), filepath.Join(dir, "testplugin")); err != nil {
		t.Fatal(err)
	}
}

// A flowCall is a call with what only its reply tells.
type flowCall struct {
	call
	sent   time.Time
	plugin string
}

// A flow sends request after request.
type flow struct {
	stop  chan struct{}
	begun time.Time
	over  sync.WaitGroup
	ended atomic.Int64

	mu    sync.Mutex
	calls []flowCall
}

// flowRate is how many requests a flow sends in a second, if they are answered as
// fast.
const flowRate = 2000

func startFlow(s *site, workers int) *flow {
	s.t.Helper()
	l := &flow{stop: make(chan struct{}), begun: time.Now()}
	c := s.client()
	for range workers {
		l.over.Go(func() {
			pace := time.NewTicker(time.Duration(workers) * time.Second / flowRate)
			defer pace.Stop()
			for {
				select {
				case <-l.stop:
					return
				case <-pace.C:
				}
				l.one(s, c)
			}
		})
	}
	s.t.Cleanup(func() { l.finish() })
	return l
}

func (l *flow) one(s *site, c *client.Client) {
	o := order{Nonce: uuid.NewString()}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // strings always encode
	}
	call := flowCall{call: call{id: uuid.NewString(), nonce: o.Nonce}, sent: time.Now()}
	reply, err := c.Do(s.t.Context(), client.Request{Topic: s.topic("work"), ID: call.id, Payload: text, Timeout: patience})
	call.plugin = reply.Plugin
	if call.err = err; err == nil {
		call.err = json.Unmarshal(reply.Payload, &call.report)
	}
	l.mu.Lock()
	l.calls = append(l.calls, call)
	l.mu.Unlock()
	l.ended.Add(1)
}

func (l *flow) awaitMore(t *testing.T, n int64) {
	t.Helper()
	begun := l.ended.Load()
	until(t, patience, func() string {
		if got := l.ended.Load() - begun; got < n {
			return fmt.Sprintf("%d more calls have ended, want %d", got, n)
		}
		return ""
	})
}

// finish returns all calls, and how many there were in a second.
func (l *flow) finish() (calls []flowCall, rate float64) {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	took := time.Since(l.begun)
	l.over.Wait()
	return l.calls, float64(len(l.calls)) / took.Seconds()
}

// Of a thousand requests three kill their plugin, each time: they are told so and
// put aside, and all others succeed.
func TestKillersAreFound(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b backend) {
		s := working(t, b)
		s.start()
		c := s.client()
		const all = 1000
		killers := map[int]string{100: uuid.NewString(), 500: uuid.NewString(), 900: uuid.NewString()} // their ids
		results := make([]error, all)
		var over sync.WaitGroup
		slots := make(chan struct{}, 128)
		for n := range all {
			slots <- struct{}{}
			over.Go(func() {
				defer func() { <-slots }()
				o, id := order{Nonce: uuid.NewString()}, uuid.NewString()
				if killers[n] != "" {
					o.Do, o.MS, id = "exit", 9, killers[n]
				}
				var r report
				if r, results[n] = client.Call[report](t.Context(), c, s.topic("work"), o, client.WithTimeout(patience), client.WithRequestID(id)); results[n] == nil && r.F != f(o.Nonce) {
					results[n] = fmt.Errorf("sent nonce %s, got %+v", o.Nonce, r)
				}
			})
		}
		over.Wait()
		for n, err := range results {
			if killers[n] != "" {
				if err == nil || !strings.Contains(err.Error(), string(wire.StatusPluginCrashed)) {
					t.Errorf("killer %d: %v", n, err)
				}
			} else if err != nil {
				t.Errorf("request %d: %v", n, err)
			}
		}
		p := s.plugin(t)
		if p.Restarts > 9 || p.Restarts < len(killers) || p.Held {
			t.Errorf("%+v; at most 9 restarts are wanted, and no hold", p)
		}
		s.awaitCommitted(s.topic("work")) // not before the dead letters are acknowledged
		var letters []string
		for _, r := range s.consumeAll(wire.DeadLetterTopic(s.topic("work"))) {
			if reason := header(r, wire.HeaderDLQReason); reason != string(wire.StatusPluginCrashed) || len(r.Value) == 0 {
				t.Errorf("a dead letter of %d bytes, with the reason %q", len(r.Value), reason)
			}
			letters = append(letters, header(r, wire.HeaderRequestID))
		}
		slices.Sort(letters)
		if want := slices.Sorted(maps.Values(killers)); !slices.Equal(letters, want) {
			t.Errorf("put aside are %q, want %q", letters, want)
		}
	})
}
