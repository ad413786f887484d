package registry

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// t0 is when test workers were last heard. It has no monotonic reading, so
// tests may also turn the clock back.
var t0 = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

const lease = 30 * time.Second

func testPolicy() Policy { return DefaultConfig().Policy() }

func testID(n int) model.WorkerID {
	return model.WorkerID{0: byte(n >> 16), 1: byte(n >> 8), 2: byte(n), 15: 1}
}

func hostNamed(name, addr string) model.HostInfo {
	return model.HostInfo{Hostname: name, Addr: netip.MustParseAddr(addr), Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: model.PortWorker}}}
}

func ask(v Verdict) ProbeAck {
	return ProbeAck{ID: testID(1), Host: hostNamed("web", "10.0.0.1"), Source: netip.MustParseAddr("10.0.0.1"), Verdict: v}
}

// workerIn is a worker that was last heard at t0 and is in the given state.
func workerIn(state model.WorkerState) Worker {
	w := NewWorker(testID(1), t0, testPolicy())
	verdict := map[model.WorkerState]Verdict{model.Probed: RefusePolicy, model.Pending: Hold}[state]
	w, _ = Next(w, ask(verdict), t0, testPolicy())
	w.RetriesLeft = 3
	switch state {
	case model.Suspect:
		w, _ = Next(w, Deadline{}, t0.Add(lease/2), testPolicy())
	case model.Expired:
		w, _ = Next(w, Deadline{}, t0.Add(lease), testPolicy())
	case model.Left:
		w, _ = Next(w, Leave{}, t0, testPolicy())
	}
	if w.State != state {
		panic(fmt.Sprintf("workerIn(%v) is %v", state, w.State))
	}
	return w
}

var (
	yes = SendRegisterAck{OK: true, Message: "Successfully registered at collector host."}
	no  = func(message string, left int) SendRegisterAck {
		return SendRegisterAck{Message: message, MaxRetries: left}
	}
	to = func(from, to model.WorkerState) StateChanged { return StateChanged{From: from, To: to} }
)

