package admission

import "maps"

// Stats are counters since Open and gauges of now.
type Stats struct {
	// Enrolments and Renewals count answers: by "admitted", "pending" or a reason.
	Enrolments map[string]uint64
	Renewals   map[string]uint64
	NewMembers map[string]uint64 // let in, by "token", "operator", "policy" or "clone"

	Members  int // gauge: let in and not forgotten
	Pending  int // gauge: waiting for an operator
	Rejected int // gauge: turned away by one
	Tokens   int // gauge: join tokens on the list, those that serve no more included

	Evicted   uint64 // waiting or rejected machines that were forgotten to make room
	Approved  uint64
	Forgotten uint64 // members and rejected machines, by an operator

	Attachments int                       // gauge: open connections
	Sessions    int                       // gauge: those of them that have a session
	Waiting     int                       // gauge: those of them that wait for one
	News        [NewsForgotten + 1]uint64 // told to connections, by NewsKind

	Unsaved     int    // gauge: changes not yet on disk
	Writes      uint64 // transactions
	WriteErrors uint64 // transactions that failed; their changes are tried again
	Quarantined uint64 // damaged entries set aside at Open
}

// Stats returns the current figures. Safe for concurrent use.
func (d *Desk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Enrolments, s.Renewals, s.NewMembers = maps.Clone(s.Enrolments), maps.Clone(s.Renewals), maps.Clone(s.NewMembers)
	s.Members, s.Tokens = len(d.members), len(d.tokens)
	s.Pending, s.Rejected = d.book.waiting.Len(), d.book.rejected.Len()
	s.Unsaved = d.unsavedLocked()
	return s
}
