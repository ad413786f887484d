package worker

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry/agent"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
)

const (
	ours     = "lab"
	interval = 10 * time.Second // between probes
)

func id(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

// tested is a registration with a record of what it does.
type tested struct {
	*registration
	log *bytes.Buffer

	mu       sync.Mutex // guards connects
	connects []netip.AddrPort
}

func newTested(now func() time.Time) *tested {
	r := &tested{log: &bytes.Buffer{}}
	self := identity{id: id(1), fleet: ours, hostname: "web-1", address: netip.MustParseAddr("10.0.0.7"), port: 10300,
		keepAlive: 30 * time.Second, version: "v1"}
	r.registration = newRegistration(self, agent.DefaultPolicy(), func(to netip.AddrPort) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.connects = append(r.connects, to)
	}, slog.New(slog.NewTextHandler(r.log, nil)), now)
	return r
}

func (r *tested) state() model.AgentState {
	agent, _ := r.view()
	return agent.State
}

// ignoredReasons are the reasons that were counted.
func (r *tested) ignoredReasons() (reasons []string) {
	_, ignored := r.view()
	for reason, count := range ignored {
		if count > 0 {
			reasons = append(reasons, reason)
		}
	}
	slices.Sort(reasons)
	return reasons
}

// probe is what a collector at 10.0.0.1 sends: its ports are at the address of
// the datagram.
func probe(fleet, hostname string) *crm.ProbeInit {
	return &crm.ProbeInit{Info: model.HostInfo{Hostname: hostname, Type: model.HostCollector, Ports: []model.PortInfo{
		{Daemon: model.DaemonCoordinator, Port: 10100}, {Daemon: model.DaemonCollector, Port: 9090}}},
		Ext: &crm.ProbeInitExt{Fleet: fleet, Interval: interval}}
}

func answer(ok bool, retries int) *crm.RegisterAck {
	return &crm.RegisterAck{Info: crm.RegisterInfo{Status: ok, MaxRetries: retries},
		Ext: &crm.RegisterAckExt{WorkerID: id(1), Instance: "web-1"}}
}

const hq, coordinator = "10.0.0.1:4711", "10.0.0.1:10100"

func TestProbes(t *testing.T) {
	f := func(p *crm.ProbeInit, to string, ignored ...string) {
		t.Helper()
		r := newTested(time.Now)
		got, ok := r.Probed(p, at(hq))
		if ok != (to != "") || ok && got.To.String() != to {
			t.Errorf("answer to %v, %v; want to %q", got.To, ok, to)
		}
		if diff := cmp.Diff(ignored, r.ignoredReasons()); diff != "" {
			t.Errorf("ignored (-want +got):\n%s", diff)
		}
	}
	f(probe(ours, "hq"), coordinator)
	f(probe("factory", "hq"), "", ignoredForeignFleet)
	f(probe("", "hq"), "", ignoredForeignFleet)
	legacy := probe(ours, "hq")
	legacy.Ext = nil
	f(legacy, "", ignoredNoFleet)
	silent := probe(ours, "hq")
	silent.Info.Ports = silent.Info.Ports[1:]
	f(silent, "", "no_coordinator")
	elsewhere := probe(ours, "hq")
	elsewhere.Info.Addr = netip.MustParseAddr("10.0.0.99")
	f(elsewhere, "10.0.0.99:10100")
}

// The log is told of a foreign fleet, but not at every call: whoever got a
// certificate of the wrong fleet would wonder why nothing happens.
func TestAForeignFleetIsToldOnce(t *testing.T) {
	r := newTested(time.Now)
	for range 3 {
		r.Probed(probe("factory", "hq"), at(hq))
	}
	got := r.log.String()
	if strings.Count(got, "another fleet") != 1 || !strings.Contains(got, "fleet=factory own_fleet=lab collector=hq addr="+hq) {
		t.Errorf("log is %q, want one line with both fleets and the collector", got)
	}
}

