package worker

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
)

const (
	hqControl   = "10.0.0.1:10100"
	rogue       = "10.0.0.66:10100"
	wholeMinute = time.Minute
)

// joined is a worker of a town that it has joined by a token.
func joined(t *testing.T) (*wire, *town, *resident) {
	t.Helper()
	net := &wire{}
	v := newTown(t, ours)
	v.open(net.listen(hqControl))
	r := prepareJoined(t, net, v)
	return net, v, r
}

func prepareJoined(t *testing.T, net *wire, v *town) *resident {
	t.Helper()
	r := start(t, surroundings(t, 1, net), modest(t), v.token(hqControl))
	r.after(time.Second, standingMember)
	return r
}

func TestKeepAliveThreeTimesInALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		r.after(5*time.Minute, standingMember)
		if n := v.asked("keepalive"); n < 29 || n > 34 {
			t.Errorf("%d keep-alives in 5 minutes, the lease is 30 s", n)
		}
		v.with(func() { v.alive.Session, v.skew = false, -3*time.Second })
		r.after(15*time.Second, standingMember)
		if n := v.asked("session"); n < 2 {
			t.Errorf("%d sessions: the coordinator did not know of it any more", n)
		}
		if offset, known := r.clock.view(); !known || offset.Round(time.Second) != 3*time.Second {
			t.Errorf("clock offset %v, want 3s", offset)
		}
		if !strings.Contains(r.log.String(), "this host's clock differs") {
			t.Error("the log does not tell of it")
		}
	})
}

// TestTheStreamOutlivesTheSession: what the coordinator has allowed stays
// allowed while it is away.
func TestTheStreamOutlivesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, v, r := joined(t)
		net.setCut(true)
		v.close(errors.New("restart"))
		r.after(10*time.Minute, standingMember)
		l := r.life.Load()
		if s := r.status.view(); s.Session != sessionLost || !l.gate.isOpen() {
			t.Errorf("session %s, gate open %v; want it lost, and open", s.Session, l.gate.isOpen())
		}
		if net.dialled() > 40 {
			t.Errorf("%d attempts in 10 minutes", net.dialled())
		}
		net.setCut(false)
		r.after(time.Minute, standingMember)
		if s := r.status.view(); s.Session != sessionAdmitted || r.life.Load() != l {
			t.Errorf("session %s, the same life %v", s.Session, r.life.Load() == l)
		}
		if v.seen().boots[0] != v.seen().boots[len(v.seen().boots)-1] {
			t.Error("another boot was announced")
		}
	})
}

func TestASilentCoordinatorIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		v.with(func() { v.hello = api.Directive{Wait: "another process is alive"} })
		v.close(nil)
		r.after(5*time.Second, standingMember)
		if s := r.status.view(); s.Session != sessionWaiting || s.SessionText != "another process is alive" || r.life.Load().gate.isOpen() {
			t.Errorf("status %+v, gate open %v", s, r.life.Load().gate.isOpen())
		}
		v.tell(api.Directive{Plan: &api.Plan{Revision: 2}})
		r.after(time.Second, standingMember)
		if s := r.status.view(); s.Session != sessionAdmitted || !r.life.Load().gate.isOpen() {
			t.Errorf("status %+v, gate open %v", s, r.life.Load().gate.isOpen())
		}
	})
}

func TestRenewalAtTwoThirds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		l, first := r.life.Load(), v.seen().serials[0]
		r.after(4*time.Hour-time.Minute, standingMember)
		if v.asked("renew") != 0 {
			t.Error("renewed too early")
		}
		r.after(20*time.Minute, standingMember)
		if v.asked("renew") != 1 || r.renewals.ok.Load() != 1 {
			t.Errorf("%d renewals, %d went well; want one", v.asked("renew"), r.renewals.ok.Load())
		}
		if left := r.credentials.Load().NotAfter().Sub(time.Now()); left < 5*time.Hour {
			t.Errorf("the certificate lasts for another %v", left)
		}
		if r.life.Load() != l || !l.gate.isOpen() {
			t.Error("the stream was dropped")
		}
		if last := v.seen().serials[len(v.seen().serials)-1]; last == first {
			t.Error("the session still uses the old certificate")
		}
		r.after(8*time.Hour, standingMember)
		if n := v.asked("renew"); n < 2 || n > 4 {
			t.Errorf("%d renewals in half a day", n)
		}
	})
}

func TestARenewalOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		v.tell(api.Directive{Renew: true})
		r.after(time.Second, standingMember)
		if v.asked("renew") != 1 {
			t.Errorf("asked %q", v.seen().requests)
		}
	})
}

