package fleettest

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestARogueFleetMovesNobody puts servers with an authority of their own and the
// same fleet's name on the wire, while the genuine ones are away: a member does
// not so much as look for them, and a new machine that has a token turns away
// from them, even if the token names their address first.
func TestARogueFleetMovesNobody(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10.77.4.0/24", "w1")
	rogue, w1 := f.lan.plug("rogue"), f.workers[0]
	f.serverSettings(rogue)
	f.startServers()
	f.startWorkers()
	f.eventually(2*probeInterval+3*slack, "the fleet works", f.inState(model.Registered, "w1"))

	w2, w3 := f.plugWorker("w2"), f.plugWorker("w3")
	f.tokens(w2)
	at := func(h *host) string { return net.JoinHostPort(h.addr.String(), fmt.Sprint(model.PortCoordinator)) }
	misleading, err := f.ctl(f.hq, "token", "create", "--address", at(rogue), "--address", at(f.hq))
	if err != nil {
		t.Fatal(err)
	}
	f.hold(w3, misleading)
	for _, name := range []string{"collectord", "coordinatord"} {
		if err := f.end(f.hq, name, syscall.SIGTERM); err != nil {
			t.Errorf("%s did not end well: %v", name, err)
		}
	}
	f.start(rogue, "coordinatord")
	f.start(rogue, "collectord")
	misled := f.start(w3, "workerd")
	f.start(w2, "workerd")
	f.eventually(2*probeInterval+2*slack, "the rogue has called twice", func() error {
		rounds, err := f.valueOn(rogue, `cloudless_prober_rounds_total{job="collectord"}`)
		if err == nil && rounds < 2 {
			err = fmt.Errorf("%.0f calls", rounds)
		}
		return err
	})
	f.eventually(slack, "the machine that was misled has turned away", func() error {
		return misled.said(at(rogue), "server does not belong to the expected authority")
	})
	f.start(f.hq, "coordinatord")
	f.start(f.hq, "collectord")

	f.eventually(keepAlive+4*probeInterval+3*slack, "all are in the fleet that they belong to", f.inState(model.Registered, "w1", "w2", "w3"))
	f.eventually(2*slack, "their frames arrive there", f.flowing("w1", "w2", "w3"))
	for _, w := range f.workers {
		f.eventually(2*probeInterval+slack, w.name+" counts the calls of the rogue", func() error {
			calls, err := f.value(fmt.Sprintf(`cloudless_discovery_untrusted_total{job="node",instance=%q,reason="foreign_fleet"}`, w.name))
			if err == nil && calls == 0 {
				err = fmt.Errorf("none")
			}
			return err
		})
	}
	f.knowsNobody(t, rogue)
	// Whoever sends anything to a neighbour looks for his address first.
	if neighbours := f.lan.output("-n", w1.ns, "neigh", "show"); strings.Contains(neighbours, net.HardwareAddr(macOf(t, rogue)).String()) {
		t.Errorf("a member has sent something to the rogue; its neighbours are:\n%s", neighbours)
	}
}

func macOf(t *testing.T, h *host) []byte {
	t.Helper()
	address := h.mac(t)
	return address[:]
}

// knowsNobody checks that nobody was let in by the servers of a host, or has so
// much as asked.
func (f *fleet) knowsNobody(t *testing.T, h *host) {
	t.Helper()
	var members api.MemberList
	if err := f.askOn(h, &members, "workers", "members"); err != nil || len(members.Members) != 0 {
		t.Errorf("the rogue's members: %+v, %v", members.Members, err)
	}
	var pending api.PendingList
	if err := f.askOn(h, &pending, "workers", "pending"); err != nil || len(pending.Pending) != 0 {
		t.Errorf("those who wait at the rogue's: %+v, %v", pending.Pending, err)
	}
	var workers api.Fleet
	if err := f.askOn(h, &workers, "workers"); err != nil || len(workers.Workers) != 0 {
		t.Errorf("the rogue's workers: %+v, %v", workers.Workers, err)
	}
	asked, err := f.valueOn(h, `sum(cloudless_admission_enrolments_total{job="coordinatord"})`)
	if err != nil || asked != 0 {
		t.Errorf("%v machines have asked the rogue to be let in, %v", asked, err)
	}
	for _, entry := range f.audited(h, "coordinatord") {
		if strings.HasPrefix(entry.What, audit.Enrol) {
			t.Errorf("the rogue's audit log has %+v", entry)
		}
	}
}
