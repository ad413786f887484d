package model

import "fmt"

// WorkerState is how the coordinator sees a worker.
type WorkerState uint8

// The states of a worker in the registry.
const (
	// Probed: it answered a probe; nothing is decided yet.
	Probed WorkerState = iota + 1
	// Pending: it waits for an operator's approval.
	Pending
	// Registered: admitted, and heard from within half its lease.
	Registered
	// Suspect: silent for half its lease or more.
	Suspect
	// Expired: silent for its whole lease.
	Expired
	// Left: it said goodbye.
	Left
)

var workerStates = [...]string{Probed: "probed", Pending: "pending", Registered: "registered",
	Suspect: "suspect", Expired: "expired", Left: "left"}

func (s WorkerState) String() string { return stateName(workerStates[:], uint8(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s WorkerState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *WorkerState) UnmarshalText(text []byte) error {
	for i, name := range workerStates {
		if name != "" && name == string(text) {
			*s = WorkerState(i)
			return nil
		}
	}
	return fmt.Errorf("worker state %q: want one of probed, pending, registered, suspect, expired, left", clip(string(text)))
}

// AgentState is how a worker sees its own registration. Names and numbers are
// those of the legacy worker.
type AgentState uint8

// The states of a worker's own registration.
const (
	Initialized     AgentState = 1
	Registering     AgentState = 2
	AgentRegistered AgentState = 3
	RegisterFailed  AgentState = 4
)

var agentStates = [...]string{Initialized: "INITIALIZED", Registering: "REGISTERING",
	AgentRegistered: "REGISTERED", RegisterFailed: "REGISTER_FAILED"}

func (s AgentState) String() string { return stateName(agentStates[:], uint8(s)) }

func stateName(names []string, state uint8) string {
	if int(state) < len(names) && names[state] != "" {
		return names[state]
	}
	return fmt.Sprintf("state(%d)", state)
}