func TestTheAnswerSaysWhoWeAre(t *testing.T) {
	r := newTested(time.Now)
	got, _ := r.Probed(probe(ours, "hq"), at(hq))
	want := &crm.ProbeAck{Info: model.HostInfo{Hostname: "web-1", Addr: netip.MustParseAddr("10.0.0.7"), Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: 10300}}},
		Ext: &crm.ProbeAckExt{WorkerID: id(1), KeepAlive: 30 * time.Second, Version: "v1"}}
	if diff := cmp.Diff(want, got.Ack, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := got.Ack.Append(nil); err != nil {
		t.Errorf("the answer cannot be sent: %v", err)
	}
}

func TestRegisterAcks(t *testing.T) {
	f := func(ack *crm.RegisterAck, from string, state model.AgentState, connected string, ignored ...string) {
		t.Helper()
		r := newTested(time.Now)
		r.Probed(probe(ours, "hq"), at(hq))
		r.Acknowledged(ack, at(from))
		if got := r.state(); got != state {
			t.Errorf("state %v, want %v", got, state)
		}
		var want []netip.AddrPort
		if connected != "" {
			want = append(want, at(connected))
		}
		if !slices.Equal(want, r.connects) {
			t.Errorf("connects to %v, want %v", r.connects, want)
		}
		if diff := cmp.Diff(ignored, r.ignoredReasons()); diff != "" {
			t.Errorf("ignored (-want +got):\n%s", diff)
		}
	}
	f(answer(true, 3), coordinator, model.AgentRegistered, "10.0.0.1:9090")
	f(answer(true, 3), "10.0.0.1:50000", model.AgentRegistered, "10.0.0.1:9090")
	f(answer(false, 2), coordinator, model.Initialized, "")
	f(answer(false, 0), coordinator, model.RegisterFailed, "")
	f(answer(true, 3), "10.0.0.66:10100", model.Registering, "", "wrong_sender")
	other := answer(true, 3)
	other.Ext.WorkerID = id(2)
	f(other, coordinator, model.Registering, "", ignoredOtherWorker)
	legacy := answer(true, 3)
	legacy.Ext = nil
	f(legacy, coordinator, model.AgentRegistered, "10.0.0.1:9090")

	unasked := newTested(time.Now)
	unasked.Acknowledged(answer(true, 3), at(coordinator))
	if diff := cmp.Diff([]string{"not_asked"}, unasked.ignoredReasons()); diff != "" {
		t.Errorf("unasked (-want +got):\n%s", diff)
	}
}

// running starts the registration's timer.
func running(t *testing.T) *tested {
	r := newTested(time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	synctest.Wait()
	return r
}

// after lets time pass and compares the state.
func (r *tested) after(t *testing.T, d time.Duration, want model.AgentState) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := r.state(); got != want {
		t.Fatalf("%v after %v: want %v", got, d, want)
	}
}

func TestNoAnswerFromTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t)
		r.after(t, time.Hour, model.Initialized)
		r.Probed(probe(ours, "hq"), at(hq))
		r.after(t, 3*interval-1, model.Registering)
		r.after(t, 1, model.Initialized)
	})
}

func TestCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t)
		r.Probed(probe(ours, "hq"), at(hq))
		r.after(t, time.Second, model.Registering)
		r.Acknowledged(answer(false, 0), at(coordinator)) // a later deadline than the one that the timer is set to
		r.after(t, time.Minute-1, model.RegisterFailed)
		if _, ok := r.Probed(probe(ours, "hq"), at(hq)); ok {
			t.Error("a probe was answered in the cool-down")
		}
		r.after(t, 1, model.Initialized)
		if _, ok := r.Probed(probe(ours, "hq"), at(hq)); !ok {
			t.Error("a probe was not answered after the cool-down")
		}
	})
}

// TestTheTimerFollowsAnEarlierDeadline: the one it was set to is no more.
func TestTheTimerFollowsAnEarlierDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t)
		slow := probe(ours, "hq")
		slow.Ext.Interval = 5 * time.Minute
		r.Probed(slow, at(hq))
		r.after(t, time.Second, model.Registering)
		r.Probed(probe(ours, "hq"), at(hq)) // announces 10 s now
		r.after(t, 3*interval-time.Second-1, model.Registering)
		r.after(t, 1, model.Initialized)
	})
}

func TestChangeOverToAnotherCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t)
		r.Probed(probe(ours, "hq"), at(hq))
		r.Acknowledged(answer(true, 3), at(coordinator))
		time.Sleep(3 * interval)
		r.alive() // frames are acknowledged: only the probes are lost
		time.Sleep(3 * interval)
		if _, ok := r.Probed(probe(ours, "spare"), at("10.0.0.2:4711")); ok {
			t.Error("another collector's probe was answered while ours lives")
		}
		time.Sleep(1)
		if to, ok := r.Probed(probe(ours, "spare"), at("10.0.0.2:4711")); !ok || to.To != at("10.0.0.2:10100") {
			t.Errorf("answer to %v, %v; want to the other coordinator", to.To, ok)
		}
		r.Acknowledged(answer(true, 3), at("10.0.0.2:10100"))
		want := []netip.AddrPort{at("10.0.0.1:9090"), {}, at("10.0.0.2:9090")}
		if !slices.Equal(want, r.connects) {
			t.Errorf("connects to %v, want %v", r.connects, want)
		}
		lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
		for i, want := range []string{"state=REGISTERING", "state=REGISTERED", "state=INITIALIZED", "state=REGISTERING", "state=REGISTERED"} {
			collector := "collector=hq addr=10.0.0.1:10100"
			if i > 2 {
				collector = "collector=spare addr=10.0.0.2:10100"
			}
			if i >= len(lines) || !strings.Contains(lines[i], want) || !strings.Contains(lines[i], collector) {
				t.Errorf("line %d: want %s %s in\n%s", i, want, collector, r.log)
			}
		}
	})
}

// TestConnectingKeepsItsOrder: whatever comes at once, the stream ends up where
// the registration says.
func TestConnectingKeepsItsOrder(t *testing.T) {
	r := newTested(time.Now)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 200 {
				r.Probed(probe(ours, "hq"), at(hq))
				r.Acknowledged(answer(i%3 != 0, 1), at(coordinator))
				r.alive()
			}
		})
	}
	all.Wait()
	for i, to := range r.connects {
		if connected := i%2 == 0; connected != to.IsValid() {
			t.Fatalf("step %d of %d: connect to %v", i, len(r.connects), to)
		}
	}
	want := at("10.0.0.1:9090")
	if r.state() != model.AgentRegistered {
		want = netip.AddrPort{}
	}
	if last := r.connects[len(r.connects)-1]; last != want {
		t.Errorf("%v and connected to %v, want %v", r.state(), last, want)
	}
}

func TestSignsOfLifeDoNotWakeTheTimer(t *testing.T) {
	r := newTested(time.Now)
	r.Probed(probe(ours, "hq"), at(hq))
	r.Acknowledged(answer(true, 3), at(coordinator))
	<-r.wake
	r.alive()
	select {
	case <-r.wake:
		t.Error("woken without a new deadline")
	default:
	}
}

func TestRegistrationMetrics(t *testing.T) {
	r := newTested(time.Now)
	list := func() (m model.Metrics) {
		r.metrics(&m)
		return m
	}
	before := list()
	metricstest.Check(t, before)
	r.Probed(probe("factory", "hq"), at(hq))
	r.Probed(probe(ours, "hq"), at(hq))
	r.Acknowledged(answer(false, 2), at(coordinator))
	metricstest.SameSeries(t, before, list())
	for _, m := range list() {
		want := 0.0
		for _, label := range m.Labels {
			if label.Value == "INITIALIZED" || label.Value == ignoredForeignFleet {
				want = 1
			}
		}
		if m.Name == "cloudless_registration_retries_left" {
			want = 2
		}
		if m.Value != want {
			t.Errorf("%s%v = %v, want %v", m.Name, m.Labels, m.Value, want)
		}
	}
}
