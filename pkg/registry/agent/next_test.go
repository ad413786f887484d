package agent

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// t0 is when the scripts begin.
var t0 = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func collectorNamed(name, addr string) ProbeInit {
	return ProbeInit{
		Collector: Collector{Hostname: name, Coordinator: netip.MustParseAddrPort(addr + ":10100"), Data: netip.MustParseAddrPort(addr + ":9090")},
		Source:    netip.MustParseAddr(addr), Interval: 10 * time.Second,
	}
}

// A script of events, each with what it has to lead to. The collectors are
// announced every 10 s, patience is 3 intervals, the cool-down a minute.
func TestNext(t *testing.T) {
	const (
		initialized, registering = model.Initialized, model.Registering
		registered, failed       = model.AgentRegistered, model.RegisterFailed
	)
	a, b := collectorNamed("a", "10.0.0.1"), collectorNamed("b", "10.0.0.2")
	ack := func(from ProbeInit, ok bool, left int) RegisterAck {
		return RegisterAck{From: from.Source, OK: ok, Message: "because", MaxRetries: left, Instance: "web"}
	}
	answer := func(c ProbeInit) Action { return AnswerProbe{To: c.Collector.Coordinator} }
	connect := func(c ProbeInit) Action { return Connect{To: c.Collector.Data} }
	change := func(from, to model.AgentState, why string) Action {
		return Changed{From: from, To: to, Why: why}
	}
	var (
		asks     = change(initialized, registering, "probed by a collector")
		gotIn    = change(registering, registered, "registered")
		ignored  = func(r IgnoreReason) []Action { return []Action{Ignored{Reason: r}} }
		noAnswer = change(registering, initialized, "no answer from the coordinator")
	)
	type step struct {
		at    int // seconds
		event Event
		want  []Action
		state model.AgentState
	}
	join := []step{
		{0, a, []Action{asks, answer(a)}, registering},
		{1, ack(a, true, 0), []Action{gotIn, connect(a)}, registered},
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"registered, and answers as a heartbeat", append(join[:2:2],
			step{10, a, []Action{answer(a)}, registered},
			step{11, ack(a, true, 0), nil, registered},
			step{20, a, []Action{answer(a)}, registered},
			step{5000, Timer{}, nil, registered},
		)},
		{"the answer is lost", []step{
			{0, a, []Action{asks, answer(a)}, registering},
			{10, a, []Action{answer(a)}, registering},
			{29, Timer{}, nil, registering},
			{30, Timer{}, []Action{noAnswer}, initialized},
			{31, ack(a, true, 0), ignored(NotAsked), initialized},
			{35, b, []Action{asks, answer(b)}, registering},
		}},
		{"a late timer makes no difference", []step{
			{0, a, []Action{asks, answer(a)}, registering},
			{40, b, []Action{noAnswer, asks, answer(b)}, registering},
			{71, ack(b, true, 0), []Action{noAnswer, Ignored{Reason: NotAsked}}, initialized},
		}},
		{"refused with retries left", []step{
			{0, a, []Action{asks, answer(a)}, registering},
			{1, ack(a, false, 2), []Action{change(registering, initialized, "refused, may ask again")}, initialized},
			{10, a, []Action{asks, answer(a)}, registering},
			{11, ack(a, true, 0), []Action{gotIn, connect(a)}, registered},
		}},
		{"refused for good", []step{
			{0, a, []Action{asks, answer(a)}, registering},
			{1, ack(a, false, 0), []Action{change(registering, failed, "refused, no retries left")}, failed},
			{10, a, ignored(CoolingDown), failed},
			{11, b, ignored(CoolingDown), failed},
			{12, ack(a, true, 0), ignored(NotAsked), failed},
			{60, Timer{}, nil, failed},
			{61, Timer{}, []Action{change(failed, initialized, "cool-down is over")}, initialized},
			{70, a, []Action{asks, answer(a)}, registering},
		}},
		{"a negative budget is none", []step{
			{0, a, []Action{asks, answer(a)}, registering},
			{1, ack(a, false, -5), []Action{change(registering, failed, "refused, no retries left")}, failed},
		}},
		{"shut out while registered", append(join[:2:2],
			step{10, a, []Action{answer(a)}, registered},
			step{11, ack(a, false, 2), []Action{Disconnect{}, change(registered, initialized, "refused, may ask again")}, initialized},
		)},
		{"shut out for good while registered", append(join[:2:2],
			step{11, ack(a, false, 0), []Action{Disconnect{}, change(registered, failed, "refused, no retries left")}, failed},
			step{71, a, []Action{change(failed, initialized, "cool-down is over"), asks, answer(a)}, registering},
		)},
		{"one collector at a time", append(join[:2:2],
			step{5, b, ignored(OtherCollector), registered},
			step{10, a, []Action{answer(a)}, registered},
			step{40, b, ignored(OtherCollector), registered}, // a was heard 30 s ago
			step{41, b, []Action{Disconnect{}, change(registered, initialized, "collector is silent, another one is there"), asks, answer(b)}, registering},
			step{42, a, ignored(OtherCollector), registering},
			step{43, ack(b, true, 0), []Action{gotIn, connect(b)}, registered},
		)},
		{"stays while the stream is alive", append(join[:2:2],
			step{30, Alive{}, nil, registered},
			step{55, b, ignored(OtherCollector), registered},
			step{61, b, []Action{Disconnect{}, change(registered, initialized, "collector is silent, another one is there"), asks, answer(b)}, registering},
		)},
		{"a stream from before means nothing to a new question", []step{
			{0, a, []Action{asks, answer(a)}, registering},
			{29, Alive{}, nil, registering},
			{30, Timer{}, []Action{noAnswer}, initialized},
		}},
		{"others cannot answer", []step{
			{0, a, []Action{asks, answer(a)}, registering},
			{1, ack(b, true, 0), ignored(WrongSender), registering},
			{2, RegisterAck{OK: true}, ignored(WrongSender), registering},
			{3, ack(a, true, 0), []Action{gotIn, connect(a)}, registered},
			{4, ack(b, false, 0), ignored(WrongSender), registered},
		}},
		{"answers nobody asked for", []step{{0, ack(a, true, 0), ignored(NotAsked), initialized}}},
		{"a collector without coordinator", []step{{0, ProbeInit{Source: a.Source}, ignored(NoCoordinator), initialized}}},
		{"a collector that moved is another one", append(join[:2:2],
			step{10, collectorNamed("a", "10.0.0.7"), ignored(OtherCollector), registered},
		)},
		{"the clock is set back", []step{
			{0, a, []Action{asks, answer(a)}, registering},
			{-3600, Timer{}, nil, registering},
			{-3571, Timer{}, nil, registering},
			{-3570, Timer{}, []Action{noAnswer}, initialized},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			agent := New(DefaultPolicy(), t0)
			for _, step := range test.steps {
				var got []Action
				agent, got = Next(agent, step.event, t0.Add(time.Duration(step.at)*time.Second))
				name := fmt.Sprintf("at %d s, %+v", step.at, step.event)
				if diff := cmp.Diff(step.want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
					t.Errorf("%s: actions (-want +got):\n%s", name, diff)
				}
				if agent.State != step.state {
					t.Errorf("%s: %v, want %v", name, agent.State, step.state)
				}
			}
		})
	}
}

