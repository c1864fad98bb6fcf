package supervise

import (
	"math/rand/v2"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/plugindir"
	"rrhost/internal/process"
)

// Defaults of [Config].
const (
	DefaultStartTimeout = 10 * time.Second
	DefaultStopTimeout  = 3 * time.Second
)

// Traffic is where requests come from. Its methods are called from several
// goroutines, and must not wait for the plugin.
type Traffic interface {
	// Join adds an instance that is ready.
	Join(i *Instance, b plugindir.Build)
	// Switch makes these the only ones that get requests from now on.
	Switch(to []*Instance, b plugindir.Build)
	// Retire sends no more requests to i.
	Retire(i *Instance)
	// Drained is closed once i gets no more requests and none runs there.
	Drained(i *Instance) <-chan struct{}
	// Running is how many requests run at i.
	Running(i *Instance) int
	// Leave takes an instance back once it has ended and every request has its
	// result. cause is nil where that was wanted. A nil i is one that did not
	// start.
	Leave(i *Instance, cause error)
	// Reject says that no instance is up, or will be before something changes.
	Reject(cause error)
}

// Config is one plugin, and whom to tell about it.
type Config struct {
	Name string
	// Dir is the plugin directory, Store the host's copies of what runs.
	Dir   string
	Store *plugindir.Store
	// Strict refuses what others could have written; Locked what is not noted as
	// trusted.
	Strict, Locked bool
	// Process is how to start one: name, program and logger are filled in.
	Process process.Config
	// Allowed lists the environment variables that plugins may have; Process.Env
	// those that this one gets whatever its manifest asks for.
	Allowed []string
	// Instances is how many processes share the requests. Default: the
	// manifest's, else 1.
	Instances int
	// StartTimeout bounds the time from start to ready. Defaults to 10 s.
	StartTimeout time.Duration
	// StopTimeout is how long a process has to end when asked, before it is
	// killed. Defaults to 3 s.
	StopTimeout time.Duration
	// Manual: what changes in the directory is run at [Plugin.Reload] alone.
	Manual bool
	// Place tells where a key of the plugin's own configuration stands.
	Place   func(keys ...string) string
	Traffic Traffic
	// Logger gets what the plugin prints, and its changes of state.
	Logger hclog.Logger
	// Events gets every change of state; it may be nil, is called from several
	// goroutines, and must not wait for the plugin.
	Events func(Event)
}

func (c Config) withDefaults() Config {
	if c.StartTimeout <= 0 {
		c.StartTimeout = DefaultStartTimeout
	}
	if c.StopTimeout <= 0 {
		c.StopTimeout = DefaultStopTimeout
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Place == nil {
		c.Place = func(...string) string { return "" }
	}
	return c
}

// timing is how long a supervisor waits for what; tests shorten it.
type timing struct {
	first, longest time.Duration // backoff
	stable         time.Duration // a life of this length is a success
	held           time.Duration // between tries of what is held or rejected
	holdAfter      int           // failures
	holdWithin     time.Duration
	look           time.Duration // between looks at the directory, at least
	settle         time.Duration // without a change before a change counts
	settleForeign  time.Duration // likewise, where it cannot be told whether somebody still writes
	health         time.Duration // between health checks
	healthTimeout  time.Duration // of one
	strikes        int           // failed checks in a row that end a process
	jitter         func(time.Duration) time.Duration
}

var defaultTiming = timing{
	first: 100 * time.Millisecond, longest: 30 * time.Second, stable: 10 * time.Second,
	held: 30 * time.Second, holdAfter: 5, holdWithin: time.Minute,
	look: 500 * time.Millisecond, settle: 300 * time.Millisecond, settleForeign: 5 * time.Second,
	health: 5 * time.Second, healthTimeout: 5 * time.Second, strikes: 3,
	jitter: jitter,
}

// jitter spreads d by a fifth both ways, so that plugins that died together
// don't start together.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1)
}