// TestACertificateThatRanOut: the coordinator was away for longer than the
// certificate lasts. The worker goes on measuring and comes back by its key.
func TestACertificateThatRanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, v, r := joined(t)
		l := r.life.Load()
		net.setCut(true)
		v.close(errors.New("power cut"))
		r.after(8*time.Hour, standingExpired)
		if r.life.Load() != l {
			t.Error("the life has ended")
		}
		if r.renewals.failed.Load() == 0 {
			t.Error("no renewal has failed")
		}
		net.setCut(false)
		r.after(2*time.Minute, standingMember)
		if v.asked("renewal") != 1 || r.life.Load() != l {
			t.Errorf("asked %q, the same life %v", v.seen().requests, r.life.Load() == l)
		}
		if s := r.status.view(); s.Session != sessionAdmitted {
			t.Errorf("session %s", s.Session)
		}
	})
}

// TestOffForAMonth: likewise, when the worker itself was off.
func TestOffForAMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		r.stop()
		time.Sleep(30 * 24 * time.Hour)
		again := settle(t, r.env, r.cfg)
		again.after(5*time.Second, standingMember)
		if v.asked("renewal") != 1 || v.asked("enrol") != 1 || again.home.Worker() != r.home.Worker() {
			t.Errorf("asked %q", v.seen().requests)
		}
	})
}

func TestARevokedWorkerIsOutAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		v.with(func() { v.refused[r.home.Worker()] = true })
		v.close(trust.ErrRevoked)
		r.after(2*time.Second, standingRevoked)
		if r.life.Load().gate.isOpen() {
			t.Error("the stream may go on")
		}
		before := len(v.seen().requests)
		r.after(time.Hour, standingRevoked)
		if n := len(v.seen().requests) - before; n < 30 || n > 60 {
			t.Errorf("asked %d times in an hour, want one time in one to two minutes", n)
		}
		v.with(func() { v.refused[r.home.Worker()] = false })
		r.after(2*time.Minute, standingMember)
		if s := r.status.view(); s.Session != sessionAdmitted {
			t.Errorf("session %s", s.Session)
		}
	})
}

// TestAFleetThatHasForgotten: its memory was lost, the worker asks to be let in
// anew, and only the fleet that it knows.
func TestAFleetThatHasForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		r.stop()
		time.Sleep(30 * 24 * time.Hour)
		v.with(func() { v.keys = map[model.WorkerID]ed25519.PublicKey{} })
		again := settle(t, r.env, r.cfg)
		again.after(5*time.Second, standingMember)
		want := []string{"renewal", "enrol", "session"}
		if got := v.seen().requests[len(v.seen().requests)-3:]; !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}

// TestTheNewerOfTwoMachinesTakesANewName: it comes in with the certificate of the
// former one, and nothing that it has measured under the old name is sent.
func TestTheNewerOfTwoMachinesTakesANewName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		was, boot := r.home.Worker(), v.seen().boots[0]
		old := r.life.Load()
		v.with(func() { v.hello = api.Directive{Plan: &api.Plan{Revision: 1}} })
		v.tell(api.Directive{Rekey: "two machines"})
		r.after(2*time.Second, standingMember)
		if r.home.Worker() == was {
			t.Fatal("the same identity")
		}
		if got := v.seen().former[len(v.seen().former)-1]; got != was {
			t.Errorf("enrolled with the certificate of %v, want of %v", got, was)
		}
		if got := v.seen().boots[len(v.seen().boots)-1]; got == boot || got != r.life.Load().spool.Boot() {
			t.Errorf("boot %v, was %v", got, boot)
		}
		if r.life.Load() == old || old.client.Stats().Endpoint != "" || old.gate.isOpen() {
			t.Error("the old life goes on")
		}
		if s := r.status.view(); s.Former != was.String() || s.Worker != r.home.Worker() {
			t.Errorf("status %+v", s)
		}
	})
}

// TestACopiedFolder is noticed at the start, before anybody is spoken to.
func TestACopiedFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, v, r := joined(t)
		was := r.home.Worker()
		r.stop()
		asked := v.asked("session")
		other := surroundings(t, 2, net)
		copied := settle(t, other, r.cfg)
		copied.after(time.Second, standingMember)
		if copied.home.Worker() == was || copied.home.Bound(home.ReadFacts(other.machine)) != home.Same {
			t.Error("the identity is still that of the other machine")
		}
		if got := v.seen().former[len(v.seen().former)-1]; got != was {
			t.Errorf("enrolled with the certificate of %v, want of %v", got, was)
		}
		if v.asked("session") != asked+1 || v.seen().live.peer.Worker() != copied.home.Worker() {
			t.Error("a session was opened under the old name")
		}
	})
}

