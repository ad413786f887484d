package worker

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry/agent"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// TestWhoKnowsSomethingVerifies: only a machine that knows nothing asks anybody.
func TestWhoKnowsSomethingVerifies(t *testing.T) {
	fleet, other := trusttest.New(t, ours), trusttest.New(t, "factory")
	bundle := fleet.Bundle()
	join := func(f *trusttest.Fleet, addresses ...string) *token.Token {
		made, err := token.New(f.Bundle().Fleet, f.CA().Fingerprint(), addresses, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &made
	}
	f := func(name string, s situation, want approach) {
		t.Helper()
		if diff := cmp.Diff(want, s.approach(), cmp.AllowUnexported(approach{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	heard := []calledFrom{{ours, "10.0.0.1:10100"}, {"factory", "10.0.0.2:10100"}, {ours, "10.0.0.3:10100"}}
	f("nothing", situation{}, approach{})
	f("anybody", situation{heard: heard}, approach{addresses: []string{"10.0.0.1:10100", "10.0.0.2:10100", "10.0.0.3:10100"}})
	f("one fleet", situation{heard: heard, fleet: ours}, approach{fleet: ours, addresses: []string{"10.0.0.1:10100", "10.0.0.3:10100"}})
	f("an authority", situation{fleet: ours, authority: fleet.CA().Fingerprint(), configured: []string{"hq:10100"}},
		approach{proof: proofAuthority, fleet: ours, addresses: []string{"hq:10100"}})
	f("a token", situation{token: join(fleet, "a:1", "b:2"), heard: heard, configured: []string{"hq:10100", "b:2"}, remembered: []string{"c:3"}},
		approach{proof: proofToken, token: true, fleet: ours, addresses: []string{"a:1", "b:2", "hq:10100", "c:3", "10.0.0.1:10100", "10.0.0.3:10100"}})
	f("a certificate that ran out", situation{bundle: bundle, expired: true, remembered: []string{"c:3"}},
		approach{renewal: true, proof: proofBundle, fleet: ours, addresses: []string{"c:3"}})
	f("that comes before a token", situation{bundle: bundle, expired: true, token: join(fleet)}, approach{renewal: true, proof: proofBundle, fleet: ours})
	f("forgotten by the fleet", situation{bundle: bundle, expired: true, forgotten: true}, approach{proof: proofBundle, fleet: ours})
	f("forgotten, with a token", situation{bundle: bundle, expired: true, forgotten: true, token: join(fleet, "a:1")},
		approach{proof: proofBundle, token: true, fleet: ours, addresses: []string{"a:1"}})
	f("a token of another fleet", situation{bundle: bundle, expired: true, forgotten: true, token: join(other, "a:1")},
		approach{proof: proofToken, token: true, fleet: "factory", addresses: []string{"a:1"}})
	f("a new identity", situation{bundle: bundle, former: true, heard: heard},
		approach{proof: proofBundle, former: true, fleet: ours, addresses: []string{"10.0.0.1:10100", "10.0.0.3:10100"}})
	f("authority and bundle", situation{bundle: bundle, fleet: ours, authority: trust.Fingerprint{1}}, approach{proof: proofBundle, fleet: ours})
}

func TestWaits(t *testing.T) {
	f := func(a attempt, least, most time.Duration) {
		t.Helper()
		if got := a.wait(0); got != least {
			t.Errorf("%+v: at least %v, want %v", a, got, least)
		}
		if got := a.wait(1); got != most {
			t.Errorf("%+v: at most %v, want %v", a, got, most)
		}
	}
	answered := func(e api.Enrolment) attempt { return attempt{answered: true, answer: e} }
	f(attempt{}, 500*time.Millisecond, time.Second)
	f(attempt{failures: 3}, 4*time.Second, 8*time.Second)
	f(attempt{failures: 1000}, 30*time.Second, time.Minute)
	f(answered(api.Enrolment{Outcome: api.Pending}), 10*time.Second, 12500*time.Millisecond)
	f(answered(api.Enrolment{Outcome: api.Pending, RetryAfter: 20_000}), 20*time.Second, 25*time.Second)
	f(answered(api.Enrolment{Outcome: api.Pending, RetryAfter: 1}), time.Second, 1250*time.Millisecond)
	f(answered(api.Enrolment{Outcome: api.Pending, RetryAfter: 1 << 50}), 5*time.Minute, 375*time.Second)
	f(answered(api.Enrolment{Outcome: api.Refused, Reason: "limited", RetryAfter: 4000}), 4*time.Second, 5*time.Second)
	f(answered(api.Enrolment{Outcome: api.Refused, Reason: "token_expired"}), 150*time.Second, 5*time.Minute)
	f(answered(api.Enrolment{Outcome: api.Refused, Reason: "revoked"}), time.Minute, 2*time.Minute)
}

func TestRenewalsAreSpread(t *testing.T) {
	due := time.Unix(1e9, 0)
	end := due.Add(56 * time.Hour) // a third of a week
	if a, b := renewAt(end, due, 0), renewAt(end, due, 1); !a.Equal(due) || b.Sub(due) != 5*time.Hour+36*time.Minute {
		t.Errorf("between %v and %v after it is due", a.Sub(due), b.Sub(due))
	}
	f := func(failures int, left, least, most time.Duration) {
		t.Helper()
		if a, b := retryRenewal(failures, left, 0), retryRenewal(failures, left, 1); a != least || b != most {
			t.Errorf("%d failures, %v left: %v to %v, want %v to %v", failures, left, a, b, least, most)
		}
	}
	f(1, 56*time.Hour, 30*time.Second, time.Minute)
	f(4, 56*time.Hour, 4*time.Minute, 8*time.Minute)
	f(100, 56*time.Hour, 30*time.Minute, time.Hour)
	f(100, time.Hour, 225*time.Second, 450*time.Second)
	f(1, 4*time.Minute, 15*time.Second, 30*time.Second)
	f(1, 3*time.Second, 500*time.Millisecond, time.Second)
	f(100, -time.Hour, 30*time.Second, time.Minute)
}

func TestUncalled(t *testing.T) {
	began := time.Unix(1e9, 0)
	f := func(state model.AgentState, heard, lastCall, now time.Duration, want bool) {
		t.Helper()
		agent := agent.New(agent.DefaultPolicy(), began)
		agent.State, agent.Heard = state, began.Add(heard)
		var last time.Time
		if lastCall >= 0 {
			last = began.Add(lastCall)
		}
		if got := uncalled(agent, began, last, began.Add(now)); got != want {
			t.Errorf("%v, heard %v, called %v, now %v: got %v", state, heard, lastCall, now, got)
		}
	}
	const never = -1
	f(model.Initialized, 0, never, 12*time.Second, false)
	f(model.Initialized, 0, never, 12*time.Second+1, true)
	f(model.Initialized, 0, time.Second, 31*time.Second, false)
	f(model.Initialized, 0, time.Second, 31*time.Second+1, true)
	f(model.Registering, 0, never, time.Minute, false)
	f(model.RegisterFailed, 0, never, time.Minute, false)
	f(model.AgentRegistered, 50*time.Second, never, time.Minute, false)
	f(model.AgentRegistered, 20*time.Second, never, time.Minute, true)
	f(model.AgentRegistered, 20*time.Second, 50*time.Second, time.Minute, false)
	f(model.Initialized, 0, time.Hour, time.Minute, true) // the clock was set back: ask rather than wait an hour
}

func TestUnanswered(t *testing.T) {
	began := time.Unix(1e9, 0)
	f := func(state model.AgentState, waited time.Duration, want bool) {
		t.Helper()
		agent := agent.New(agent.DefaultPolicy(), began)
		agent.State = state
		if got := unanswered(agent, began.Add(waited)); got != want {
			t.Errorf("%v for %v: got %v", state, waited, got)
		}
	}
	f(model.Registering, 20*time.Second, false)
	f(model.Registering, 20*time.Second+1, true) // and for 10s more it is not given up
	f(model.Registering, -time.Second, false)
	f(model.Initialized, time.Minute, false)
	f(model.AgentRegistered, time.Minute, false)
	f(model.RegisterFailed, time.Minute, false)
}

func TestDirectives(t *testing.T) {
	plan := func(revision uint64) *api.Plan { return &api.Plan{Revision: revision} }
	f := func(before tenure, d api.Directive, state sessionState, want ...any) {
		t.Helper()
		after, todo := before.next(d)
		if after.state != state || !slices.Equal(todo, want) {
			t.Errorf("%+v: %s and %+v, want %s and %+v", d, after.state, todo, state, want)
		}
	}
	none, waiting := tenure{state: sessionNone}, tenure{state: sessionWaiting, text: "w"}
	admitted := tenure{state: sessionAdmitted, plan: *plan(3)}
	f(none, api.Directive{Now: 1}, sessionNone)
	f(none, api.Directive{Wait: "w"}, sessionWaiting, shut{"w"})
	f(none, api.Directive{Plan: plan(3)}, sessionAdmitted, admit{true}, planned{0})
	f(waiting, api.Directive{Plan: plan(3)}, sessionAdmitted, admit{true}, planned{0})
	f(admitted, api.Directive{Plan: plan(3)}, sessionAdmitted, admit{false})
	f(admitted, api.Directive{Plan: plan(4)}, sessionAdmitted, admit{false}, planned{3})
	f(admitted, api.Directive{Wait: "w"}, sessionWaiting, shut{"w"})
	f(admitted, api.Directive{Rekey: "r", Plan: plan(4)}, sessionNone, shut{"r"}, rekey{"r"})
	f(waiting, api.Directive{Bundle: "b", Rebind: true, Plan: plan(3), Renew: true, End: "e"}, sessionAdmitted,
		takeBundle{"b"}, rebind{}, admit{true}, planned{0}, renewNow{}, closing{"e"})
}

func TestTheGate(t *testing.T) {
	var to string
	g := &gate{steer: func(endpoint string) { to = endpoint }}
	f := func(want string) {
		t.Helper()
		if to != want {
			t.Errorf("the stream goes to %q, want %q", to, want)
		}
	}
	g.registered(at("10.0.0.1:9090"))
	f("")
	g.admit(netip.AddrPort{})
	f("10.0.0.1:9090")
	g.registered(netip.AddrPort{})
	f("")
	g.registered(at("[fd00::1]:9090"))
	f("[fd00::1]:9090")
	g.close()
	f("")
	g.admit(at("10.0.0.2:9090"))
	f("[fd00::1]:9090")
	if got := g.planned(); got != at("10.0.0.2:9090") {
		t.Errorf("planned %v", got)
	}
}
