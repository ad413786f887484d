package discovery

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// counting counts how often a judge was asked.
func counting(judge Judge, asked *int) Judge {
	return func(m crm.Message, unsealed []byte, source netip.AddrPort) packet.Verdict {
		*asked++
		return judge(m, unsealed, source)
	}
}

// An address that causes too many verifications is not judged any more, which
// hurts nobody else; a second later it is again.
func TestLimitedSourcesAreNotJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newSignedFleet(t, "lab")
		cfg := DefaultRegistrarConfig()
		cfg.ReplyRatePerAddress = 5
		conn, asked := newFakeConn(), 0
		r := registrar(t, cfg, RegistrarDeps{conn: conn, Judge: counting(lab.coordinatorsJudge(lab.verifier(t)), &asked)})
		forged := sealed(t, ackOf("worker1", ""), stranger(t, lab))
		rude, honest := netip.MustParseAddrPort("192.0.2.66:1"), netip.MustParseAddrPort("192.0.2.1:1")
		for range 100 {
			conn.in <- arrival{b: forged, from: rude}
		}
		synctest.Wait()
		const most = judgedPerReply * 5
		if got := r.Stats().Listen; asked != most || got.Limited != 100-most || got.Untrusted[packet.BadSignature] != most {
			t.Errorf("judged %d times, counted %s; want %d and the others limited", asked, untrustedOf(got), most)
		}
		conn.in <- arrival{b: lab.ack(t, ""), from: honest}
		synctest.Wait()
		if got := r.Stats(); asked != most+1 || got.ProbeAcks != 1 || len(conn.sent()) != 1 {
			t.Errorf("an honest worker was not answered: %+v", got)
		}
		time.Sleep(time.Second)
		conn.in <- arrival{b: lab.ack(t, ""), from: rude}
		synctest.Wait()
		if got := r.Stats(); asked != most+2 || got.ProbeAcks != 2 {
			t.Errorf("the address is still limited a second later: %+v", got)
		}
	})
}

// What needs no verification is charged to nobody: worthless packets in the name
// of an honest address do not silence it, nor is the address remembered.
func TestWorthlessPacketsSilenceNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab, prod := newSignedFleet(t, "lab"), newSignedFleet(t, "prod")
		conn := newFakeConn()
		r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn, Judge: lab.coordinatorsJudge(lab.verifier(t))})
		unknown := ackOf("worker1", "")
		unknown.Ext.WorkerID[0]++
		genuine, honest := lab.ack(t, ""), netip.MustParseAddrPort("192.0.2.1:1")
		conn.in <- arrival{b: genuine, from: honest}
		for _, b := range [][]byte{encode(t, ackOf("worker1", "")), prod.ack(t, ""), sealed(t, unknown, lab.byWorker()), genuine,
			bytes.Replace(genuine, []byte(`}}`), []byte(`} }`), 1)} {
			for range 1000 {
				conn.in <- arrival{b: b, from: honest}
			}
		}
		conn.in <- arrival{b: lab.ack(t, ""), from: honest}
		synctest.Wait()
		if got := r.Stats(); got.ProbeAcks != 2 || got.Listen.Limited != 0 {
			t.Errorf("stats %+v, want two ProbeAck and nothing limited", got)
		}
	})
}

// A worker's responder judges so many of one address, too.
func TestLimitedCollectorsAreNotJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newSignedFleet(t, "lab")
		conn, asked := newFakeConn(), 0
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &worker{}, conn: conn, Judge: counting(workersJudge(lab.verifier(t)), &asked)})
		probe := probeOf("collector", "", 0)
		probe.Ext.Voucher = lab.voucher
		forged := sealed(t, probe, lab.byWorker())
		for range 100 {
			conn.in <- arrival{b: forged, from: netip.MustParseAddrPort("192.0.2.66:1")}
		}
		synctest.Wait()
		if got := r.Stats().Listen; asked != judgedLeast || got.Limited != 100-judgedLeast {
			t.Errorf("judged %d times, counted %s", asked, untrustedOf(got))
		}
	})
}

// With a screen a flood costs no parsing: foreign packets never, and unsigned ones
// beyond those that are looked at to tell rubbish from strays.
func TestScreenedFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab, prod := newSignedFleet(t, "lab"), newSignedFleet(t, "prod")
		conn, v, asked := newFakeConn(), lab.verifier(t), 0
		r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn, Judge: counting(lab.coordinatorsJudge(v), &asked), Screen: v.Screen})
		from := netip.MustParseAddrPort(anywhere)
		foreign := prod.ack(t, "")
		malformed := sealed(t, ackOf("worker1", ""), func([]byte) (string, error) { return "AAAA", nil })
		unsigned := encode(t, ackOf("worker1", ""))
		for range 3000 {
			conn.in <- arrival{b: foreign, from: from}
			conn.in <- arrival{b: malformed, from: from}
		}
		synctest.Wait()
		if got := untrustedOf(r.Stats().Listen); asked != 0 || got != "malformed=3000 foreign_fleet=3000" {
			t.Errorf("judged %d times, counted %s", asked, got)
		}
		for range 1500 {
			conn.in <- arrival{b: unsigned, from: from}
			conn.in <- arrival{b: []byte("rubbish"), from: from}
		}
		synctest.Wait()
		got := r.Stats().Listen
		parsed := got.Refused[crm.NotJSON] + uint64(asked)
		if parsed != parsedUnsigned || got.Refused[crm.NotJSON] != parsedUnsigned/2 || got.Untrusted[packet.Unsigned] != 3000-parsedUnsigned/2 {
			t.Errorf("%d parsed, %d refused, counted %s; want %d parsed", parsed, got.Refused[crm.NotJSON], untrustedOf(got), parsedUnsigned)
		}
		time.Sleep(time.Second)
		conn.in <- arrival{b: []byte("rubbish"), from: from}
		conn.in <- arrival{b: lab.ack(t, ""), from: from}
		synctest.Wait()
		if after := r.Stats(); after.Listen.Refused[crm.NotJSON] != got.Refused[crm.NotJSON]+1 || after.ProbeAcks != 1 {
			t.Errorf("a second later: %+v", after)
		}
	})
}

// One address that asks, or is named as the one to answer, gets half of the rate
// at most.
func TestAnswerRateOfOneAddress(t *testing.T) {
	f := func(name string, of func(i int) (collector, source netip.Addr)) {
		synctest.Test(t, func(t *testing.T) {
			conn := newFakeConn()
			cfg := DefaultResponderConfig()
			cfg.MaxDelay = 0
			r := responder(t, cfg, ResponderDeps{Handler: &worker{}, conn: conn})
			const seconds = 10
			for i := range seconds * 50 {
				collector, source := of(i)
				conn.arrive(t, probeOf("collector", collector.String(), 0), netip.AddrPortFrom(source, 10120).String())
				time.Sleep(20 * time.Millisecond)
			}
			synctest.Wait()
			sent := len(conn.sent())
			if most := (seconds + 1) * cfg.AnswerRate / 2; sent > most || sent < most-cfg.AnswerRate/2 {
				t.Errorf("%s: %d answers in %d s, want at most %d and not much less", name, sent, seconds, most)
			}
			if got := r.Stats(); got.LimitedAddress != uint64(seconds*50-sent) {
				t.Errorf("%s: stats %+v, want all others limited", name, got)
			}
		})
	}
	one := netip.MustParseAddr("192.0.2.1")
	f("one source", func(i int) (netip.Addr, netip.Addr) { return hostAddr(i + 1), one })
	f("one victim", func(i int) (netip.Addr, netip.Addr) { return one, hostAddr(i + 1) })
}
