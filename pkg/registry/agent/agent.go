package agent

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Policy is what Next goes by.
type Policy struct {
	// Patience is for how many announced probe intervals a worker waits for a
	// RegisterAck, and sticks to a collector that it no longer hears.
	Patience int
	// CoolDown is for how long a worker that was told to give up does not ask.
	CoolDown time.Duration
	// Interval is taken when a ProbeInit announces none; announced ones are
	// brought within IntervalMin and IntervalMax.
	Interval, IntervalMin, IntervalMax time.Duration
}

// DefaultPolicy returns the defaults: three intervals of ten seconds, and a
// minute of cool-down.
func DefaultPolicy() Policy {
	return Policy{Patience: 3, CoolDown: time.Minute,
		Interval: 10 * time.Second, IntervalMin: time.Second, IntervalMax: 10 * time.Minute}
}

// Validate reports the first field that is out of bounds.
func (p Policy) Validate() error {
	switch {
	case p.Patience < 1:
		return fmt.Errorf("patience = %d: want at least 1 interval", p.Patience)
	case p.CoolDown < 0:
		return fmt.Errorf("cool-down of %v: want at least 0s", p.CoolDown)
	case p.IntervalMin <= 0 || p.IntervalMax < p.IntervalMin || p.Interval < p.IntervalMin || p.Interval > p.IntervalMax:
		return fmt.Errorf("probe interval %v: want it within bounds %v to %v above 0s", p.Interval, p.IntervalMin, p.IntervalMax)
	}
	return nil
}

func (p Policy) interval(announced time.Duration) time.Duration {
	if announced <= 0 {
		announced = p.Interval
	}
	return min(max(announced, p.IntervalMin), p.IntervalMax)
}

// Collector tells one collector from another, for a worker. Comparable.
type Collector struct {
	Hostname    string
	Coordinator netip.AddrPort // where ProbeAcks go
	Data        netip.AddrPort // where frames go; the zero value when it takes none
}

// Agent is a worker's view of its own registration. It is a value without
// pointers. The zero Agent is not ready; use New.
type Agent struct {
	Policy Policy
	State  model.AgentState
	Since  time.Time // when State was entered

	// Collector is the one asked or registered with, in REGISTERING and
	// REGISTERED; the one last asked otherwise.
	Collector Collector
	Source    netip.Addr    // where its last ProbeInit came from
	Interval  time.Duration // between its ProbeInits, as announced and bounded
	Heard     time.Time     // when it last gave a sign of life
	Instance  string        // the name it gave us, once registered
	// Message and Retries are what the last RegisterAck said.
	Message string
	Retries int
}

// New is an agent that waits for its first ProbeInit.
func New(p Policy, now time.Time) Agent {
	return Agent{Policy: p, State: model.Initialized, Since: now, Interval: p.interval(0)}
}

// Deadline is when Next wants to be called with a Timer event, if at all.
func (a *Agent) Deadline() (at time.Time, ok bool) {
	switch a.State {
	case model.Registering:
		return a.Since.Add(a.patience()), true
	case model.RegisterFailed:
		return a.Since.Add(a.Policy.CoolDown), true
	}
	return time.Time{}, false
}

func (a *Agent) patience() time.Duration { return time.Duration(a.Policy.Patience) * a.Interval }

// Event is ProbeInit, RegisterAck, Alive or Timer.
type Event interface{ isEvent() }

// ProbeInit is a collector that announces itself.
type ProbeInit struct {
	Collector Collector
	Source    netip.Addr    // who sent the datagram
	Interval  time.Duration // announced time between ProbeInits; 0: not announced
}

// RegisterAck is the coordinator's answer.
type RegisterAck struct {
	From       netip.Addr // who sent it
	OK         bool
	Message    string
	MaxRetries int    // further attempts, when not OK
	Instance   string // the worker's name in the fleet; may be empty
}

// Alive is any other sign that the collector is there: the data stream to it
// made progress. It keeps the worker from changing over to another one while
// only the ProbeInits are lost.
type Alive struct{}

// Timer says that the time which Agent.Deadline named may have come. One that
// comes too early does nothing.
type Timer struct{}

func (ProbeInit) isEvent()   {}
func (RegisterAck) isEvent() {}
func (Alive) isEvent()       {}
func (Timer) isEvent()       {}

// Action is what the caller of Next has to do: AnswerProbe, Connect,
// Disconnect, Changed or Ignored.
type Action interface{ isAction() }

// AnswerProbe sends a ProbeAck, after the random delay that the fleet needs.
type AnswerProbe struct{ To netip.AddrPort }

// Connect opens the data stream, and keeps it open until Disconnect.
type Connect struct{ To netip.AddrPort }

// Disconnect ends the data stream. Frames are spooled meanwhile.
type Disconnect struct{}

// Changed tells of a change of state, once, and why, for the log.
type Changed struct {
	From, To model.AgentState
	Why      string
}

// Ignored says that the event changed nothing, and why, for a counter.
type Ignored struct{ Reason IgnoreReason }

func (AnswerProbe) isAction() {}
func (Connect) isAction()     {}
func (Disconnect) isAction()  {}
func (Changed) isAction()     {}
func (Ignored) isAction()     {}

// IgnoreReason is why an event was ignored: a small closed set.
type IgnoreReason uint8

// The reasons.
const (
	OtherCollector IgnoreReason = iota + 1 // ProbeInit while another collector is ours
	CoolingDown                            // ProbeInit while told to give up for a while
	NoCoordinator                          // ProbeInit that does not say where to answer
	WrongSender                            // RegisterAck of somebody we did not ask
	NotAsked                               // RegisterAck while no question is open
	ignoreReasonCount
)

var ignoreReasons = [ignoreReasonCount]string{OtherCollector: "other_collector", CoolingDown: "cooling_down",
	NoCoordinator: "no_coordinator", WrongSender: "wrong_sender", NotAsked: "not_asked"}

func (i IgnoreReason) String() string {
	if i > 0 && i < ignoreReasonCount {
		return ignoreReasons[i]
	}
	return fmt.Sprintf("reason(%d)", uint8(i))
}

// IgnoreReasons lists all reasons, for the labels of counters.
func IgnoreReasons() []IgnoreReason {
	return []IgnoreReason{OtherCollector, CoolingDown, NoCoordinator, WrongSender, NotAsked}
}