func TestAgentKeepsWhatItWasTold(t *testing.T) {
	a := collectorNamed("a", "10.0.0.1")
	agent, _ := Next(New(DefaultPolicy(), t0), a, t0)
	agent, _ = Next(agent, RegisterAck{From: a.Source, OK: true, Message: "welcome", Instance: "web-2"}, t0)
	if agent.Instance != "web-2" || agent.Message != "welcome" || agent.Collector != a.Collector {
		t.Errorf("registered agent %+v", agent)
	}
	agent, _ = Next(agent, RegisterAck{From: a.Source, Message: "later", MaxRetries: 2}, t0)
	if agent.Message != "later" || agent.Retries != 2 {
		t.Errorf("refused agent %+v", agent)
	}
}

func TestAgentIntervalIsBounded(t *testing.T) {
	tests := []struct{ announced, want time.Duration }{
		{0, 10 * time.Second}, {-1, 10 * time.Second}, {1, time.Second}, {1<<63 - 1, 10 * time.Minute}, {time.Minute, time.Minute},
	}
	for _, test := range tests {
		e := collectorNamed("a", "10.0.0.1")
		e.Interval = test.announced
		agent, _ := Next(New(DefaultPolicy(), t0), e, t0)
		if agent.Interval != test.want {
			t.Errorf("announced %v: interval %v, want %v", test.announced, agent.Interval, test.want)
		}
		if at, ok := agent.Deadline(); !ok || at != t0.Add(3*test.want) {
			t.Errorf("announced %v: deadline after %v, want 3 intervals", test.announced, at.Sub(t0))
		}
	}
}

