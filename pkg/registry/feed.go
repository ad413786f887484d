package registry

import (
	"context"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// feed numbers the changes of members. There is no queue of changes: members are
// kept in the order of their last change, so a reader is given those changed
// since it last asked, each once and as it is now, however slow the reader is.
// What happened in between shows in Worker.Expirations.
type feed struct {
	version uint64 // of the newest change
	oldest  uint64 // readers that know less than this get everything
	removed []removal
	waiting chan struct{} // closed at the next change; nil while nobody waits
}

type removal struct {
	id      model.WorkerID
	version uint64
}

// maxRemovals bounds the remembered removals.
const maxRemovals = 1024

// newFeed starts above all versions of earlier runs: the numbers follow the
// clock in microseconds, or the newest stored number when the clock was set
// back, so that a reader from before a restart cannot mistake an old version for a
// new one. They stay below 2^53, which JSON readers rely on.
func newFeed(now time.Time, stored uint64) feed {
	const lostInACrash = 1 << 20
	version := max(uint64(max(now.UnixMicro(), 0)), stored+lostInACrash)
	return feed{version: version, oldest: version}
}

// next numbers a change and wakes those who wait for it. They cannot look before
// the registry's lock is released.
func (f *feed) next() uint64 {
	f.version++
	if f.waiting != nil {
		close(f.waiting)
		f.waiting = nil
	}
	return f.version
}

func (f *feed) remove(id model.WorkerID) {
	if len(f.removed) == maxRemovals {
		n := maxRemovals / 2
		f.oldest = f.removed[n-1].version
		f.removed = slices.Delete(f.removed, 0, n)
	}
	f.removed = append(f.removed, removal{id: id, version: f.next()})
}

// Delta is what changed in the registry since a version.
type Delta struct {
	Version uint64 // to ask with next time
	// Full says that Workers are all members, not only the changed ones: what the
	// reader has beyond them is to be dropped.
	Full    bool
	Workers []Worker         // in the order of their last change, oldest first
	Removed []model.WorkerID // members forgotten; empty when Full
}

// Changes returns what changed since version since, and waits for a change when
// there was none. Renewed leases are no change. A version that is too old, or
// not from this registry, like 0, gets everything at once. It returns ctx.Err()
// with a Delta of version since when ctx ends first, and ErrClosed when the
// registry is closed. The result is bounded by the number of members.
func (r *Registry) Changes(ctx context.Context, since uint64) (Delta, error) {
	for {
		r.mu.Lock()
		switch {
		case r.isClosed:
			r.unlock()
			return Delta{Version: since}, ErrClosed
		case since != r.feed.version:
			d := r.deltaLocked(since)
			r.unlock()
			return d, nil
		}
		if r.feed.waiting == nil {
			r.feed.waiting = make(chan struct{})
		}
		waiting := r.feed.waiting
		r.unlock()
		select {
		case <-ctx.Done():
			return Delta{Version: since}, ctx.Err()
		case <-r.closed:
		case <-waiting:
		}
	}
}

func (r *Registry) deltaLocked(since uint64) Delta {
	d := Delta{Version: r.feed.version, Full: since < r.feed.oldest || since > r.feed.version}
	for place := r.members.Front(); place != nil; place = place.Next() {
		e := place.Value.(*entry)
		if !d.Full && e.version <= since {
			break
		}
		d.Workers = append(d.Workers, e.w)
	}
	slices.Reverse(d.Workers)
	if d.Full {
		return d
	}
	for _, gone := range r.feed.removed {
		if e := r.known[gone.id]; gone.version > since && (e == nil || !e.isMember) {
			d.Removed = append(d.Removed, gone.id)
		}
	}
	return d
}
