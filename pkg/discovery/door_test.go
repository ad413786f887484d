package discovery

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

const anywhere = "192.0.2.8:55555"

// untrustedOf lists the reasons that are not zero.
func untrustedOf(s ListenStats) string {
	text := ""
	for reason, n := range s.Untrusted {
		if n > 0 {
			text += fmt.Sprintf(" %v=%d", packet.Reason(reason), n)
		}
	}
	if s.Limited > 0 {
		text += fmt.Sprintf(" limited=%d", s.Limited)
	}
	return strings.TrimSpace(text)
}

func TestOnlyBelievedProbesAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab, prod := newSignedFleet(t, "lab"), newSignedFleet(t, "prod")
		conn, w := newFakeConn(), &worker{}
		v := lab.verifier(t)
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: w, conn: conn, Judge: workersJudge(v), Screen: v.Screen, Seal: lab.byWorker()})
		var want []string
		f := func(b []byte, answered bool, reason packet.Reason) {
			t.Helper()
			conn.in <- arrival{b: b, from: netip.MustParseAddrPort(anywhere)}
			time.Sleep(time.Second)
			synctest.Wait()
			if sent := conn.sent(); len(sent) > 0 != answered {
				t.Errorf("%s: %d answers", b, len(sent))
			}
			if reason != packet.OK {
				want = append(want, reason.String())
			}
		}
		good := lab.probe(t, "192.0.2.1")
		f(good, true, packet.OK)
		f(good, false, packet.Replayed)
		f(encode(t, probeOf("collector", "192.0.2.1", 0)), false, packet.Unsigned)
		f(encode(t, &crm.ProbeInit{ID: "legacy", Info: probeOf("collector", "192.0.2.1", 0).Info}), false, packet.Unsigned)
		f(prod.probe(t, "192.0.2.1"), false, packet.ForeignFleet)
		f(sealed(t, probeOf("collector", "192.0.2.1", 0), lab.byBeacon(packet.ProbeInit)), false, packet.Unsigned) // without voucher
		forged := probeOf("collector", "192.0.2.1", 0)
		forged.Ext.Voucher = lab.voucher
		f(sealed(t, forged, lab.byBeacon(packet.RegisterAck)), false, packet.BadSignature) // sealed as something else
		f(sealed(t, forged, lab.byWorker()), false, packet.BadSignature)                   // by a worker
		f(sealed(t, forged, func([]byte) (string, error) { return "AAAA", nil }), false, packet.Malformed)
		f(lab.probe(t, "192.0.2.1"), true, packet.OK)

		got := untrustedOf(r.Stats().Listen)
		if want := "unsigned=3 malformed=1 foreign_fleet=1 bad_signature=2 replayed=1"; got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
		if probes, _ := w.heard(); probes != 2 || r.Stats().Probes != 2 {
			t.Errorf("the handler was given %d probes, want 2", probes)
		}
	})
}

func TestOnlyBelievedAcksAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab, prod := newSignedFleet(t, "lab"), newSignedFleet(t, "prod")
		conn, v := newFakeConn(), lab.verifier(t)
		r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn, Judge: lab.coordinatorsJudge(v), Screen: v.Screen,
			Seal: lab.byBeacon(packet.RegisterAck), Register: lab.admit})
		f := func(b []byte, answers int) {
			t.Helper()
			conn.in <- arrival{b: b, from: netip.MustParseAddrPort(anywhere)}
			synctest.Wait()
			sent := conn.sent()
			if len(sent) != answers {
				t.Fatalf("%s: %d answers", b, len(sent))
			}
			for _, one := range sent {
				reply := decode[*crm.RegisterAck](t, one.b)
				unsealed, _, _ := crm.DetachSeal(one.b)
				if got := workersJudge(lab.verifier(t))(reply, unsealed, netip.AddrPort{}); !got.OK() {
					t.Errorf("the reply is not believed by the worker: %v", got)
				}
				if len(one.b) > 2*len(b) {
					t.Errorf("%d bytes in answer to %d", len(one.b), len(b))
				}
			}
		}
		good := lab.ack(t, "")
		f(good, 1)
		f(good, 0)
		f(encode(t, ackOf("worker1", "")), 0)
		f(prod.ack(t, ""), 0)
		unknown := ackOf("worker1", "")
		unknown.Ext.WorkerID[0]++
		f(sealed(t, unknown, lab.byWorker()), 0)
		f(sealed(t, ackOf("worker1", ""), stranger(t, lab)), 0) // of this fleet, by a key that is not the worker's
		f(lab.ack(t, ""), 1)
		got := untrustedOf(r.Stats().Listen)
		if want := "unsigned=1 foreign_fleet=1 unknown_sender=1 bad_signature=1 replayed=1"; got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
	})
}