// Every state meets every event, at the times that matter.
func TestNextTransitions(t *testing.T) {
	const (
		probed, pending, registered = model.Probed, model.Pending, model.Registered
		suspect, expired, left      = model.Suspect, model.Expired, model.Left
	)
	all := []model.WorkerState{probed, pending, registered, suspect, expired, left}
	tests := []struct {
		in    []model.WorkerState
		event Event
		after time.Duration // since the worker was last heard
		want  func(from model.WorkerState) []Action
	}{
		// A ProbeAck that is admitted registers whomever it comes from, again and again.
		{[]model.WorkerState{probed, pending, suspect, expired, left}, ask(Admit), 40 * time.Second, func(from model.WorkerState) []Action {
			return []Action{to(from, registered), yes, Persist{}}
		}},
		{[]model.WorkerState{registered}, ask(Admit), 10 * time.Second, func(model.WorkerState) []Action { return []Action{yes} }},
		{[]model.WorkerState{registered}, ask(Admit), time.Hour, func(model.WorkerState) []Action { return []Action{yes} }},

		// Held: strangers wait, members stay what they are.
		{[]model.WorkerState{probed}, ask(Hold), time.Second, func(model.WorkerState) []Action {
			return []Action{to(probed, pending), no("waiting for approval", 3), Persist{}}
		}},
		{[]model.WorkerState{pending, registered, suspect, expired, left}, ask(Hold), time.Second, func(model.WorkerState) []Action {
			return []Action{no("waiting for approval", 3)}
		}},

		// Refused: costs a retry, never the state of a member.
		{[]model.WorkerState{pending}, ask(RefuseFull), time.Second, func(model.WorkerState) []Action {
			return []Action{to(pending, probed), no("fleet is full", 2), Persist{}}
		}},
		{[]model.WorkerState{probed, registered, suspect, expired, left}, ask(RefuseFull), time.Second, func(model.WorkerState) []Action {
			return []Action{no("fleet is full", 2), Persist{}}
		}},
		{[]model.WorkerState{registered}, ask(RefuseIdentity), time.Second, func(model.WorkerState) []Action {
			return []Action{no("identity in use by another machine", 2), Persist{}}
		}},
		{[]model.WorkerState{registered}, ProbeAck{Host: ask(Admit).Host, Source: ask(Admit).Source, Verdict: RefusePolicy, Message: "not on a Sunday"},
			time.Second, func(model.WorkerState) []Action { return []Action{no("not on a Sunday", 2), Persist{}} }},
		{[]model.WorkerState{registered}, ask(Verdict(200)), time.Second, func(model.WorkerState) []Action {
			return []Action{no("not admitted to this fleet", 2), Persist{}}
		}},

		// A contact keeps members alive and says nothing about others.
		{[]model.WorkerState{registered}, Contact{}, lease - 1, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{registered}, Contact{}, time.Hour, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{suspect, expired}, Contact{}, 40 * time.Second, func(from model.WorkerState) []Action {
			return []Action{to(from, registered), Persist{}}
		}},
		{[]model.WorkerState{probed, pending, left}, Contact{}, time.Second, func(model.WorkerState) []Action { return nil }},
		// A late report counts from when it happened.
		{[]model.WorkerState{suspect, expired}, Contact{Ago: 14 * time.Second}, 40 * time.Second, func(from model.WorkerState) []Action {
			return []Action{to(from, registered), Persist{}}
		}},
		{[]model.WorkerState{suspect}, Contact{Ago: 15 * time.Second}, 40 * time.Second, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{expired}, Contact{Ago: 15 * time.Second}, 40 * time.Second, func(model.WorkerState) []Action {
			return []Action{to(expired, suspect), Persist{}}
		}},
		{[]model.WorkerState{expired}, Contact{Ago: 30 * time.Second}, 40 * time.Second, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{suspect, expired}, Contact{Ago: time.Hour}, 40 * time.Second, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{suspect, expired}, Contact{Ago: -time.Hour}, 40 * time.Second, func(from model.WorkerState) []Action {
			return []Action{to(from, registered), Persist{}}
		}},

		// Deadlines: half the lease, the whole lease, not a nanosecond earlier.
		{[]model.WorkerState{registered}, Deadline{}, lease/2 - 1, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{registered}, Deadline{}, lease / 2, func(model.WorkerState) []Action {
			return []Action{to(registered, suspect), Persist{}}
		}},
		{[]model.WorkerState{registered}, Deadline{}, lease - 1, func(model.WorkerState) []Action {
			return []Action{to(registered, suspect), Persist{}}
		}},
		{[]model.WorkerState{registered, suspect}, Deadline{}, lease, func(from model.WorkerState) []Action {
			return []Action{to(from, expired), Persist{}}
		}},
		{[]model.WorkerState{suspect}, Deadline{}, lease - 1, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{suspect}, Deadline{}, 0, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{expired, left}, Deadline{}, 10000 * time.Hour, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{probed, pending}, Deadline{}, CandidateMemory - 1, func(model.WorkerState) []Action { return nil }},
		{[]model.WorkerState{probed, pending}, Deadline{}, CandidateMemory, func(model.WorkerState) []Action { return []Action{Drop{}} }},
		// The clock was set back: nothing happens to anyone.
		{all, Deadline{}, -24 * time.Hour, func(model.WorkerState) []Action { return nil }},

		// Goodbye.
		{[]model.WorkerState{probed, pending}, Leave{}, time.Second, func(model.WorkerState) []Action { return []Action{Drop{}} }},
		{[]model.WorkerState{registered, suspect, expired}, Leave{}, time.Second, func(from model.WorkerState) []Action {
			return []Action{to(from, left), Persist{}}
		}},
		{[]model.WorkerState{left}, Leave{}, time.Second, func(model.WorkerState) []Action { return nil }},
	}
	for _, test := range tests {
		for _, state := range test.in {
			before := workerIn(state)
			start := before
			after, got := Next(before, test.event, t0.Add(test.after), testPolicy())
			name := fmt.Sprintf("%v, %T%+v after %v", state, test.event, test.event, test.after)
			if diff := cmp.Diff(test.want(state), got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: actions (-want +got):\n%s", name, diff)
			}
			if !sameWorker(before, start) {
				t.Errorf("%s: Next changed its argument", name)
			}
			wantState := state
			for _, action := range got {
				if change, ok := action.(StateChanged); ok {
					wantState = change.To
					if after.Since != t0.Add(test.after) {
						t.Errorf("%s: state entered at %v", name, after.Since)
					}
				}
			}
			if after.State != wantState {
				t.Errorf("%s: state %v, want %v", name, after.State, wantState)
			}
		}
	}
}

func sameWorker(a, b Worker) bool { return reflect.DeepEqual(a, b) }

func TestLeaseIsTheWorkersOwn(t *testing.T) {
	p := testPolicy()
	tests := []struct{ declared, want time.Duration }{
		{0, 30 * time.Second},
		{-time.Second, 30 * time.Second},
		{5 * time.Second, 5 * time.Second},
		{time.Millisecond, time.Second},
		{1<<63 - 1, time.Hour},
		{5*time.Second + 999*time.Microsecond, 5 * time.Second},
	}
	for _, test := range tests {
		e := ask(Admit)
		e.KeepAlive = test.declared
		w, _ := Next(NewWorker(e.ID, t0, p), e, t0, p)
		if w.KeepAlive != test.want {
			t.Errorf("declared %v: lease %v, want %v", test.declared, w.KeepAlive, test.want)
		}
		if at, ok := w.Deadline(p); !ok || at != t0.Add(test.want/2) {
			t.Errorf("declared %v: deadline %v after, want half of %v", test.declared, at.Sub(t0), test.want)
		}
		if got := w.ExpiresAt(); got != t0.Add(test.want) {
			t.Errorf("declared %v: expires %v after, want %v", test.declared, got.Sub(t0), test.want)
		}
	}
}

