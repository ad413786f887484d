package spool

import (
	"errors"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// pending is what the disk has not taken yet, in order. It is bounded: the oldest
// records go, and are counted.
type pending struct {
	items  []item
	bytes  uint64
	losses losses    // not told yet
	toldAt time.Time // when losses were told last
}

func (it *item) cost() uint64 { return uint64(cap(it.raw)) + 160 }

// keep takes a record into memory.
func (s *Spool) keep(it item) {
	it.raw = slices.Clone(it.raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.pending
	p.items = append(p.items, it)
	p.bytes += it.cost()
	if most := uint64(s.limits.memory); p.bytes > most {
		s.shedLocked(most - most/16)
	}
	s.wakeLocked()
}

// shedLocked drops the oldest records until at most so many bytes are left, and the
// frames that cannot be decoded without them.
func (s *Spool) shedLocked(most uint64) {
	p := &s.pending
	n := 0
	broken := map[model.StreamID]bool{}
	for ; p.bytes > most && n < len(p.items)-1; n++ {
		it := &p.items[n]
		s.loseItemLocked(it)
		if it.kind == frame.KindFrame {
			broken[it.stream] = true
		}
		p.bytes -= it.cost()
	}
	p.items = slices.Delete(slices.Clone(p.items), 0, n) // readers may hold the old one
	s.breakItemsLocked(broken)
}

// breakItemsLocked drops the delta frames of streams up to the next key frame of each.
func (s *Spool) breakItemsLocked(broken map[model.StreamID]bool) {
	p := &s.pending
	p.items = slices.DeleteFunc(slices.Clone(p.items), func(it item) bool {
		if it.kind != frame.KindFrame || !broken[it.stream] {
			return false
		}
		if it.header.Key {
			delete(broken, it.stream)
			return false
		}
		s.loseItemLocked(&it)
		p.bytes -= it.cost()
		return true
	})
	for stream := range broken {
		s.cur.lanes[stream].key = 0
	}
}

// loseItemLocked counts a record that goes. The numbers of definitions before it come
// along, so that whoever finds them missing in the log knows that all is told.
func (s *Spool) loseItemLocked(it *item) {
	l, b := &s.pending.losses, s.cur
	if b.done.has(it.seq) || b.lost.has(it.seq) {
		s.fragile = true
		for _, i := range it.lost { // the collector has heard of them: that is all that can be done
			i.boot.done.add(i.from, i.to)
		}
		return
	}
	from := max(b.done.before(it.seq), b.lost.before(it.seq)) + 1
	if n := len(b.runs); n > 0 {
		from = max(from, b.runs[n-1].seq+b.runs[n-1].n)
	}
	if b.recordsIn(from, it.seq) > 1 {
		from = it.seq
	}
	if it.kind == frame.KindFrame {
		l.put(b, from, it.seq, 1, it.samples, it.header.At, it.header.At)
		return
	}
	if r, _, err := frame.ParseRecord(it.raw); err == nil {
		if gap, ok := gapIn(r.Payload); ok {
			l.tell(b, it.seq, gap, it.lost...)
			return
		}
	}
	l.put(b, from, it.seq, 0, 0, it.at, it.at)
}

// drain gives the log what waits in memory. The caller holds writer.
func (s *Spool) drain() error {
	for {
		s.mu.Lock()
		if len(s.pending.items) == 0 {
			s.pending.items = nil
			s.mu.Unlock()
			break
		}
		it := s.pending.items[0]
		s.mu.Unlock()
		if err := s.write(it); err != nil {
			return err
		}
		s.mu.Lock()
		s.pending.bytes -= it.cost()
		s.pending.items = s.pending.items[1:]
		s.mu.Unlock()
	}
	if err := s.defs.flush(s.cur.number); err != nil {
		return err
	}
	return s.records.Flush()
}

// retry tries whether the disk works again. The caller holds writer.
func (s *Spool) retry() {
	if s.records == nil {
		if err := s.attach(); err != nil {
			return
		}
	}
	// What is in memory has to go first, so the log may become larger than it
	// should be for a moment.
	if s.records.Size() > int64(s.config.MaxBytes)+int64(s.limits.memory) {
		return
	}
	if err := s.drain(); err != nil {
		s.trouble("append", err)
		return
	}
	s.fine()
	s.tellPending()
	s.tellLater(nil)
	if err := s.makeRoom(0); err != nil {
		s.trouble("drop old records", err)
		return
	}
	// What was acknowledged and then left out of the log must not be taken for lost.
	if err := errors.Join(s.sync(), s.saveCursor(true)); err != nil {
		s.trouble("note what was acknowledged", err)
	}
}

// tellPending tells what was lost in memory.
func (s *Spool) tellPending() {
	s.mu.Lock()
	lost := s.pending.losses
	s.pending.losses = losses{most: s.limits.gaps}
	s.pending.toldAt = s.now()
	s.mu.Unlock()
	if !lost.empty() {
		_, _ = s.tell(s.reports(&lost, event.SpoolFull, "the disk did not take it, and memory was full", false), 0)
	}
}
