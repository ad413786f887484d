package registry

import "github.com/cloudless-fleet/cloudless/pkg/model"

// Stats are counters since Open and gauges of now.
type Stats struct {
	States  [model.Left + 1]int // gauge: known workers by model.WorkerState
	Members int                 // gauge: workers admitted and not forgotten (registered, suspect, expired, left)
	Timers  int                 // gauge: deadlines waited for

	ProbeAcks       uint64               // asked to be registered
	Answers         [verdictCount]uint64 // answers by Verdict; those in cool-down are counted in CoolingDown instead
	CoolingDown     uint64               // turned away without retries left
	Renewals        uint64               // contacts that renewed a lease
	UnknownContacts uint64               // contacts of workers that are not members
	Suspicions      uint64               // changes to suspect
	Expirations     uint64               // changes to expired
	Revivals        uint64               // changes from suspect, expired or left to registered
	TimersFired     uint64               // deadlines looked at, early ones included
	TurnsTaken      uint64               // how often two machines with one id were seen taking turns
	Conflicts       int                  // gauge: ids now used by two machines
	Renumbered      uint64               // instance names that needed a number, as the host name was taken
	Evicted         uint64               // workers not admitted, forgotten to make room
	Forgotten       uint64               // workers removed, by Forget or by time

	Unsaved       int    // gauge: workers with changes not yet on disk
	Writes        uint64 // transactions
	WrittenValues uint64 // workers written or removed in them
	WriteErrors   uint64 // transactions that failed; their changes are tried again
	Quarantined   uint64 // damaged entries set aside at Open
}

// Stats returns the current figures. Safe for concurrent use.
func (r *Registry) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Members = r.members.Len()
	s.Timers = len(r.timers.heap)
	s.Unsaved = len(r.dirty) + len(r.dirtyCandidates) + len(r.gone)
	return s
}
