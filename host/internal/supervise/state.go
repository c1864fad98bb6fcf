package supervise

import (
	"time"

	"rrhost/internal/stream"
)

// StateName is where a plugin, or one of its instances, is in its life.
type StateName string

// The states of a plugin.
const (
	StateFound      StateName = "found"       // it is in the directory, or will be looked for
	StateVerified   StateName = "verified"    // what will run is in the store, and may run
	StateStarting   StateName = "starting"    // a process is on its way to ready
	StateReady      StateName = "ready"       // it takes requests
	StateDraining   StateName = "draining"    // it takes no more and finishes what runs
	StateStopped    StateName = "stopped"     // no process is left, and none will be started
	StateBackingOff StateName = "backing off" // it ended or failed to start, and will be started again
	StateRejected   StateName = "rejected"    // it won't run before something is changed
)

// order is the rank of an instance's state in its plugin's, which is the best of
// all instances.
var order = []StateName{StateReady, StateStarting, StateBackingOff, StateRejected, StateVerified, StateFound, StateDraining, StateStopped}

// State is what is known of a plugin at a moment.
type State struct {
	Name    string
	Version string // of what runs, or is to
	Digest  string // likewise; empty before it was in the store
	State   StateName
	Since   time.Time
	// PID of the first instance; 0 if there is none.
	PID int
	// Instances of what runs, and then of what drains.
	Instances []InstanceState
	// Restarts counts starts after an instance's first.
	Restarts int
	// Held: it kept failing by itself, and is tried every 30 s alone.
	Held bool
	// LastError is why the last process ended or did not start; nil if none
	// has.
	LastError error
	// LastLines are what the failed process printed last.
	LastLines []string
	// Refused is why the newest content of the directory does not run, where an
	// older one does; nil if it does.
	Refused error
	// Pinned: a rollback keeps the directory's content from running.
	Pinned bool
	// Outside is a program that runs and is not in the store, so not verified.
	Outside string
	// Handlers of the process; empty before the first was ready.
	Handlers []stream.HandlerInfo
	// SDK is what the plugin is made with.
	SDK string
}

// InstanceState is one process of a plugin, or its place.
type InstanceState struct {
	Number   int // from 1
	Of       int // how many there are
	Version  string
	PID      int // 0 if there is none
	State    StateName
	Since    time.Time
	InFlight int
}

// An Event is one change of a plugin's state, or of one of its instances.
type Event struct {
	State
	// Instance is the one that changed; its Number is 0 where the plugin as a whole
	// did.
	Instance InstanceState
	// Was is the state before.
	Was StateName
	// Wait is, backing off or rejected, how long until the next start.
	Wait time.Duration
}

// To is the state that the plugin, or its instance, came to.
func (e Event) To() StateName {
	if e.Instance.Number > 0 {
		return e.Instance.State
	}
	return e.State.State
}
