package supervise

import (
	"time"

	"rrhost/internal/stream"
)

// StateName is where a plugin is in its life.
type StateName string

// The states of a plugin.
const (
	StateFound      StateName = "found"       // not started yet
	StateStarting   StateName = "starting"    // the process is on its way to ready
	StateReady      StateName = "ready"       // it takes requests
	StateDraining   StateName = "draining"    // it takes no more and finishes what runs
	StateStopped    StateName = "stopped"     // Run is over
	StateBackingOff StateName = "backing off" // it ended or failed to start, and will be started again
	StateRejected   StateName = "rejected"    // starting again won't help before something is changed
)

// State is what is known of a plugin at a moment.
type State struct {
	Name, Version string
	State         StateName
	Since         time.Time
	// PID of the process; 0 if there is none.
	PID int
	// Restarts counts starts after the first.
	Restarts int
	// LastError is why the last process ended or did not start; nil if none
	// has.
	LastError error
	// Handlers of the process; empty before the first was ready.
	Handlers []stream.HandlerInfo
	// SDK is what the plugin is made with.
	SDK string
}

// An Event is one change of a plugin's state.
type Event struct {
	State
	// Was is the state before.
	Was StateName
	// Wait is, backing off or rejected, how long until the next start.
	Wait time.Duration
}