// TestAFormerIdentityThatIsNotWelcome is left out: the machine asks as a new one.
func TestAFormerIdentityThatIsNotWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, v, r := joined(t)
		was := r.home.Worker()
		r.stop()
		v.with(func() { v.refused[was] = true })
		copied := settle(t, surroundings(t, 2, net), r.cfg)
		copied.after(time.Second, standingMember)
		if got := v.seen().former[len(v.seen().former)-1]; !got.IsZero() {
			t.Errorf("enrolled with the certificate of %v", got)
		}
	})
}

func TestTheFleetTakesItForTheSameMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		r.stop()
		changed := r.env
		m := machine(1)
		delete(m, "sys/class/dmi/id/product_uuid")
		m["etc/machine-id"] = machine(9)["etc/machine-id"] // the disk was exchanged: one of two is the same
		changed.machine = m
		again := settle(t, changed, r.cfg)
		again.after(time.Second, standingMember)
		if again.home.Worker() != r.home.Worker() {
			t.Fatal("it is not even doubtful")
		}
		v.tell(api.Directive{Rebind: true})
		again.after(time.Second, standingMember)
		if got := again.home.Bound(again.facts); got != home.Same {
			t.Errorf("bound: %v", got)
		}
	})
}

// TestANewAuthority is taken over from a member's own fleet only.
func TestANewAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		other := newTown(t, ours)
		v.tell(api.Directive{Bundle: string(other.bundle.PEM())})
		r.after(time.Second, standingMember)
		if n := len(r.credentials.Load().Bundle().Authorities); n != 1 || !strings.Contains(r.log.String(), "is not accepted") {
			t.Errorf("%d authorities, log\n%s", n, r.log)
		}
		both := string(v.bundle.PEM()) + string(other.bundle.PEM())
		v.tell(api.Directive{Bundle: both})
		r.after(time.Second, standingMember)
		if n := len(r.credentials.Load().Bundle().Authorities); n != 2 {
			t.Errorf("%d authorities, want 2", n)
		}
	})
}

// TestWithoutBroadcasts the worker registers over the control channel, by the
// same state machine.
func TestWithoutBroadcasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		v.with(func() {
			v.register = func(ack *crm.ProbeAck) *crm.RegisterAck {
				return &crm.RegisterAck{ID: ack.ID, Info: crm.RegisterInfo{Status: true},
					Ext: &crm.RegisterAckExt{WorkerID: ack.Ext.WorkerID, Instance: "web-1"}}
			}
			v.hello = api.Directive{Plan: &api.Plan{Revision: 2, Collectors: []api.CollectorAddress{{Hostname: "hq", Port: 9090}}}}
		})
		v.close(nil)
		r.after(20*time.Second, standingMember)
		l := r.life.Load()
		if agent, _ := l.registration.view(); agent.State != model.AgentRegistered || agent.Instance != "web-1" || agent.Collector.Hostname != "hq" {
			t.Errorf("agent %+v", agent)
		}
		if got := l.client.Stats().Endpoint; got != "10.0.0.1:9090" {
			t.Errorf("the stream goes to %q", got)
		}
		if ack := v.seen().acks[0]; ack.Ext.WorkerID != r.home.Worker() || ack.Ext.Seal != "" || ack.Ext.KeepAlive != 30*time.Second {
			t.Errorf("ack %+v", ack.Ext)
		}
		before := len(v.seen().acks)
		v.with(func() { v.alive.Renewed = false })
		r.after(11*time.Second, standingMember)
		if len(v.seen().acks) == before {
			t.Error("not registered anew though there was no lease to renew")
		}
	})
}

func TestTheStatusFileHasNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, r := joined(t)
		if err := r.status.write(); err != nil {
			t.Fatal(err)
		}
		data, err := disk.Read(r.state.path(statusFile), maxStatus)
		if err != nil {
			t.Fatal(err)
		}
		key, err := disk.Read(r.home.Files().Key, maxStatus)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(key)) {
			if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "-----") {
				for what, text := range map[string]string{"status": string(data), "log": r.log.String()} {
					if strings.Contains(text, line) {
						t.Errorf("%s holds a line of the key", what)
					}
				}
			}
		}
		if s, err := readStatus(r.state); err != nil || s.Worker != r.home.Worker() || s.Fleet != v.name {
			t.Errorf("read back %+v, %v", s, err)
		}
	})
}
