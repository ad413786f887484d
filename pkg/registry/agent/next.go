package agent

import (
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Next decides what event e at time now makes of a worker's registration.
// It is pure: same arguments, same results.
//
//	                ProbeInit                    RegisterAck yes
//	INITIALIZED -----------------> REGISTERING -----------------> REGISTERED
//	  ^  ^  ^                       |      |                       |   |
//	  |  |  +-- no, retries left ---+      |                       |   |
//	  |  |      or no answer               | no, none left         |   |
//	  |  |                                 v                       |   |
//	  |  +-------- cool-down ------- REGISTER_FAILED <-------------+   |
//	  +------------------------------- no, retries left ---------------+
//
// A REGISTERED worker goes on answering: that is its heartbeat. There is one
// collector at a time. Another one's ProbeInits are ignored while an answer is
// awaited, and while the worker is REGISTERED and has heard its own collector
// within the policy's patience; after that it changes over.
func Next(a Agent, e Event, now time.Time) (Agent, []Action) {
	d := decision{a: a, now: now}
	d.a.Since, d.a.Heard = notAfter(a.Since, now), notAfter(a.Heard, now) // a clock set back starts waits anew
	d.timer()
	switch e := e.(type) {
	case ProbeInit:
		d.probeInit(e)
	case RegisterAck:
		d.registerAck(e)
	case Alive:
		if d.a.State == model.AgentRegistered {
			d.a.Heard = now
		}
	case Timer: // done for every event
	}
	return d.a, d.out
}

func notAfter(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// decision is one call of Next at work.
type decision struct {
	a   Agent
	now time.Time
	out []Action
}

func (d *decision) moveTo(state model.AgentState, why string) {
	a := &d.a
	if a.State == state {
		return
	}
	if a.State == model.AgentRegistered && a.Collector.Data.IsValid() {
		d.out = append(d.out, Disconnect{})
	}
	d.out = append(d.out, Changed{From: a.State, To: state, Why: why})
	a.State, a.Since = state, d.now
	if state == model.AgentRegistered && a.Collector.Data.IsValid() {
		d.out = append(d.out, Connect{To: a.Collector.Data})
	}
}

func (d *decision) ignore(reason IgnoreReason) {
	d.out = append(d.out, Ignored{Reason: reason})
}

// timer ends waits that are over. It runs before every event, so that a late
// timer makes no difference to what follows.
func (d *decision) timer() {
	at, ok := d.a.Deadline()
	if !ok || d.now.Before(at) {
		return
	}
	if d.a.State == model.Registering {
		d.moveTo(model.Initialized, "no answer from the coordinator")
	} else {
		d.moveTo(model.Initialized, "cool-down is over")
	}
}

func (d *decision) probeInit(e ProbeInit) {
	a := &d.a
	switch {
	case !e.Collector.Coordinator.IsValid():
		d.ignore(NoCoordinator)
		return
	case a.State == model.RegisterFailed:
		d.ignore(CoolingDown)
		return
	case a.State == model.Initialized:
	case e.Collector == a.Collector:
	case a.State == model.AgentRegistered && d.now.Sub(a.Heard) > a.patience():
		d.moveTo(model.Initialized, "collector is silent, another one is there")
	default:
		d.ignore(OtherCollector)
		return
	}
	a.Collector, a.Source, a.Heard = e.Collector, e.Source, d.now
	a.Interval = a.Policy.interval(e.Interval)
	if a.State == model.Initialized {
		a.Instance = ""
		d.moveTo(model.Registering, "probed by a collector")
	}
	d.out = append(d.out, AnswerProbe{To: a.Collector.Coordinator})
}

func (d *decision) registerAck(e RegisterAck) {
	a := &d.a
	switch {
	case a.State != model.Registering && a.State != model.AgentRegistered:
		d.ignore(NotAsked)
		return
	case !d.asked(e.From):
		d.ignore(WrongSender)
		return
	}
	a.Message, a.Retries, a.Heard = e.Message, max(e.MaxRetries, 0), d.now
	switch {
	case e.OK:
		a.Instance = e.Instance
		d.moveTo(model.AgentRegistered, "registered")
	case a.Retries > 0:
		d.moveTo(model.Initialized, "refused, may ask again")
	default:
		d.moveTo(model.RegisterFailed, "refused, no retries left")
	}
}

// asked reports whether from is the coordinator that was asked. Its port is not
// compared: legacy coordinators send from another one than they listen on. The
// host that sent the ProbeInit is the coordinator's as well, and answers from
// that address when it has several.
func (d *decision) asked(from netip.Addr) bool {
	from = plain(from)
	return from.IsValid() && (from == plain(d.a.Collector.Coordinator.Addr()) || from == plain(d.a.Source))
}

// plain is an address without zone and without the IPv4-in-IPv6 form: a packet's
// text does not know the zone that the socket reports.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
