package registry

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// stepLocked lets Next's decision happen to e and carries out its actions,
// except the answer, which it returns. e may be gone afterwards.
func (r *Registry) stepLocked(e *entry, ev Event, now time.Time) (answer SendRegisterAck) {
	r.actions = e.w.step(ev, now, &r.policy, r.actions[:0])
	changed := false
	for _, action := range r.actions {
		switch action := action.(type) {
		case SendRegisterAck:
			answer = action
		case StateChanged:
			changed = true
			r.stateLocked(e, action)
		case HostChanged:
			changed = true
			if e.isMember {
				r.noteLocked(e, noteHost, e.w.State)
			}
		case ClockChanged:
			changed = true
		case ConflictChanged:
			changed = true
			r.conflictLocked(e, action.Active)
		case Persist:
			changed = true
			r.saveLaterLocked(e)
		case Drop:
			if e.isMember {
				r.stats.Forgotten++
				r.noteLocked(e, noteForgotten, e.w.State)
			}
			r.removeLocked(e)
			return answer
		}
	}
	if changed {
		r.changedLocked(e)
	}
	r.armLocked(e)
	return answer
}

func (r *Registry) stateLocked(e *entry, change StateChanged) {
	r.stats.States[change.From]--
	r.stats.States[change.To]++
	switch change.To {
	case model.Suspect:
		if change.From == model.Registered {
			r.stats.Suspicions++
		}
	case model.Expired:
		r.stats.Expirations++
	case model.Registered:
		if e.isMember {
			r.stats.Revivals++
		} else {
			r.promoteLocked(e)
		}
	}
	r.noteLocked(e, noteState, change.From)
}

func (r *Registry) conflictLocked(e *entry, active bool) {
	if active {
		r.stats.Conflicts++
		r.noteLocked(e, noteConflict, e.w.State)
	} else {
		r.stats.Conflicts--
		r.noteLocked(e, noteConflictOver, e.w.State)
	}
}

// changedLocked shows a member's change to those who follow the feed.
func (r *Registry) changedLocked(e *entry) {
	if e.isMember {
		e.version = r.feed.next()
		r.members.MoveToFront(e.place)
	}
}

// saveLaterLocked marks e to be written. Members are written within the persist
// interval; the others, whom anybody can make up, with the next slow round.
func (r *Registry) saveLaterLocked(e *entry) {
	if !e.isMember {
		r.dirtyCandidates[e] = struct{}{}
		return
	}
	r.dirty[e] = struct{}{}
	signal(r.unsaved)
}

// armLocked sets the timer of e if it has to fire earlier than it would. One
// that fires too early sets itself anew, so a renewed lease costs nothing here.
func (r *Registry) armLocked(e *entry) {
	deadline, ok := e.w.Deadline(r.policy)
	if !ok {
		r.timers.remove(e.slot)
		e.armed = never
		return
	}
	if at := int64(deadline.Sub(r.epoch)); at < e.armed {
		e.armed = at
		r.timers.set(e.slot, at)
		if at < r.sleepTo {
			signal(r.wake)
		}
	}
}

// signal raises a flag of capacity one.
func signal(flag chan struct{}) {
	select {
	case flag <- struct{}{}:
	default:
	}
}