func TestRetryBudget(t *testing.T) {
	p := testPolicy()
	w := NewWorker(testID(1), t0, p)
	steps := []struct {
		after   time.Duration
		verdict Verdict
		want    SendRegisterAck
	}{
		{0, RefuseFull, no("fleet is full", 2)},
		{10 * time.Second, RefuseFull, no("fleet is full", 1)},
		{11 * time.Second, Hold, no("waiting for approval", 1)}, // costs nothing
		{20 * time.Second, RefuseFull, no("fleet is full", 0)},
		// In cool-down the verdict does not matter.
		{30 * time.Second, RefuseFull, SendRegisterAck{Message: "fleet is full; out of retries for another 50s", CoolingDown: true}},
		{79 * time.Second, Admit, SendRegisterAck{Message: "fleet is full; out of retries for another 1s", CoolingDown: true}},
		// It is over: the budget is whole again.
		{80 * time.Second, RefusePolicy, no("not admitted to this fleet", 2)},
		{90 * time.Second, Admit, yes},
		// Success restored it.
		{100 * time.Second, RefuseIdentity, no("identity in use by another machine", 2)},
		{101 * time.Second, RefuseIdentity, no("identity in use by another machine", 1)},
		{102 * time.Second, RefuseIdentity, no("identity in use by another machine", 0)},
		// A member that is admitted gets its success in a cool-down, too: it was
		// another machine that used up the budget.
		{103 * time.Second, RefuseIdentity, SendRegisterAck{Message: "identity in use by another machine; out of retries for another 59s", CoolingDown: true}},
		{104 * time.Second, Admit, yes},
		{105 * time.Second, RefuseIdentity, no("identity in use by another machine", 2)},
	}
	for _, step := range steps {
		var actions []Action
		w, actions = Next(w, ask(step.verdict), t0.Add(step.after), p)
		var got []SendRegisterAck
		for _, action := range actions {
			if ack, ok := action.(SendRegisterAck); ok {
				got = append(got, ack)
			}
		}
		if diff := cmp.Diff([]SendRegisterAck{step.want}, got); diff != "" {
			t.Errorf("after %v, %v (-want +got):\n%s", step.after, step.verdict, diff)
		}
	}
}

func TestRetryLimitLoweredMeanwhile(t *testing.T) {
	p := testPolicy()
	w := NewWorker(testID(1), t0, p)
	p.RetryLimit = 1
	w, actions := Next(w, ask(RefuseFull), t0, p)
	if diff := cmp.Diff(no("fleet is full", 0), actions[1]); diff != "" {
		t.Errorf("first refusal of a limit of 1 (-want +got):\n%s", diff)
	}
	if w.CoolDownUntil != t0.Add(p.CoolDown) {
		t.Errorf("cool-down until %v, want %v", w.CoolDownUntil, t0.Add(p.CoolDown))
	}
}

func TestRefusedMachineLeavesTheMemberAlone(t *testing.T) {
	w := workerIn(model.Registered)
	e := ask(RefuseIdentity)
	e.Host, e.Source = hostNamed("clone", "10.0.0.9"), netip.MustParseAddr("10.0.0.9")
	e.KeepAlive, e.Version = time.Second, "2"
	got, _ := Next(w, e, t0.Add(10*time.Second), testPolicy())
	if got.Host.Hostname != "web" || got.KeepAlive != lease || got.LeaseFrom != t0 || got.Version != "" {
		t.Errorf("refused machine changed the member: %+v", got)
	}
	if got.Rival == nil || got.Rival.Host.Hostname != "clone" {
		t.Errorf("refused machine is not visible: %+v", got.Rival)
	}
}

func TestClockSetBack(t *testing.T) {
	p := testPolicy()
	w := workerIn(model.Registered)
	back := t0.Add(-time.Hour)
	w, actions := Next(w, Deadline{}, back, p)
	if len(actions) != 0 {
		t.Errorf("clock set back: %v", actions)
	}
	if at, _ := w.Deadline(p); at != back.Add(lease/2) {
		t.Errorf("deadline %v after the step, want half a lease", at.Sub(back))
	}
	w, _ = Next(w, Deadline{}, back.Add(lease), p)
	if w.State != model.Expired {
		t.Errorf("a whole lease later: %v, want expired", w.State)
	}

	w = workerIn(model.Probed)
	w.RetriesLeft, w.CoolDownUntil = 0, t0.Add(p.CoolDown)
	w, _ = Next(w, ask(Admit), back, p)
	if want := back.Add(p.CoolDown); w.CoolDownUntil != want {
		t.Errorf("cool-down until %v, want %v", w.CoolDownUntil, want)
	}
}

func TestForgetAfter(t *testing.T) {
	p := testPolicy()
	p.ForgetAfter = 24 * time.Hour
	for _, state := range []model.WorkerState{model.Expired, model.Left} {
		w := workerIn(state)
		at, ok := w.Deadline(p)
		if want := w.Since.Add(p.ForgetAfter); !ok || at != want {
			t.Errorf("%v: deadline %v %v, want %v", state, at, ok, want)
		}
		if _, got := Next(w, Deadline{}, at.Add(-1), p); len(got) != 0 {
			t.Errorf("%v, too early: %v", state, got)
		}
		if _, got := Next(w, Deadline{}, at, p); !cmp.Equal(got, []Action{Drop{}}) {
			t.Errorf("%v: %v, want Drop", state, got)
		}
	}
}
