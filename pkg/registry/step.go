package registry

import (
	"context"
	"log/slog"
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

// note is a log line in waiting: nothing is logged while the lock is held.
type note struct {
	kind noteKind
	from model.WorkerState
	w    Worker
}

type noteKind uint8

const (
	noteState noteKind = iota
	noteHost
	noteConflict
	noteConflictOver
	noteForgotten
)

func (r *Registry) noteLocked(e *entry, kind noteKind, from model.WorkerState) {
	if !e.w.Admitted() && !r.log.Enabled(context.Background(), slog.LevelDebug) {
		return // strangers may be many
	}
	r.notes = append(r.notes, note{kind: kind, from: from, w: e.w})
}

// unlock releases the lock and then writes the log lines.
func (r *Registry) unlock() {
	notes := r.notes
	r.notes = nil
	r.mu.Unlock()
	for i := range notes {
		notes[i].log(r.log)
	}
}

func (n *note) log(to *slog.Logger) {
	log := to.With("worker", n.w.ID, "instance", n.w.Instance)
	switch n.kind {
	case noteState:
		if !n.w.Admitted() {
			log.Debug("worker not admitted", "from", n.from, "to", n.w.State, "host", n.w.Host, "source", n.w.Source)
			return
		}
		log.Info("worker changed state", "from", n.from, "to", n.w.State, "last_contact", n.w.LastContact)
	case noteHost:
		log.Info("worker has a new host name or address", "host", n.w.Host, "source", n.w.Source)
	case noteConflict:
		log.Warn("two machines use one worker id", "host", n.w.Host, "source", n.w.Source,
			"other_host", n.w.Rival.Host, "other_source", n.w.Rival.Source)
	case noteConflictOver:
		log.Info("only one machine uses the worker id again", "host", n.w.Host, "source", n.w.Source)
	case noteForgotten:
		log.Info("worker forgotten", "state", n.w.State)
	}
}
