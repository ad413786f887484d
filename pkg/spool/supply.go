package spool

import (
	"context"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Places of the stretches that are under way, in Spool.given.
const (
	givenLive = iota
	givenBacklog
)

// Session names this process: it is Boot.
func (s *Spool) Session() model.BootID { return s.deps.Boot }

// Live returns the stretch of this process that goes on as records come. It begins
// with the oldest record that the collector does not have, or, if what was left
// behind is more than LiveBacklog, with the newest one; the others become a backlog.
// With OldestFirst it waits until there is no backlog. The stretch of the call before
// is not to be used any more.
func (s *Spool) Live(ctx context.Context) (*Stretch, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		if s.config.Order == OldestFirst {
			s.live = s.cur.first()
			if _, _, _, ok := s.holeLocked(); ok {
				changed := s.waitLocked()
				s.mu.Unlock()
				if err := wait(ctx, changed); err != nil {
					return nil, err
				}
				continue
			}
		}
		s.live = s.startLocked()
		st := s.giveLocked(givenLive, &Stretch{spool: s, id: s.deps.Boot, boot: s.cur, first: s.live, end: openEnd})
		s.wakeLocked() // there may be a backlog now
		s.mu.Unlock()
		return st, nil
	}
}

// Backlog waits for a stretch to deliver besides the live one, and returns the newest
// one, or with OldestFirst the oldest. The stretch of the call before is not to be used
// any more.
func (s *Spool) Backlog(ctx context.Context) (*Stretch, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		if b, from, to, ok := s.holeLocked(); ok {
			st := s.giveLocked(givenBacklog, &Stretch{spool: s, id: b.start.id, boot: b, first: from, end: to + 1})
			s.mu.Unlock()
			return st, nil
		}
		changed := s.waitLocked()
		s.mu.Unlock()
		if err := wait(ctx, changed); err != nil {
			return nil, err
		}
	}
}

func wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// giveLocked remembers a stretch, and lets the one before it go.
func (s *Spool) giveLocked(place int, st *Stretch) *Stretch {
	if old := s.given[place]; old != nil && old.reading.TryLock() { // if it is used all the same, the garbage collector closes its file
		old.release()
		old.reading.Unlock()
	}
	s.given[place] = st
	return st
}

// letGo closes the files of the stretches that are under way, when the spool is closed.
func (s *Spool) letGo() {
	s.mu.Lock()
	given := s.given
	s.given = [2]*Stretch{}
	s.mu.Unlock()
	for _, st := range given {
		if st != nil {
			st.reading.Lock()
			st.release()
			st.reading.Unlock()
		}
	}
}

// startLocked is the number with which a live stretch begins.
func (s *Spool) startLocked() uint64 {
	b := s.cur
	if s.config.Order == OldestFirst {
		return b.first()
	}
	holes, last := 0, b.next
	b.done.gaps(1, b.next-1, func(from, _ uint64) bool {
		holes, last = holes+1, from
		return true
	})
	for _, former := range s.boots[:len(s.boots)-1] {
		former.done.gaps(1, former.next-1, func(uint64, uint64) bool {
			holes++
			return true
		})
	}
	if last == b.next || holes > maxHoles || b.size(last, b.next-1) <= uint64(s.config.LiveBacklog) {
		return last
	}
	return b.next - 1
}

// holeLocked returns the stretch that is to be delivered next besides the live one.
func (s *Spool) holeLocked() (b *boot, from, to uint64, ok bool) {
	for i := range s.boots {
		if s.config.Order == NewestFirst {
			i = len(s.boots) - 1 - i
		}
		b := s.boots[i]
		if from, to, ok := s.holeOfLocked(b); ok {
			return b, from, to, true
		}
	}
	return nil, 0, 0, false
}

func (s *Spool) holeOfLocked(b *boot) (from, to uint64, ok bool) {
	end := b.next // behind what the live stretch does not have
	if b == s.cur {
		end = s.live
	}
	if end <= 1 || b.start.id.IsZero() {
		return 0, 0, false
	}
	var empty []interval
	b.done.gaps(1, end-1, func(first, last uint64) bool {
		if _, some := s.nextLocked(b, first-1, last+1); !some {
			if b != s.cur || last < end-1 {
				empty = append(empty, interval{first, last}) // nothing is left of it, or definitions only
			}
			return true
		}
		from, to, ok = first, last, true
		return s.config.Order == NewestFirst // the last one that is found
	})
	for _, i := range empty {
		b.done.add(i.from, i.to)
	}
	return from, to, ok
}
