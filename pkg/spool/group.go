package spool

import (
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// group is a key frame of one stream and the delta frames that follow it, or one
// event. It is kept or dropped as a whole.
type group struct {
	stream  model.StreamID
	schema  *schema // nil for an event
	records []*record
	last    time.Time // when the newest record came
	closed  bool      // no further record will come
}

func (g *group) first() uint64  { return g.records[0].seq }
func (g *group) newest() uint64 { return g.records[len(g.records)-1].seq }

// Loss counts records that were dropped before the collector had them.
type Loss struct {
	Records uint64
	Bytes   uint64 // encoded
}

func (l *Loss) add(more Loss) {
	l.Records += more.Records
	l.Bytes += more.Bytes
}

// closeLocked ends the stream's open group, if there is one.
func (s *Spool) closeLocked(l *lane) {
	if l.open == nil {
		return
	}
	ended := l.open
	ended.closed, l.open = true, nil
	if ended.newest() <= s.acked {
		s.dropGroupLocked(ended)
	}
}

// Acked tells that the collector has stored everything up to through. What
// nobody needs any more is dropped. Numbers that were never given out and
// numbers that go back are ignored.
func (s *Spool) Acked(through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if through <= s.acked || through >= s.next {
		return
	}
	for _, r := range s.records.after(s.acked) {
		if r.seq > through {
			break
		}
		if r.raw != nil {
			s.stats.Unacked--
		}
	}
	s.acked = through
	s.dropGroupsLocked(through, func(g *group) bool { return g.closed && g.newest() <= through })
}

// expireLocked drops closed groups that are too old. The open ones stay, or a
// host that slept for a night would lose what it measures next.
func (s *Spool) expireLocked() {
	oldest := s.now().Add(-s.config.MaxAge)
	var through uint64 // the newest record that old: no later group is too old
	for _, g := range s.groups {
		if !g.records[0].at.Before(oldest) {
			break
		}
		through = g.first()
	}
	s.stats.DroppedOld.add(s.dropGroupsLocked(through, func(g *group) bool { return g.closed && g.last.Before(oldest) }))
}

// shrinkLocked drops until the log is within MaxBytes.
func (s *Spool) shrinkLocked() {
	if s.overLocked() {
		s.dropPartsLocked()
	}
	// When no group is left there are only definitions in use, which
	// roomLocked bounds.
	for s.overLocked() && len(s.groups) > 0 {
		s.stats.DroppedFull.add(s.dropOldestLocked())
	}
	s.records.tidy()
}

func (s *Spool) overLocked() bool { return s.records.bytes > uint64(s.config.MaxBytes) }

// dropOldestLocked drops the oldest closed group, or if there is none the oldest
// open one.
func (s *Spool) dropOldestLocked() Loss {
	// Not more open groups than streams stand before the first closed one.
	return s.dropGroupLocked(s.groups[max(0, slices.IndexFunc(s.groups, func(g *group) bool { return g.closed }))])
}

func (s *Spool) dropGroupLocked(unwanted *group) Loss {
	return s.dropGroupsLocked(unwanted.first(), func(g *group) bool { return g == unwanted })
}

// dropGroupsLocked drops the unwanted ones of the groups that begin up to
// through. It costs no more than there are such groups.
func (s *Spool) dropGroupsLocked(through uint64, unwanted func(*group) bool) (loss Loss) {
	var kept []*group
	n := 0
	for ; n < len(s.groups) && s.groups[n].first() <= through; n++ {
		if g := s.groups[n]; unwanted(g) {
			loss.add(s.forgetLocked(g))
		} else {
			kept = append(kept, g)
		}
	}
	gone := n - len(kept)
	copy(s.groups[gone:n], kept)
	clear(s.groups[:gone])
	s.groups = s.groups[gone:]
	return loss
}

func (s *Spool) forgetLocked(g *group) (loss Loss) {
	for _, r := range g.records {
		if r.seq > s.acked {
			loss.add(Loss{1, uint64(len(r.raw))})
		}
		s.dropLocked(r)
	}
	if g.schema != nil {
		if l := s.lanes[g.stream]; l.open == g {
			l.open = nil
		}
		s.releaseLocked(g.schema)
	}
	return loss
}

func (s *Spool) dropLocked(r *record) {
	if r.seq > s.acked {
		s.stats.Unacked--
	}
	s.records.drop(r)
}