// admit registers everybody, with the fleet's voucher.
func (f *signedFleet) admit(ack *crm.ProbeAck, source netip.AddrPort) (*crm.RegisterAck, netip.AddrPort, bool) {
	reply, to, ok := admit(ack, source)
	reply.Ext.Voucher = f.voucher
	return reply, to, ok
}

// stranger seals for a fleet and worker by a stranger's key.
func stranger(t testing.TB, f *signedFleet) Seal {
	t.Helper()
	s, err := packet.NewWorker(f.bundle.Fleet, f.bundle.Fingerprints()[0], firstWorker(), ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return sealAs(s, packet.ProbeAck, time.Now)
}

// What is on its way may be changed: no byte of a sealed packet can.
func TestEveryChangedByteIsRefused(t *testing.T) {
	lab := newSignedFleet(t, "lab")
	f := func(name string, good []byte, judge Judge) {
		t.Helper()
		believed := 0
		p := newPort(newFakeConn(), quiet())
		p.door = newDoor(judge, nil, 1_000_000, time.Now)
		take := func(d datagram) error {
			if p.believes(d) {
				believed++
			}
			return nil
		}
		source := netip.MustParseAddrPort(anywhere)
		for i := range good {
			for _, change := range []func([]byte) []byte{
				func(b []byte) []byte { b[i] ^= 1; return b },
				func(b []byte) []byte { b[i] = ' '; return b },
				func(b []byte) []byte { return append(b[:i], b[i+1:]...) },
				func(b []byte) []byte { return append(b[:i], append([]byte{' '}, b[i:]...)...) },
			} {
				b := change(append([]byte(nil), good...))
				if string(b) == string(good) {
					continue
				}
				if p.hear(b, source, take); believed > 0 {
					t.Fatalf("%s: byte %d changed and believed: %s", name, i, b)
				}
			}
		}
		if p.hear(good, source, take); believed != 1 {
			t.Errorf("%s: the genuine one is not believed after all that", name)
		}
	}
	f("ProbeInit", lab.probe(t, "192.0.2.1"), workersJudge(lab.verifier(t)))
	f("ProbeAck", lab.ack(t, "192.0.2.1"), lab.coordinatorsJudge(lab.verifier(t)))
	f("RegisterAck", lab.reply(t), workersJudge(lab.verifier(t)))
}

// A seal in any other place than the last, and a second one, are none.
func TestSealsInOtherPlaces(t *testing.T) {
	lab := newSignedFleet(t, "lab")
	good := string(lab.ack(t, ""))
	_, seal, _ := crm.DetachSeal([]byte(good))
	member := `, "seal": "` + seal + `"`
	other := `, "seal": "` + strings.Repeat("A", packet.SealLength) + `"`
	p := newPort(newFakeConn(), quiet())
	p.door = newDoor(lab.coordinatorsJudge(lab.verifier(t)), nil, 1_000_000, time.Now)
	f := func(b string, want packet.Reason) {
		t.Helper()
		before, judged := p.heard.Untrusted[want], false
		p.hear([]byte(b), netip.MustParseAddrPort(anywhere), func(d datagram) error { judged = true; p.believes(d); return nil })
		if !judged || (want != packet.OK && p.heard.Untrusted[want] != before+1) || (want == packet.OK) != (p.heard.Untrusted == [packet.NumReasons]uint64{}) {
			t.Errorf("%s: counted %s, want one more %v", b, untrustedOf(p.heard), want)
		}
	}
	f(good, packet.OK)
	f(strings.Replace(good, member, member+`, "x": 1`, 1), packet.Malformed)
	f(strings.Replace(good, member, member+member, 1), packet.Malformed)
	f(strings.Replace(good, `, "cloudless": {`, `, "cloudless": {`+other[2:]+`, `, 1), packet.Replayed) // no accepted packet is verified again
	f(good[:len(good)-1]+`, "x": {"y": 1`+member+`}}`, packet.Malformed)                                // another object's
	f(strings.Replace(good, member, "", 1), packet.Unsigned)
	f(good+" ", packet.Malformed)
}

// The seal's own time counts, not the datagram's: a packet that was kept back is
// refused, one whose time was changed as well.
func TestRetimedPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newSignedFleet(t, "lab")
		conn, v := newFakeConn(), lab.verifier(t)
		var offset time.Duration
		r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn, Judge: lab.coordinatorsJudge(v),
			Register: func(ack *crm.ProbeAck, source netip.AddrPort) (*crm.RegisterAck, netip.AddrPort, bool) {
				offset = ack.Ext.ClockOffset
				return admit(ack, source)
			}})
		clock := func(ahead time.Duration) Seal {
			return sealAs(lab.worker, packet.ProbeAck, func() time.Time { return time.Now().Add(ahead) })
		}
		f := func(b []byte, counted string, wantOffset time.Duration) {
			t.Helper()
			offset = 0
			conn.in <- arrival{b: b, from: netip.MustParseAddrPort(anywhere)}
			synctest.Wait()
			if got := untrustedOf(r.Stats().Listen); got != counted || offset != wantOffset {
				t.Errorf("counted %q with offset %v, want %q with %v", got, offset, counted, wantOffset)
			}
		}
		f(sealed(t, ackOf("w", ""), clock(0)), "", 0)
		f(sealed(t, ackOf("w", ""), clock(5*time.Minute)), "", 5*time.Minute)
		f(sealed(t, ackOf("w", ""), clock(-5*time.Minute)), "", -5*time.Minute)
		f(sealed(t, ackOf("w", ""), clock(5*time.Minute+time.Millisecond)), "from_future=1", 0)
		f(sealed(t, ackOf("w", ""), clock(-5*time.Minute-time.Millisecond)), "too_old=1 from_future=1", 0)

		late := sealed(t, ackOf("w", ""), clock(0))
		time.Sleep(5*time.Minute + time.Millisecond)
		f(late, "too_old=2 from_future=1", 0)
		_, text, _ := crm.DetachSeal(late)
		seal, err := packet.ParseSeal(text)
		if err != nil {
			t.Fatal(err)
		}
		seal.Time = time.Now().UnixMilli()
		fresh := []byte(strings.Replace(string(late), text, seal.String(), 1))
		f(fresh, "bad_signature=1 too_old=2 from_future=1", 0)
	})
}

