package fleettest

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// forgeries is how many ProbeAck are forged, and forgeriesPerSecond how fast.
const (
	forgeries          = 100_000
	forgeriesPerSecond = 12_500
)

// TestForgedProbeAcksStopNobody floods coordinatord with ProbeAck in the names of
// its own workers and of thousands of others, from thousands of addresses that
// are forged as well, those of honest hosts among them. Nothing of it may grow, and
// the fleet goes on working: a machine that has a token gets in.
func TestForgedProbeAcksStopNobody(t *testing.T) {
	f := newFleet(t, "10.78.0.0/16", "w1", "w2")
	rude, w3 := f.lan.plug("rude"), f.plugWorker("w3")
	f.startServers() // w3 has its token
	f.start(f.workers[0], "workerd")
	f.start(f.workers[1], "workerd")
	f.eventually(2*probeInterval+3*slack, "the fleet works", f.flowing("w1", "w2"))
	forger := f.newForger(t, f.workers[0], f.workers[1])
	forger.framed = []netip.Addr{f.workers[0].addr, w3.addr}
	heard, lost := f.probeAcks(t)
	before := f.costs()

	wire := rude.tap(t)
	done := make(chan error, 1)
	go func() { done <- forger.flood(wire, f.hq) }()
	begun := time.Now()
	f.start(w3, "workerd")
	took := f.eventually(2*probeInterval+3*slack, "a new machine with a token is in", f.inState(model.Registered, "w3"))
	t.Logf("the new machine was registered after %v", took.Round(time.Millisecond))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d packets were sent in %v", forgeries, time.Since(begun).Round(time.Millisecond))

	f.eventually(2*slack, "every packet is counted", func() error {
		heardNow, lostNow := f.probeAcks(t)
		if got := heardNow - heard + lostNow - lost; got < forgeries {
			return fmt.Errorf("%.0f heard and %.0f dropped by the kernel, want %d", heardNow-heard, lostNow-lost, forgeries)
		}
		return nil
	})
	f.counted(t, "coordinatord", "hq", "cloudless_discovery_untrusted_total", "reason",
		"bad_signature", "unknown_sender", "foreign_fleet", "malformed", "unsigned", "rate_limit")
	names := []string{"w1", "w2", "w3"}
	f.eventually(keepAlive+slack, "honest workers are still registered", f.inState(model.Registered, names...))
	f.eventually(keepAlive+slack, "their frames still arrive", f.flowing(names...))
	for _, bound := range []struct {
		metric string
		most   float64
	}{
		{`sum(cloudless_registry_workers{job="coordinatord"})`, 3},
		{`cloudless_registry_members{job="coordinatord"}`, 3},
		{`cloudless_admission_members{job="coordinatord"}`, 3},
		{`cloudless_admission_pending{job="coordinatord"}`, 0},
		{`cloudless_discovery_replay_senders{job="coordinatord"}`, 3},
		{`cloudless_registry_expirations_total{job="coordinatord"}`, 0},
	} {
		if got, err := f.value(bound.metric); err != nil || got > bound.most {
			t.Errorf("%s is %v, %v; want %v at most", bound.metric, got, err, bound.most)
		}
	}
	f.costLittle(before)
}

// probeAcks is how many datagrams coordinatord has heard on its port, and how many
// the kernel has dropped there.
func (f *fleet) probeAcks(t *testing.T) (heard, dropped float64) {
	t.Helper()
	heard, err := f.value(`cloudless_discovery_datagrams_total{job="coordinatord",instance="hq"}`)
	if err != nil {
		t.Fatal(err)
	}
	return heard, f.hq.dropped(t, model.PortCoordinator)
}

// forger makes packets that look like those of workers of the fleet.
type forger struct {
	random    *mathrand.Rand
	subnet    netip.Prefix
	workers   []model.WorkerID
	authority packet.Hint
	// framed are addresses of honest hosts, whose packets are soon not looked at
	// any more: what is verified in vain is limited for each address.
	framed []netip.Addr
}

func (f *fleet) newForger(t *testing.T, workers ...*host) *forger {
	t.Helper()
	forger := &forger{random: mathrand.New(mathrand.NewPCG(1, 2)), subnet: f.lan.subnet}
	for _, w := range workers {
		forger.workers = append(forger.workers, f.identity(w).Worker())
	}
	fingerprint := trust.CertificateFingerprint(f.credentials(workers[0]).Bundle().Authorities[0])
	copy(forger.authority[:], fingerprint[:])
	return forger
}

// flood sends all forgeries to coordinatord, evenly.
func (f *forger) flood(wire *wire, to *host) error {
	receiver := to.mac(wire.t)
	const burst = 25
	pause := time.NewTicker(time.Second * burst / forgeriesPerSecond)
	defer pause.Stop()
	for i := range forgeries {
		payload, err := f.packet(i)
		if err == nil {
			err = wire.send(datagram{receiver: receiver, payload: payload, from: netip.AddrPortFrom(f.source(i), model.PortWorker),
				to: netip.AddrPortFrom(to.addr, model.PortCoordinator)})
		}
		if err != nil {
			return err
		}
		if i%burst == burst-1 {
			<-pause.C
		}
	}
	return nil
}

// source is where the i-th forgery seems to come from. Half of those that are to be
// verified come from honest hosts.
func (f *forger) source(i int) netip.Addr {
	if i%4 == 0 {
		return f.framed[i/4%len(f.framed)]
	}
	return f.anybody()
}

// anybody is an address of the segment that no host has.
func (f *forger) anybody() netip.Addr {
	bytes := f.subnet.Addr().As4()
	binary.BigEndian.PutUint16(bytes[2:], uint16(0x100+f.random.IntN(0xfe00)))
	return netip.AddrFrom4(bytes)
}

// packet is the i-th forgery. Half of them are in the names of workers of the
// fleet, with a signature that is none; the others in those of nobody: with the
// fleet's authority or another one, with something that is no seal, or without.
func (f *forger) packet(i int) ([]byte, error) {
	var random [16]byte
	rand.Read(random[:])
	ack := &crm.ProbeAck{ID: "forged", Info: model.HostInfo{Hostname: fmt.Sprintf("forged-%d", i), Addr: f.anybody(), Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: model.PortWorker}}},
		Ext: &crm.ProbeAckExt{WorkerID: model.WorkerIDFrom(random), KeepAlive: keepAlive}}
	seal := packet.Seal{Authority: f.authority, Time: time.Now().UnixMilli()}
	rand.Read(seal.Nonce[:])
	rand.Read(seal.Signature[:])
	text := seal.String()
	switch i % 8 {
	case 0, 2, 4, 6:
		ack.Ext.WorkerID = f.workers[i/2%len(f.workers)]
	case 1:
		rand.Read(seal.Authority[:])
		text = seal.String()
	case 3:
		text = text[1:]
	case 5:
		text = ""
	}
	unsealed, err := ack.Append(nil)
	if err != nil || text == "" {
		return unsealed, err
	}
	return crm.AttachSeal(unsealed, text)
}