func TestAgentKnowsItsCoordinatorsAddress(t *testing.T) {
	tests := []struct {
		coordinator, source, from string
		want                      bool
	}{
		{"10.0.0.1:10100", "10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1:10100", "10.0.0.9", "10.0.0.9", true}, // another address of that host
		{"10.0.0.1:10100", "10.0.0.1", "::ffff:10.0.0.1", true},
		{"[fe80::1]:10100", "fe80::1%eth0", "fe80::1%eth0", true},
		{"[fe80::1%eth0]:10100", "fe80::1%eth0", "fe80::1", true},
		{"10.0.0.1:10100", "10.0.0.1", "10.0.0.2", false},
	}
	for _, test := range tests {
		e := ProbeInit{Collector: Collector{Coordinator: netip.MustParseAddrPort(test.coordinator)}, Source: netip.MustParseAddr(test.source)}
		agent, _ := Next(New(DefaultPolicy(), t0), e, t0)
		agent, actions := Next(agent, RegisterAck{From: netip.MustParseAddr(test.from), OK: true}, t0)
		if got := agent.State == model.AgentRegistered; got != test.want {
			t.Errorf("asked %s, probed by %s, answered by %s: registered %v, want %v", test.coordinator, test.source, test.from, got, test.want)
		}
		for _, action := range actions {
			if c, ok := action.(Connect); ok {
				t.Errorf("connects to %v although the collector takes no data", c.To)
			}
		}
	}
}

func TestAgentPolicyValidate(t *testing.T) {
	if err := DefaultPolicy().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	for i, spoil := range []func(*Policy){
		func(p *Policy) { p.Patience = 0 },
		func(p *Policy) { p.CoolDown = -1 },
		func(p *Policy) { p.IntervalMin = 0 },
		func(p *Policy) { p.Interval = time.Hour },
		func(p *Policy) { p.IntervalMax = time.Millisecond },
	} {
		p := DefaultPolicy()
		spoil(&p)
		if p.Validate() == nil {
			t.Errorf("spoilt policy %d is valid", i)
		}
	}
}

// Counters are labelled with these names.
func TestNamesOfReasons(t *testing.T) {
	reasons := IgnoreReasons()
	if len(reasons) != int(ignoreReasonCount)-1 {
		t.Errorf("%d reasons listed, want %d", len(reasons), ignoreReasonCount-1)
	}
	seen := map[string]bool{"": true}
	for _, reason := range reasons {
		if seen[reason.String()] {
			t.Errorf("reason %d: name %q", reason, reason)
		}
		seen[reason.String()] = true
	}
	if IgnoreReason(0).String() != "reason(0)" {
		t.Error("a value out of range has a wrong name")
	}
}
