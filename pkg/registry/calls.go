package registry

import (
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Reply is the answer to a ProbeAck.
type Reply struct {
	OK         bool
	Message    string
	MaxRetries int
	Instance   string            // empty until the worker was admitted once
	State      model.WorkerState // zero when the ProbeAck was not usable
}

// ProbeAck handles a worker's wish to be registered. The caller has judged it
// already (e.Verdict); the registry refuses besides when the fleet is full, when
// the announcement is out of bounds, and in a cool-down.
func (r *Registry) ProbeAck(e ProbeAck) Reply {
	r.mu.Lock()
	defer r.unlock()
	r.stats.ProbeAcks++
	if e.ID.IsZero() || !fits(e.Host, e.Version) {
		r.stats.Answers[RefuseInvalid]++
		return Reply{Message: RefuseInvalid.Text()}
	}
	e.Source = e.Source.Unmap()
	e.Host.Ports = slices.Clone(e.Host.Ports)
	now := r.now()
	known := r.known[e.ID]
	if known == nil {
		known = r.addLocked(NewWorker(e.ID, now, r.policy))
	}
	if e.Verdict == Admit && !known.isMember && r.members.Len() >= r.cfg.MaxWorkers {
		e.Verdict, e.Message = RefuseFull, ""
	}
	turns := known.w.Conflicts
	answer := r.stepLocked(known, e, now)
	r.stats.TurnsTaken += known.w.Conflicts - turns
	if !known.isMember {
		r.others.MoveToFront(known.place)
		r.trimLocked()
	}
	switch {
	case answer.CoolingDown:
		r.stats.CoolingDown++
	case e.Verdict < verdictCount:
		r.stats.Answers[e.Verdict]++
	default:
		r.stats.Answers[RefusePolicy]++
	}
	return Reply{OK: answer.OK, Message: answer.Message, MaxRetries: answer.MaxRetries,
		Instance: known.w.Instance, State: known.w.State}
}

// Contact renews the lease of a member that was heard at the given time; the
// zero time means now. It is false when id is not a living member: unknown,
// waiting, or gone with a goodbye. Only the distance of at from now counts, so a
// time made by subtracting an age from time.Now is proof against clock steps;
// times in the future count as now.
func (r *Registry) Contact(id model.WorkerID, at time.Time) bool {
	r.mu.Lock()
	defer r.unlock()
	return r.contactLocked(id, at, r.now())
}

// KeepAlive is Contact of a worker that has just called by itself, and whose
// clock is ahead of ours by offset.
func (r *Registry) KeepAlive(id model.WorkerID, offset time.Duration) bool {
	r.mu.Lock()
	defer r.unlock()
	e := r.livingLocked(id)
	if e == nil {
		return false
	}
	r.stats.Renewals++
	r.stepLocked(e, Contact{Offset: offset, HasOffset: true}, r.now())
	return true
}

// Sighting is one contact of a batch.
type Sighting struct {
	ID model.WorkerID
	At time.Time // zero: now
}

// Contacts is Contact for many at once. It returns the ids that are not living
// members, in their order, nil when there are none.
func (r *Registry) Contacts(batch []Sighting) (unknown []model.WorkerID) {
	r.mu.Lock()
	defer r.unlock()
	now := r.now()
	for i := range batch {
		if !r.contactLocked(batch[i].ID, batch[i].At, now) {
			unknown = append(unknown, batch[i].ID)
		}
	}
	return unknown
}

func (r *Registry) contactLocked(id model.WorkerID, at, now time.Time) bool {
	e := r.livingLocked(id)
	if e == nil {
		return false
	}
	var c Contact
	if !at.IsZero() {
		c.Ago = now.Sub(at)
	}
	r.stats.Renewals++
	r.stepLocked(e, c, now)
	return true
}

// livingLocked returns the member that can be heard, or counts that there is none.
func (r *Registry) livingLocked(id model.WorkerID) *entry {
	e := r.known[id]
	if e == nil || !e.isMember || e.w.State == model.Left {
		r.stats.UnknownContacts++
		return nil
	}
	return e
}

// Leave records a member's goodbye. It is false when id is not a member.
func (r *Registry) Leave(id model.WorkerID) bool {
	r.mu.Lock()
	defer r.unlock()
	e := r.known[id]
	if e == nil {
		return false
	}
	member := e.isMember
	r.stepLocked(e, Leave{}, r.now())
	return member
}

// Forget removes a worker with all that is known of it; its instance name may
// go to another worker. If it still lives it is registered anew as soon as it
// asks. It is false when id is not known.
func (r *Registry) Forget(id model.WorkerID) bool {
	r.mu.Lock()
	defer r.unlock()
	e := r.known[id]
	if e == nil {
		return false
	}
	r.noteLocked(e, noteForgotten, e.w.State)
	r.stats.Forgotten++
	r.removeLocked(e)
	return true
}

// Worker returns one known worker, member or not.
func (r *Registry) Worker(id model.WorkerID) (Worker, bool) {
	r.mu.Lock()
	defer r.unlock()
	e := r.known[id]
	if e == nil {
		return Worker{}, false
	}
	return e.w, true
}

// Workers returns all members, sorted by instance name.
func (r *Registry) Workers() []Worker {
	all := r.copyOf(true)
	slices.SortFunc(all, func(a, b Worker) int { return strings.Compare(a.Instance, b.Instance) })
	return all
}

// Candidates returns the workers that asked and were never admitted: those that
// wait for approval and those that were refused. The one heard last is first.
func (r *Registry) Candidates() []Worker { return r.copyOf(false) }

func (r *Registry) copyOf(members bool) []Worker {
	r.mu.Lock()
	defer r.unlock()
	from := r.others
	if members {
		from = r.members
	}
	all := make([]Worker, 0, from.Len())
	for place := from.Front(); place != nil; place = place.Next() {
		all = append(all, place.Value.(*entry).w)
	}
	return all
}
