package discovery

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// The whole way of a ProbeAck from the bytes of the datagram to the handler, or to
// the counter: one packet per operation, on one core.
func BenchmarkJudgedProbeAck(b *testing.B) {
	lab, prod := newSignedFleet(b, "lab"), newSignedFleet(b, "prod")
	unknown := ackOf("worker1", "192.0.2.7")
	unknown.Ext.WorkerID[0]++
	unsigned := encode(b, ackOf("worker1", "192.0.2.7"))
	f := func(name string, packets [][]byte, screened bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			v := lab.verifier(b)
			screen := v.Screen
			if !screened {
				screen = nil
			}
			p := newPort(newFakeConn(), quiet())
			p.door = newDoor(lab.coordinatorsJudge(v), screen, 1<<30, time.Now)
			source, i := netip.MustParseAddrPort(anywhere), 0
			began := cpuTime()
			for b.Loop() {
				p.hear(packets[i%len(packets)], source, func(d datagram) error { p.believes(d); return nil })
				i++
			}
			b.ReportMetric(float64(b.N)/(cpuTime()-began).Seconds(), "packets/cpu-s")
		})
	}
	many := make([][]byte, 40_000) // more than are judged: none is a replay
	at := time.Now()
	for i := range many {
		seal := sealAs(lab.worker, packet.ProbeAck, func() time.Time { return at.Add(time.Duration(i) * time.Millisecond) })
		many[i] = sealed(b, ackOf("worker1", "192.0.2.7"), seal)
	}
	f("genuine", many, true)
	f("forged", [][]byte{sealed(b, ackOf("worker1", "192.0.2.7"), stranger(b, lab))}, true)
	f("replayed", many[:1], true)
	f("unknown", [][]byte{sealed(b, unknown, lab.byWorker())}, true)
	f("foreign", [][]byte{prod.ack(b, "192.0.2.7")}, true)
	f("unsigned", [][]byte{unsigned}, true)
	f("unsigned-not-screened", [][]byte{unsigned}, false)
}

// cpuTime is what this process has taken so far; other processes do not slow it.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// A probe as a worker judges it: its voucher is verified once.
func BenchmarkJudgedProbeInit(b *testing.B) {
	lab := newSignedFleet(b, "lab")
	v := lab.verifier(b)
	judge := workersJudge(v)
	at := time.Now()
	var probes []crm.Message
	var bytes [][]byte
	for i := range 20_000 {
		p := probeOf("collector", "192.0.2.1", 0)
		p.Ext.Voucher = lab.voucher
		packed := sealed(b, p, sealAs(lab.beacon, packet.ProbeInit, func() time.Time { return at.Add(time.Duration(i) * time.Millisecond) }))
		m, err := crm.Parse(packed)
		if err != nil {
			b.Fatal(err)
		}
		unsealed, _, _ := crm.DetachSeal(packed)
		probes, bytes = append(probes, m), append(bytes, unsealed)
	}
	i := 0
	for b.Loop() {
		judge(probes[i%len(probes)], bytes[i%len(bytes)], netip.AddrPort{})
		i++
	}
}

func BenchmarkSeal(b *testing.B) {
	lab := newSignedFleet(b, "lab")
	ack := ackOf("worker1", "192.0.2.7")
	ack.Ext.WorkerID = model.WorkerIDFrom([16]byte{1})
	seal := sealAs(lab.worker, packet.ProbeAck, time.Now)
	for b.Loop() {
		if _, err := pack(ack, seal); err != nil {
			b.Fatal(err)
		}
	}
}