// What was accepted is remembered by the process only: packets of the last five
// minutes are accepted once more after a restart, and once only.
func TestReplayAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newSignedFleet(t, "lab")
		packets := [][]byte{lab.ack(t, ""), lab.ack(t, "192.0.2.7")}
		for run := range 2 {
			conn, v := newFakeConn(), lab.verifier(t)
			r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn, Judge: lab.coordinatorsJudge(v)})
			for range 3 {
				for _, b := range packets {
					conn.in <- arrival{b: b, from: netip.MustParseAddrPort(anywhere)}
				}
			}
			synctest.Wait()
			if got := r.Stats(); got.ProbeAcks != 2 || got.Listen.Untrusted[packet.Replayed] != 4 {
				t.Errorf("run %d: %d accepted, %s", run, got.ProbeAcks, untrustedOf(got.Listen))
			}
		}
		time.Sleep(5*time.Minute + time.Second)
		conn, v := newFakeConn(), lab.verifier(t)
		r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn, Judge: lab.coordinatorsJudge(v)})
		conn.in <- arrival{b: packets[0], from: netip.MustParseAddrPort(anywhere)}
		synctest.Wait()
		if got := r.Stats(); got.ProbeAcks != 0 || got.Listen.Untrusted[packet.TooOld] != 1 {
			t.Errorf("five minutes later: %d accepted, %s", got.ProbeAcks, untrustedOf(got.Listen))
		}
	})
}

// Members that only a later version knows are signed too.
func TestPacketsOfLaterVersions(t *testing.T) {
	lab := newSignedFleet(t, "lab")
	unsealed := strings.NewReplacer(`, "cloudless": {`, `, "since": [3, {"is": "it}}"}], "cloudless": {"more": {"a": null}, `).Replace(string(encode(t, ackOf("w", ""))))
	text, err := lab.byWorker()([]byte(unsealed))
	if err != nil {
		t.Fatal(err)
	}
	b, err := crm.AttachSeal([]byte(unsealed), text)
	if err != nil {
		t.Fatal(err)
	}
	p := newPort(newFakeConn(), quiet())
	p.door = newDoor(lab.coordinatorsJudge(lab.verifier(t)), nil, 10, time.Now)
	believed := false
	p.hear(b, netip.MustParseAddrPort(anywhere), func(d datagram) error { believed = p.believes(d); return nil })
	if !believed {
		t.Errorf("%s: counted %s", b, untrustedOf(p.heard))
	}
}
