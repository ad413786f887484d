package registry

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
)

const (
	fireBatch     = 256       // deadlines handled before others get the lock
	saveBatch     = 4096      // workers written in one transaction
	longestSleep  = time.Hour // between looks at the timers
	postponeStuck = int64(time.Millisecond)
)

// Run lets deadlines happen and writes changes to the file, until ctx ends or
// the registry is closed; then it returns nil. Only one Run at a time.
func (r *Registry) Run(ctx context.Context) error {
	r.mu.Lock()
	switch {
	case r.isClosed:
		r.unlock()
		return ErrClosed
	case r.isRunning:
		r.unlock()
		return errors.New("registry is already running")
	}
	r.isRunning = true
	r.runs.Add(1)
	r.unlock()

	saver := boltfile.Saver{Gather: r.cfg.PersistInterval, Changed: r.unsaved, Closed: r.closed, Save: r.save,
		Failed: func(err error) { r.log.Error("registry not saved, will try again", "err", err) }}
	var saving sync.WaitGroup
	saving.Go(func() { saver.Run(ctx) })
	r.fireUntil(ctx)
	saving.Wait()

	r.mu.Lock()
	r.isRunning = false
	r.unlock()
	r.runs.Done()
	return nil
}

func (r *Registry) fireUntil(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.closed:
			return
		case <-r.wake:
		case <-timer.C:
		}
		timer.Reset(r.fire())
	}
}

// fire handles all deadlines that have come, and returns for how long there will
// be none.
func (r *Registry) fire() time.Duration {
	for {
		if wait, ok := r.fireSome(); ok {
			return min(wait, longestSleep)
		}
	}
}

// fireSome handles a batch of them; ok means that none is left.
func (r *Registry) fireSome() (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.unlock()
	now := r.now()
	clock := int64(now.Sub(r.epoch))
	for range fireBatch {
		t, any := r.timers.next()
		if !any {
			r.sleepTo = never
			return longestSleep, true
		}
		if t.at > clock {
			r.sleepTo = t.at
			return time.Duration(t.at - clock), true
		}
		r.fireLocked(t, now, clock)
	}
	return 0, false
}

func (r *Registry) fireLocked(t timer, now time.Time, clock int64) {
	e := r.slots[t.slot]
	r.stats.TimersFired++
	e.armed = never // whatever comes out is to be set anew
	r.stepLocked(e, Deadline{}, now)
	if r.slots[t.slot] == e && e.armed <= clock {
		// Only a clock without monotonic reading that jumps gets here.
		e.armed = clock + postponeStuck
		r.timers.set(t.slot, e.armed)
	}
}

// save writes what is dirty, members and removals always, the others if asked.
// The lock is not held meanwhile. What a failed transaction held is dirty again.
func (r *Registry) save(others bool) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	for {
		c, from := r.takeUnsaved(others)
		if len(c.put)+len(c.remove) == 0 {
			return nil
		}
		err := r.disk.Update(c.write)
		r.mu.Lock()
		if err != nil {
			r.stats.WriteErrors++
			r.giveBackLocked(c, from)
		} else {
			r.stats.Writes++
			r.stats.WrittenValues += uint64(len(c.put) + len(c.remove))
		}
		r.unlock()
		if err != nil {
			return err
		}
	}
}

// takeUnsaved collects the content of one transaction. Removals go first, in
// earlier transactions if there are many: an id may have come back since.
func (r *Registry) takeUnsaved(others bool) (c changes, from []*entry) {
	r.mu.Lock()
	defer r.unlock()
	c.feed = r.feed.version
	for id := range r.gone {
		if len(c.remove) == saveBatch {
			return c, nil
		}
		delete(r.gone, id)
		c.remove = append(c.remove, id)
	}
	take := func(dirty map[*entry]struct{}) {
		for e := range dirty {
			if len(from) == saveBatch {
				return
			}
			delete(dirty, e)
			e.onDisk = true // already, for a removal that comes before it is written
			from = append(from, e)
			c.put = append(c.put, e.w)
		}
	}
	take(r.dirty)
	if others {
		take(r.dirtyCandidates)
	}
	return c, from
}

func (r *Registry) giveBackLocked(c changes, from []*entry) {
	for _, e := range from {
		switch {
		case r.known[e.w.ID] != e: // forgotten meanwhile
		case e.isMember:
			r.dirty[e] = struct{}{}
		default:
			r.dirtyCandidates[e] = struct{}{}
		}
	}
	for _, id := range c.remove {
		r.gone[id] = struct{}{}
	}
}
