package spool

import (
	"context"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
)

// cursorInterval is how often it is written down what was acknowledged.
const cursorInterval = 30 * time.Second

// syncMark is a place in the log, and when it was the end.
type syncMark struct {
	index uint64
	at    time.Time
}

// Run looks after the spool until ctx ends: it syncs what waits for long, drops what
// is too old and what the collector has, and goes back to a disk that failed.
func (s *Spool) Run(ctx context.Context) error {
	ticker := time.NewTicker(min(time.Second, s.config.SyncInterval/8))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.tend()
		}
	}
}

// tend does what is due.
func (s *Spool) tend() {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	closed, waiting := s.closed, len(s.pending.items) > 0
	told := !s.pending.losses.empty() && s.now().Sub(s.pending.toldAt) >= time.Minute
	s.mu.Unlock()
	if closed {
		return
	}
	if s.records == nil || waiting {
		s.retry()
	}
	if told {
		s.tellPending()
	}
	if s.records == nil {
		return
	}
	if len(s.untold) > 0 {
		s.tellLater(nil)
	}
	for _, task := range []struct {
		what string
		do   func() error
	}{
		{"write", s.records.Flush}, {"sync", s.keepSynced}, {"drop old records", s.expire}, {"drop acknowledged records", s.trim},
		{"compact definitions", s.compact}, {"note what was acknowledged", s.noteCursor},
	} {
		if err := task.do(); err != nil {
			s.trouble(task.what, err)
			return
		}
	}
	s.mu.Lock()
	waiting = len(s.pending.items) > 0
	s.mu.Unlock()
	if !waiting {
		s.fine()
	}
}

// keepSynced syncs when a record that the collector does not have is not on disk for
// half of SyncInterval.
func (s *Spool) keepSynced() error {
	now, next, synced := s.now(), s.records.Next(), s.records.Synced()
	switch {
	case synced >= next:
		s.mark = syncMark{}
		return nil
	case s.mark.index <= synced:
		s.mark = syncMark{next, now}
		return nil
	case now.Sub(s.mark.at) < s.config.SyncInterval/2 && !now.Before(s.mark.at):
		return nil
	}
	mark := s.mark
	s.mark = syncMark{next, now}
	if !s.missing(synced, mark.index) {
		return nil
	}
	s.mark = syncMark{}
	return s.sync()
}

// missing says whether the collector lacks a record of indexes from up to, not
// including, to.
func (s *Spool) missing(from, to uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boots {
		for _, r := range b.runs {
			if first, end := max(r.index, from), min(r.index+r.n, to); first < end {
				if seq := b.done.past(r.seq + first - r.index); seq < r.seq+end-r.index {
					return true
				}
			}
		}
	}
	return false
}

// expire drops what is older than MaxAge. It does so for some time's worth at once,
// since each drop is an event.
func (s *Spool) expire() error {
	now := s.now()
	limit, cutoff := millis(now.Add(-s.config.MaxAge)), millis(now.Add(-s.config.MaxAge+s.config.MaxAge/32))
	s.mu.Lock()
	end, due := uint64(0), false
search:
	for _, b := range s.boots {
		for i := range b.chunks {
			until, next := b.newest, b.next
			if i+1 < len(b.chunks) {
				until, next = b.chunks[i+1].at, b.chunks[i+1].seq
			} else if b == s.cur {
				break search
			}
			if until >= cutoff {
				break search
			}
			_, last, ok := b.logged(next - 1)
			if !ok && b == s.cur {
				break search
			}
			if ok {
				end = last + 1
			}
			due = due || until < limit && s.deliverableLocked(b, b.chunks[i].seq, next)
		}
	}
	s.mu.Unlock()
	if !due || end == 0 {
		return nil
	}
	return s.drop(end, event.SpoolOld, "")
}

// deliverableLocked says whether there is a record to be sent from seq up to, not
// including, end.
func (s *Spool) deliverableLocked(b *boot, seq, end uint64) bool {
	_, ok := s.nextLocked(b, seq-1, end)
	return ok
}

// trim drops the segments that nobody needs any more.
func (s *Spool) trim() error {
	s.mu.Lock()
	keep := s.keepLocked()
	s.mu.Unlock()
	before := s.records.Oldest()
	if keep <= before {
		return nil
	}
	if err := s.secure(); err != nil {
		return err
	}
	if err := s.records.DropThrough(keep - 1); err != nil {
		return err
	}
	oldest := s.records.Oldest()
	if oldest == before {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boots {
		b.forget(oldest)
		first, _, ok := b.logged(1)
		for _, l := range b.lanes {
			if ok && l.key < first {
				l.key = 0
			}
		}
	}
	s.settleLocked()
	s.pruneLocked()
	return nil
}

// keepLocked is the index from which on records are needed: the first one to be sent,
// or the key frames that it, and those to come, are decoded with.
func (s *Spool) keepLocked() uint64 {
	index := func(b *boot, seq uint64) uint64 {
		if _, index, ok := b.logged(seq); ok {
			return index
		}
		return s.records.Next()
	}
	for _, b := range s.boots {
		next, ok := s.nextLocked(b, 0, b.next)
		if !ok {
			if b != s.cur {
				continue
			}
			keep := s.records.Next()
			for _, l := range b.lanes {
				if l.key > 0 && b.bytes-l.mark <= uint64(s.limits.idle) {
					keep = min(keep, index(b, l.key))
				}
			}
			return keep
		}
		c := b.chunks[b.chunkOf(next.seq)]
		keep := min(next.seq, c.seq)
		for _, m := range c.lanes {
			l := b.lanes[m.stream]
			if m.key > 0 && (l.last >= next.seq || b == s.cur && b.bytes-l.mark <= uint64(s.limits.idle)) {
				keep = min(keep, m.key)
			}
		}
		return index(b, keep)
	}
	return s.records.Next()
}

// settleLocked forgets former boots of which nothing is left to be sent, when the
// log has nothing of them any more.
func (s *Spool) settleLocked() {
	kept := s.boots[:0]
	for _, b := range s.boots {
		if first, _, ok := b.logged(1); ok {
			b.tidy(first)
		}
		if b == s.cur {
			kept = append(kept, b)
			continue
		}
		if _, ok := s.nextLocked(b, 0, b.next); !ok {
			b.done.add(1, b.next-1)
			b.chunks = nil
		}
		if len(b.runs) > 0 {
			kept = append(kept, b)
		}
	}
	clear(s.boots[len(kept):])
	s.boots = kept
}

// noteCursor writes down now and then what was acknowledged.
func (s *Spool) noteCursor() error {
	s.mu.Lock()
	due := s.stats.cursorChanged && s.now().Sub(s.stats.cursorAt).Abs() >= cursorInterval
	if due {
		s.stats.cursorAt = s.now()
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	return s.saveCursor(s.fragile)
}
