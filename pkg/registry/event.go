package registry

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Event is something that happens to one worker: ProbeAck, Contact, Deadline or
// Leave.
type Event interface{ isEvent() }

// ProbeAck is a worker asking to be registered, or to stay so.
type ProbeAck struct {
	ID        model.WorkerID
	Host      model.HostInfo // Next and Registry take over the Ports slice: do not write it afterwards
	Source    netip.Addr     // who sent it, without the port; may be invalid when not known
	KeepAlive time.Duration  // as declared; 0: not declared
	Version   string
	// Offset is how far the worker's clock is ahead of ours, if HasOffset: it was
	// proved that the worker said so.
	Offset    time.Duration
	HasOffset bool
	// Verdict is what the admission decided, Admit by default. It does not
	// concern itself with budgets and cool-downs: Next does.
	Verdict Verdict
	// Message is shown to a worker that is not admitted; the text of the verdict
	// when empty.
	Message string
}

// Contact is any other sign of life that proves who sent it: a keep-alive call
// or an accepted frame.
type Contact struct {
	// Ago is how long it has been, by a clock of the fleet's servers and never by
	// the worker's. Negative counts as 0.
	Ago time.Duration
	// Offset is how far the worker's clock is ahead of ours, if HasOffset.
	Offset    time.Duration
	HasOffset bool
}

// Deadline says that the time which Worker.Deadline named may have come. One
// that comes too early does nothing.
type Deadline struct{}

// Leave is the worker's goodbye.
type Leave struct{}

func (ProbeAck) isEvent() {}
func (Contact) isEvent()  {}
func (Deadline) isEvent() {}
func (Leave) isEvent()    {}

// Verdict is the decision about a worker that asks to be registered. All but
// Admit and Hold are refusals and cost the worker one of its retries.
type Verdict uint8

// The verdicts.
const (
	Admit          Verdict = iota
	Hold                   // waits for an operator: pending
	RefuseFull             // the fleet is full
	RefuseIdentity         // identity in use by another machine
	RefuseRevoked          // the operator has shut it out
	RefusePolicy           // any other rule of the operator
	RefuseInvalid          // its announcement is not usable
	verdictCount
)

var verdicts = [verdictCount]struct{ name, text string }{
	Admit:          {"admitted", "Successfully registered at collector host."}, // the legacy system's words
	Hold:           {"held", "waiting for approval"},
	RefuseFull:     {"fleet_full", "fleet is full"},
	RefuseIdentity: {"identity_in_use", "identity in use by another machine"},
	RefuseRevoked:  {"revoked", "worker is revoked"},
	RefusePolicy:   {"policy", "not admitted to this fleet"},
	RefuseInvalid:  {"invalid", "announcement is not usable"},
}

// String is the name for counters and logs.
func (v Verdict) String() string {
	if v < verdictCount {
		return verdicts[v].name
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Text is what the worker is told when the event brings no message.
func (v Verdict) Text() string {
	if v < verdictCount {
		return verdicts[v].text
	}
	return verdicts[RefusePolicy].text
}

// Verdicts lists all verdicts, for the labels of counters.
func Verdicts() []Verdict {
	all := make([]Verdict, verdictCount)
	for i := range all {
		all[i] = Verdict(i)
	}
	return all
}

// Action is what the caller of Next has to do: SendRegisterAck, StateChanged,
// HostChanged, ClockChanged, ConflictChanged, Persist or Drop.
type Action interface{ isAction() }

// SendRegisterAck answers the ProbeAck. MaxRetries is how many further attempts
// the worker has: 0 after success (nothing left to do) and in cool-down.
type SendRegisterAck struct {
	OK         bool
	Message    string
	MaxRetries int
	// CoolingDown says that the worker was turned away for having no retries left,
	// whatever the verdict.
	CoolingDown bool
}

// StateChanged tells of a change of state, once.
type StateChanged struct{ From, To model.WorkerState }

// HostChanged says that the worker has a new host name, address or port.
type HostChanged struct{}

// ClockChanged says that the worker's clock is off by another amount.
type ClockChanged struct{}

// ConflictChanged says that two machines with one id began (or ceased) to take
// turns.
type ConflictChanged struct{ Active bool }

// Persist says that something changed which a restart must not lose.
type Persist struct{}

// Drop says that nothing of the worker is worth remembering any longer.
type Drop struct{}

func (SendRegisterAck) isAction() {}
func (StateChanged) isAction()    {}
func (HostChanged) isAction()     {}
func (ClockChanged) isAction()    {}
func (ConflictChanged) isAction() {}
func (Persist) isAction()         {}
func (Drop) isAction()            {}
