package registry

import (
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Worker is what the coordinator knows of one worker. It is a value: what it
// points to (Host.Ports, Rival) is replaced, never written, so copies are free
// to be read by anyone at any time.
type Worker struct {
	ID model.WorkerID
	// State, KeepAlive, LastContact and LeaseFrom are what a renewal touches:
	// side by side they share two lines of the processor's cache.
	State       model.WorkerState
	KeepAlive   time.Duration // its lease
	LastContact time.Time
	// LeaseFrom is where the lease is counted from: the last contact, except
	// after a restart of the coordinator, which leaves every worker half a lease.
	LeaseFrom time.Time

	// Instance is its name in labels and on screens, given at its first admission
	// and never changed. Empty for a worker that was never admitted.
	Instance string
	Host     model.HostInfo // as it last announced itself
	Source   netip.Addr     // where its ProbeAck came from; invalid when it came without one
	Version  string         // of its software; may be empty

	// What follows is not kept in the file: the coordinator says it again.
	ClockOffset time.Duration     // how far its clock is ahead of ours, as last proved; see OffsetStep
	Boot        model.BootID      // the process that has the worker's session; zero when none has had one
	Labels      map[string]string // the fleet's own for it; replaced, never written

	FirstSeen   time.Time
	Since       time.Time // when State was entered
	Expirations uint64    // how often it has expired

	RetriesLeft   int       // refusals until cool-down
	CoolDownUntil time.Time // zero unless RetriesLeft is 0
	Refusal       Verdict   // of the last ProbeAck that was not admitted; Admit when none since the last success

	// Two machines with one id, as made by copying a disk: see Rival.
	Conflict  bool
	Conflicts uint64 // how often the two were seen taking turns
	// Rival is the other machine last heard under this id, told apart by source
	// address and host info. It may be there without a conflict, when a machine
	// was renamed and re-addressed at once. Nil when there was none.
	Rival *Rival

	hostSince time.Time // when Host or Source was last changed
	hostSeen  time.Time // when that machine last sent a ProbeAck
}

// Rival is a machine that uses the id of another one.
type Rival struct {
	Host   model.HostInfo
	Source netip.Addr
	Seen   time.Time
}

// NewWorker is a worker of which nothing is known but its id.
func NewWorker(id model.WorkerID, now time.Time, p Policy) Worker {
	return Worker{
		ID: id, State: model.Probed, Since: now,
		KeepAlive: p.Lease(0), FirstSeen: now, LastContact: now, LeaseFrom: now,
		RetriesLeft: p.RetryLimit,
	}
}

// Admitted reports whether w is or once was a member of the fleet.
func (w *Worker) Admitted() bool {
	switch w.State {
	case model.Registered, model.Suspect, model.Expired, model.Left:
		return true
	}
	return false
}

// SuspectAt is when the worker becomes suspect unless it is heard.
func (w *Worker) SuspectAt() time.Time { return w.LeaseFrom.Add(w.KeepAlive / 2) }

// ExpiresAt is when the lease of the worker is spent unless it is heard.
func (w *Worker) ExpiresAt() time.Time { return w.LeaseFrom.Add(w.KeepAlive) }

// Deadline is when Next wants to be called with a Deadline event. There is none
// for an expired or left worker that is kept for ever.
func (w *Worker) Deadline(p Policy) (at time.Time, ok bool) {
	switch w.State {
	case model.Registered:
		return w.SuspectAt(), true
	case model.Suspect:
		return w.ExpiresAt(), true
	case model.Expired, model.Left:
		return w.Since.Add(p.ForgetAfter), p.ForgetAfter > 0
	}
	at = w.LeaseFrom.Add(CandidateMemory)
	if w.CoolDownUntil.After(at) {
		at = w.CoolDownUntil
	}
	return at, true
}
