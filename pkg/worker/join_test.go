package worker

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/member"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
)

func TestATokenIsAllThatItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		s := r.status.view()
		if s.Session != sessionAdmitted || s.Fleet != ours || s.Authority != v.ca.Fingerprint().String() || s.Coordinator != hqControl || s.Profile != "default" {
			t.Errorf("status %+v", s)
		}
		if exists(r.state.path(tokenFile)) {
			t.Error("the token is still there")
		}
		request := v.seen().enrolled[0]
		if claim, ok := request.Claim(); !ok || claim.Token.IsZero() || request.Worker != r.home.Worker() || request.Hostname != "web-1" {
			t.Errorf("request %+v", request)
		}
		r.stop()
		if v.asked("leave") != 1 {
			t.Errorf("asked %q, want a goodbye", v.seen().requests)
		}
	})
}

func TestATokenIsNoticedWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &wire{}
		v := newTown(t, ours)
		v.open(net.listen(hqControl))
		r := settle(t, surroundings(t, 1, net), modest(t))
		r.after(time.Hour, standingNew)
		if v.asked("enrol") != 0 {
			t.Error("somebody was asked of whom nothing is known")
		}
		r.give(v.token(hqControl))
		r.after(2*time.Second, standingMember)
	})
}

func TestWithoutATokenAnOperatorApproves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &wire{}
		v := newTown(t, ours)
		admit, approved := v.judge, false
		v.judge = func(r *enrol.Request, p member.Peer) api.Enrolment {
			if approved {
				return admit(r, p)
			}
			return api.Enrolment{Outcome: api.Pending, Fleet: ours, Code: "made up", RetryAfter: 10_000}
		}
		v.open(net.listen(hqControl))
		r := settle(t, surroundings(t, 1, net), modest(t))
		r.Probed(ours, hqControl)
		r.after(time.Second, standingPending)
		code := pairing.Of(r.home.PublicKey()).String()
		if s := r.status.view(); s.Code != code || s.Fleet != ours || s.Authority != v.ca.Fingerprint().String() {
			t.Errorf("status %+v, want code %s", s, code)
		}
		if last := r.told[len(r.told)-1]; !strings.Contains(last, code) || !strings.Contains(last, ours) {
			t.Errorf("the service manager is told %q", last)
		}
		if claim, has := v.seen().enrolled[0].Claim(); has {
			t.Errorf("claims %+v without a token", claim)
		}
		r.after(wholeMinute, standingPending)
		if n := v.asked("enrol"); n < 4 || n > 8 {
			t.Errorf("asked %d times in a minute, told to ask every 10 s", n)
		}
		if n := strings.Count(r.log.String(), "waiting for approval"); n != 1 {
			t.Errorf("told %d times of it", n)
		}
		v.with(func() { approved = true })
		r.after(15*time.Second, standingMember)
		if s := r.status.view(); s.Code != "" || s.Text != "" {
			t.Errorf("status %+v still shows what was before", s)
		}
	})
}

// Probed lets the port hear a call, as it is before anything can be verified.
func (r *resident) Probed(fleet, coordinator string) {
	p := probe(fleet, "hq")
	p.Info.Addr = at(coordinator).Addr()
	p.Info.Ports[0].Port = at(coordinator).Port()
	r.port.Probed(p, at(coordinator))
	synctest.Wait()
}

// TestNobodyElseLearnsOfTheToken: a coordinator that cannot prove the authority
// of the token is not even sent a request, whatever it is called.
func TestNobodyElseLearnsOfTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &wire{}
		v, impostor := newTown(t, ours), newTown(t, ours)
		impostor.open(net.listen(rogue))
		cfg := modest(t)
		cfg.Enrol.Coordinators = []string{rogue}
		r := start(t, surroundings(t, 1, net), cfg, v.token(hqControl))
		r.Probed(ours, rogue)
		r.after(wholeMinute, standingNew)
		if len(impostor.seen().requests) != 0 {
			t.Errorf("the impostor was asked %q", impostor.seen().requests)
		}
		if s := r.status.view(); !strings.Contains(s.Error, trust.ErrPin.Error()) || !strings.Contains(s.Text, "a new join token is needed") {
			t.Errorf("error %q, text %q", s.Error, s.Text)
		}
	})
}

func TestAnAuthorityIsAskedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &wire{}
		v, impostor := newTown(t, ours), newTown(t, ours)
		impostor.open(net.listen(rogue))
		v.open(net.listen(hqControl))
		cfg := modest(t)
		cfg.Enrol.Coordinators, cfg.Enrol.Fleet, cfg.Enrol.Authority = []string{rogue, hqControl}, ours, v.ca.Fingerprint()
		r := settle(t, surroundings(t, 1, net), cfg)
		r.after(time.Second, standingMember)
		if len(impostor.seen().requests) != 0 {
			t.Errorf("the impostor was asked %q", impostor.seen().requests)
		}
	})
}

func TestAnotherFleetIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &wire{}
		v := newTown(t, "factory")
		v.open(net.listen(hqControl))
		cfg := modest(t)
		cfg.Enrol.Fleet = ours
		r := settle(t, surroundings(t, 1, net), cfg)
		r.Probed("factory", hqControl)
		r.after(wholeMinute, standingNew)
		r.give(v.token(hqControl))
		r.after(wholeMinute, standingNew)
		if len(v.seen().requests) != 0 {
			t.Errorf("it was asked %q", v.seen().requests)
		}
		if s := r.status.view(); !strings.Contains(s.Error, `it is of fleet "factory", and enrol.fleet is "lab"`) {
			t.Errorf("error %q", s.Error)
		}
	})
}

func TestARefusalIsToldOnceAndSeldomRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &wire{}
		v := newTown(t, ours)
		v.judge = func(*enrol.Request, member.Peer) api.Enrolment {
			return api.Enrolment{Outcome: api.Refused, Reason: "token_expired", Text: "the token has expired"}
		}
		v.open(net.listen(hqControl))
		r := settle(t, surroundings(t, 1, net), modest(t))
		first := v.token(hqControl)
		r.give(first)
		r.after(time.Hour, standingRefused)
		if s := r.status.view(); s.Text != "token_expired: the token has expired" {
			t.Errorf("status %+v", s)
		}
		if n := strings.Count(r.log.String(), "refuses this machine"); n != 1 {
			t.Errorf("told %d times", n)
		}
		if n := v.asked("enrol"); n > 25 {
			t.Errorf("asked %d times in an hour", n)
		}
		before := v.asked("enrol")
		r.give(v.token(hqControl))
		r.after(2*time.Second, standingRefused)
		if v.asked("enrol") != before+1 {
			t.Error("another token was not tried at once")
		}
		for _, secret := range []string{first.Reveal(), first.Reveal()[40:80]} {
			if strings.Contains(r.log.String(), secret) {
				t.Error("the log holds the token")
			}
		}
	})
}
