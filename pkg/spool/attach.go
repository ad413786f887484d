package spool

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// reopenAfter is how long a folder that could not be opened is left alone.
const reopenAfter = 5 * time.Second

// attach opens the folder and takes in what former processes have left there. The
// caller holds writer. What this process has taken so far stays in memory until
// drain.
func (s *Spool) attach() error {
	now := s.now()
	if s.deps.Dir == "" || now.Before(s.retryAt) && s.retryAt.Sub(now) <= reopenAfter {
		return errNotOpen
	}
	s.retryAt = now.Add(reopenAfter)
	w, err := s.load()
	if err != nil {
		s.trouble("open", err)
		return err
	}
	for _, d := range w.damage {
		s.log.Error("the spool is damaged", logkey.Err, d)
	}
	strangers := w.strangers(s.cur.start)
	if err := s.enter(w, strangers); err != nil {
		w.close()
		s.trouble("open", err)
		return err
	}
	s.fine()
	if strangers {
		s.disown(w)
		return nil
	}
	lost := losses{most: s.limits.gaps}
	s.mu.Lock()
	for _, f := range w.losses {
		lost.add(f)
	}
	s.mu.Unlock()
	s.fragile = s.fragile || len(w.losses) > 0
	s.tellLater(s.reports(&lost, event.SpoolDamaged, "", true))
	s.tellFormer(w)
	return nil
}

// strangers says whether what is in the folder is of another worker or fleet.
func (w *world) strangers(own start) bool {
	if len(w.order) == 0 {
		return false
	}
	last := w.order[len(w.order)-1].start
	return !last.id.IsZero() && (last.worker != own.worker || last.fleet != own.fleet)
}

// enter writes down that this process begins, and makes what was found the spool's.
func (s *Spool) enter(w *world, strangers bool) error {
	if strangers { // so that their segments can go as a whole
		if err := errors.Join(w.records.Rotate(), w.definitions.Rotate()); err != nil {
			return err
		}
	}
	number := w.highest + 1
	e := entry{kind: kindBoot, boot: number, start: w.startOf(s.cur.start)}
	for _, log := range []*durable.Log{w.definitions, w.records} {
		if _, err := log.Append(appendEntry(nil, e)); err != nil {
			return err
		}
		if err := log.Flush(); err != nil {
			return err
		}
		// After a power cut it must be known that there was a process, however quickly
		// the collector has acknowledged everything until then.
		if err := log.Sync(); err != nil {
			s.trouble("sync", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cur.number, s.cur.start = number, e.start
	s.records, s.defs.log = w.records, w.definitions
	for id, c := range w.defs.contents {
		if s.defs.contents[id] == nil {
			s.defs.contents[id] = c
			s.defs.bytes += uint64(len(c.payload)) + overhead
		}
	}
	if s.watch != nil {
		for _, b := range w.order {
			s.watch(b)
		}
	}
	s.boots, s.floor = append(w.order, s.cur), w.floor+1
	if !strangers {
		s.stats.Newest, s.sure = max(s.stats.Newest, w.newest), w.newest
	}
	s.wakeLocked()
	return nil
}

// disown drops what is of another worker or fleet.
func (s *Spool) disown(w *world) {
	s.log.Warn("what was kept under another identity is dropped", logkey.Was, w.order[len(w.order)-1].start.worker)
	err := s.drop(s.records.Next(), event.IdentityChanged, "")
	if err != nil {
		s.trouble("drop the records of another identity", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boots[:len(s.boots)-1] { // whatever has failed: they are never sent
		b.done.add(1, b.next)
	}
	s.settleLocked()
	s.pruneLocked()
}

// tellFormer works out why nothing was measured before this process.
func (s *Spool) tellFormer(w *world) {
	newest := w.newest
	for _, b := range w.boots { // nothing of what they have measured may be left
		if at := millis(b.start.started); w.newest == 0 && at > 0 && (newest == 0 || at < newest) {
			newest = at
		}
	}
	if newest <= 0 {
		return
	}
	s.former = &former{newest: newest, closed: w.closed}
	if s.begun {
		s.tellGap()
	}
}

// begin notes the time of the first frame.
func (s *Spool) begin(at model.Millis) {
	if s.begun {
		return
	}
	s.begun, s.first = true, at
	s.tellGap()
}

// tellGap tells of the time before the first frame.
func (s *Spool) tellGap() {
	f := s.former
	s.former = nil
	if f == nil || f.newest >= s.first {
		return
	}
	cause := event.AgentCrashed
	switch {
	case !s.deps.HostStarted.IsZero() && millis(s.deps.HostStarted) > f.newest:
		cause = event.HostOff
	case f.closed:
		cause = event.AgentStopped
	}
	_ = s.putGap(report{gap: event.Gap{Cause: cause, From: f.newest, To: s.first}}, 0)
}
