package registry

import (
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Next decides what event e at time now makes of worker w. It is pure: same
// arguments, same results, and w itself is left alone.
//
// What it holds to:
//   - A worker becomes suspect when silent for half its lease and expired when
//     silent for all of it, never sooner and only at a Deadline.
//   - A registered worker that asks again gets the same success again.
//   - A refusal, or being held, does not touch the state, lease or host info of
//     a worker that was admitted before: the one who asks may be another machine
//     with its id.
//   - A contact revives suspect and expired workers, for it is proof of a
//     member at work. It does not revive one that left: frames may still be on
//     their way when it says goodbye. A ProbeAck revives both.
//   - Time that runs backwards starts leases and cool-downs anew; it ends none.
func Next(w Worker, e Event, now time.Time, p Policy) (Worker, []Action) {
	actions := w.step(e, now, &p, nil)
	return w, actions
}

// step is Next in place; it appends the actions to out, so that renewing a
// lease allocates nothing.
func (w *Worker) step(e Event, now time.Time, p *Policy, out []Action) []Action {
	if now.Before(w.LeaseFrom) {
		w.LeaseFrom = now
	}
	d := decision{w: w, now: now, p: p, out: out}
	switch e := e.(type) {
	case ProbeAck:
		d.probeAck(e)
	case Contact:
		d.contact(e)
	case Deadline:
		d.deadline()
	case Leave:
		d.leave()
	}
	if d.persist {
		d.out = append(d.out, Persist{})
	}
	return d.out
}

// decision is one call of Next at work.
type decision struct {
	w       *Worker
	now     time.Time
	p       *Policy
	out     []Action
	persist bool
}

func (d *decision) moveTo(state model.WorkerState) {
	if d.w.State == state {
		return
	}
	d.out = append(d.out, StateChanged{From: d.w.State, To: state})
	if state == model.Expired {
		d.w.Expirations++
	}
	d.w.State, d.w.Since = state, d.now
	d.persist = true
}

// renew starts the lease at the given time, unless it already starts later.
func (d *decision) renew(at time.Time) {
	if at.After(d.w.LeaseFrom) {
		d.w.LeaseFrom = at
	}
	if at.After(d.w.LastContact) || d.now.Before(d.w.LastContact) {
		d.w.LastContact = at
	}
}

// bySilence is the state that an admitted worker's silence calls for.
func (d *decision) bySilence() model.WorkerState {
	switch {
	case d.now.Before(d.w.SuspectAt()):
		return model.Registered
	case d.now.Before(d.w.ExpiresAt()):
		return model.Suspect
	}
	return model.Expired
}

func (d *decision) contact(e Contact) {
	switch d.w.State {
	case model.Registered, model.Suspect, model.Expired:
	default:
		return
	}
	if e.HasOffset {
		d.clock(e.Offset)
	}
	at := d.now.Add(-max(e.Ago, 0))
	if at.Before(d.w.LeaseFrom) {
		return // older news than we have
	}
	d.renew(at)
	// A late report may leave it suspect, but never makes it so: that is the
	// business of deadlines.
	if state := d.bySilence(); state < d.w.State {
		d.moveTo(state)
	}
}

func (d *decision) deadline() {
	w := d.w
	switch w.State {
	case model.Registered, model.Suspect:
		if state := d.bySilence(); state > w.State {
			d.moveTo(state)
		}
	default:
		if at, ok := w.Deadline(*d.p); ok && !d.now.Before(at) {
			d.out = append(d.out, Drop{})
		}
	}
}

func (d *decision) leave() {
	if d.w.Admitted() {
		d.moveTo(model.Left)
		return
	}
	d.out = append(d.out, Drop{})
}

func (d *decision) probeAck(e ProbeAck) {
	w := d.w
	d.restoreBudget()
	member := w.State == model.Registered || w.State == model.Suspect
	if w.RetriesLeft == 0 && !(member && e.Verdict == Admit) {
		d.identify(e, !w.Admitted())
		d.touchCandidate()
		d.out = append(d.out, SendRegisterAck{CoolingDown: true, Message: fmt.Sprintf("%s; out of retries for another %v",
			refusalText(e, w.Refusal), w.CoolDownUntil.Sub(d.now).Round(time.Second))})
		return
	}
	switch e.Verdict {
	case Admit:
		d.admit(e)
	case Hold:
		d.hold(e)
	default:
		d.refuse(e)
	}
}

// restoreBudget ends a cool-down that has passed, and follows a policy that was
// tightened meanwhile.
func (d *decision) restoreBudget() {
	w := d.w
	w.RetriesLeft = min(w.RetriesLeft, d.p.RetryLimit)
	if w.RetriesLeft > 0 {
		return
	}
	if latest := d.now.Add(d.p.CoolDown); w.CoolDownUntil.After(latest) {
		w.CoolDownUntil = latest // the clock was set back
	}
	if !d.now.Before(w.CoolDownUntil) {
		d.fullBudget()
	}
}

func (d *decision) fullBudget() {
	w := d.w
	if w.RetriesLeft != d.p.RetryLimit || !w.CoolDownUntil.IsZero() {
		w.RetriesLeft, w.CoolDownUntil = d.p.RetryLimit, time.Time{}
		d.persist = true
	}
}

func (d *decision) admit(e ProbeAck) {
	w := d.w
	d.identify(e, true)
	d.describe(e)
	if e.HasOffset {
		d.clock(e.Offset)
	}
	d.renew(d.now)
	d.fullBudget()
	w.Refusal = Admit
	d.moveTo(model.Registered)
	d.reply(true, Admit.Text(), 0)
}

// hold keeps the worker waiting at no cost to its budget.
func (d *decision) hold(e ProbeAck) {
	d.identify(e, !d.w.Admitted())
	if !d.w.Admitted() {
		d.describe(e)
		d.moveTo(model.Pending)
	}
	d.touchCandidate()
	d.w.Refusal = Hold
	d.reply(false, refusalText(e, Hold), d.w.RetriesLeft)
}

func (d *decision) refuse(e ProbeAck) {
	w := d.w
	d.identify(e, !w.Admitted())
	if !w.Admitted() {
		d.describe(e)
		d.moveTo(model.Probed)
	}
	d.touchCandidate()
	w.Refusal = e.Verdict
	w.RetriesLeft--
	if w.RetriesLeft == 0 {
		w.CoolDownUntil = d.now.Add(d.p.CoolDown)
	}
	d.persist = true
	d.reply(false, refusalText(e, e.Verdict), w.RetriesLeft)
}

// touchCandidate keeps a worker in mind that is not admitted and asks again.
func (d *decision) touchCandidate() {
	if !d.w.Admitted() {
		d.renew(d.now)
	}
}

// describe takes over what the worker says of itself besides its host info.
func (d *decision) describe(e ProbeAck) {
	w := d.w
	if lease := d.p.Lease(e.KeepAlive); lease != w.KeepAlive || e.Version != w.Version {
		w.KeepAlive, w.Version = lease, e.Version
		d.persist = true
	}
}

// OffsetStep is by how much a worker's clock has to be off otherwise than before
// to be news: what the network adds to it moves all the time.
const OffsetStep = 100 * time.Millisecond

func (d *decision) clock(offset time.Duration) {
	if (offset - d.w.ClockOffset).Abs() < OffsetStep {
		return
	}
	d.w.ClockOffset = offset
	d.out = append(d.out, ClockChanged{})
}

func (d *decision) reply(ok bool, message string, maxRetries int) {
	d.out = append(d.out, SendRegisterAck{OK: ok, Message: message, MaxRetries: maxRetries})
}

// refusalText is the event's message or else what the verdict says; an event
// that would be admitted but for the cool-down repeats the cause of that.
func refusalText(e ProbeAck, last Verdict) string {
	switch {
	case e.Message != "":
		return e.Message
	case e.Verdict != Admit:
		return e.Verdict.Text()
	case last != Admit:
		return last.Text()
	}
	return RefusePolicy.Text()
}
