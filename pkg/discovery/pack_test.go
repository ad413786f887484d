package discovery

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenVoucher is the text of a voucher for the beacon of TestGoldenPackets.
const goldenVoucher = "AQECAwQFBgcIkfGB3fcXfZXwmVRwE6RqMD8QDGFXPYXlrZfDZ7fYGnwAAAGc-5mUAH3uLmiAnU_qcVJWk6dxr2n4eVJQv7yxGJ0TDhC5wRr3vZ2mQfY0a8bGdJ4hPp1vT6nWk0Zy5cXoLe7uKsJqFAw"

// The bytes of sealed packets, from keys, time and nonces that never change. An
// older version must believe a newer one's.
func TestGoldenPackets(t *testing.T) {
	authority := trust.Fingerprint{1, 2, 3, 4, 5, 6, 7, 8, 31: 9}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	beacon, err := packet.NewBeacon("lab", authority, seededKey(1))
	if err != nil {
		t.Fatal(err)
	}
	worker, err := packet.NewWorker("lab", authority, firstWorker(), seededKey(2))
	if err != nil {
		t.Fatal(err)
	}
	seal := func(s *packet.Signer, kind packet.Kind) Seal {
		return func(unsealed []byte) (string, error) {
			seal, err := s.Sign(kind, unsealed, bytes.NewReader([]byte{0, 1, 2, 3, 4, 5, 6, byte(kind)}), at)
			return seal.String(), err
		}
	}
	probe, ack, reply := probeOf("collector", "192.0.2.1", 3), ackOf("worker1", "192.0.2.7"), registerAck()
	probe.ID, ack.ID, reply.ID = "78f6ac6d-ec8d-44cf-abc8-584e4255e9d3", "78f6ac6d-ec8d-44cf-abc8-584e4255e9d3", "78f6ac6d-ec8d-44cf-abc8-584e4255e9d3"
	ack.Ext.Version = "1.2.3"
	probe.Ext.Voucher, reply.Ext.Voucher = goldenVoucher, goldenVoucher
	for _, one := range []struct {
		file string
		m    crm.Message
		seal Seal
	}{
		{"probe_init.json", probe, seal(beacon, packet.ProbeInit)},
		{"probe_ack.json", ack, seal(worker, packet.ProbeAck)},
		{"register_ack.json", reply, seal(beacon, packet.RegisterAck)},
	} {
		got := sealed(t, one.m, one.seal)
		path := filepath.Join("testdata", "sealed", one.file)
		if *update {
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", one.file, got, want)
		}
	}
}

// What the daemons say at most: the longest address, port, lease, state, fleet
// name and version, in every dialect that an asker may have.
func worstMessages(hostname, instance string, d crm.Dialect) (*crm.ProbeInit, *crm.ProbeAck, *crm.RegisterAck) {
	addr := netip.MustParseAddr("2001:1db8:1111:2222:3333:4444:5555:6666")
	id := newID()
	probe := &crm.ProbeInit{ID: id, Dialect: crm.Dialect{NamedType: d.NamedType}, Info: model.HostInfo{Hostname: crm.CollectorHostname(hostname), Addr: addr,
		Type: model.HostCollector, Ports: []model.PortInfo{{Daemon: model.DaemonCoordinator, Port: 65535}, {Daemon: model.DaemonCollector, Port: 65535}}},
		Ext: &crm.ProbeInitExt{Fleet: strings.Repeat("f", 63), FleetSize: crm.MaxFleetSize, Interval: time.Hour, Voucher: strings.Repeat("V", packet.VoucherLength)}}
	ack := &crm.ProbeAck{ID: id, Dialect: d, Info: model.HostInfo{Hostname: hostname, Addr: addr, Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: 65535}}},
		Ext: &crm.ProbeAckExt{WorkerID: firstWorker(), KeepAlive: crm.MaxPeriod, Version: strings.Repeat("v", 64)}}
	reply := &crm.RegisterAck{ID: id, Dialect: d, Info: crm.RegisterInfo{Message: strings.Repeat("m", 200), MaxRetries: crm.MaxRetries},
		Ext: &crm.RegisterAckExt{WorkerID: firstWorker(), Instance: instance, State: model.Registered, Voucher: strings.Repeat("V", packet.VoucherLength)}}
	return probe, ack, reply
}

func anySeal([]byte) (string, error) { return strings.Repeat("S", packet.SealLength), nil }

// Every name that a configuration may give fits into every packet, sealed, for
// every asker; what is left out is what can be done without.
func TestWorstPacketsFit(t *testing.T) {
	dialects := []crm.Dialect{{}, {NamedType: true}, {PaddedReduce: true}, {Family: crm.VrmJobs, PaddedReduce: true}}
	for _, letter := range []string{"h", "ä", "漢", "😀", `\`} {
		name := ""
		for crm.CheckHostname(name+letter) == nil {
			name += letter
		}
		for _, d := range dialects {
			probe, ack, reply := worstMessages(name, strings.Repeat(letter, 253/len(letter)), d)
			for _, m := range []crm.Message{probe, ack, reply} {
				b := sealed(t, m, anySeal)
				if len(b) > crm.MaxPacket {
					t.Errorf("%T of %q: %d bytes", m, letter, len(b))
				}
				if _, err := crm.Parse(b); err != nil {
					t.Errorf("%T of %q: %v", m, letter, err)
				}
			}
			if ack.Info.Hostname != name {
				t.Errorf("the worker's name was changed to %q", ack.Info.Hostname)
			}
			if reply.Info.Message == "" {
				t.Error("nothing is left of the message")
			}
		}
	}
}

func TestWhatIsLeftOut(t *testing.T) {
	f := func(m crm.Message, seal Seal, size int, left string) {
		t.Helper()
		b := sealed(t, m, seal)
		back, err := crm.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if text := leftIn(back); len(b) != size || text != left {
			t.Errorf("%T: %d bytes with %s, want %d with %s", m, len(b), text, size, left)
		}
	}
	name := func(n int) string { return strings.Repeat("h", n) }
	probe, ack, reply := worstMessages(name(29), "i", crm.Dialect{})
	f(probe, anySeal, 1023, "name 29, long type")
	probe, _, _ = worstMessages(name(30), "i", crm.Dialect{})
	f(probe, anySeal, 957, "name 30, short type")
	probe, _, _ = worstMessages(name(96), "i", crm.Dialect{})
	f(probe, anySeal, 1023, "name 96, short type")
	probe, _, _ = worstMessages(name(60)+"."+name(60), "i", crm.Dialect{})
	f(probe, anySeal, 987, "name 60, short type")

	_, ack, _ = worstMessages(name(248), "i", crm.Dialect{})
	f(ack, anySeal, 1023, "name 248, version 64")
	_, ack, _ = worstMessages(name(249), "i", crm.Dialect{})
	f(ack, anySeal, 992, "name 249, version 32")
	_, ack, _ = worstMessages(name(253), "i", crm.Dialect{})
	f(ack, nil, 897, "name 253, version 64") // unsealed there is room
	_, ack, _ = worstMessages(name(253), "i", crm.Dialect{Family: crm.VrmJobs, PaddedReduce: true})
	f(ack, anySeal, 1016, "name 253, version 8")

	_, _, reply = worstMessages("h", name(108), crm.Dialect{})
	f(reply, anySeal, 1023, "instance 108, message 200")
	_, _, reply = worstMessages("h", name(109), crm.Dialect{})
	f(reply, anySeal, 899, "instance 0, message 200")
	_, _, reply = worstMessages("h", name(253), crm.Dialect{})
	reply.Info.Message = strings.Repeat("é", 400)
	f(reply, anySeal, 999, "instance 0, message 100")
}

// leftIn says what a packet still holds of what may be left out.
func leftIn(m crm.Message) string {
	switch m := m.(type) {
	case *crm.ProbeInit:
		kind := "long"
		if m.Dialect.NamedType {
			kind = "short"
		}
		return "name " + strconv.Itoa(len(m.Info.Hostname)) + ", " + kind + " type"
	case *crm.ProbeAck:
		return "name " + strconv.Itoa(len(m.Info.Hostname)) + ", version " + strconv.Itoa(len(m.Ext.Version))
	case *crm.RegisterAck:
		return "instance " + strconv.Itoa(len(m.Ext.Instance)) + ", message " + strconv.Itoa(len(m.Info.Message))
	}
	return ""
}

func TestWhatCannotBePacked(t *testing.T) {
	_, ack, _ := worstMessages(strings.Repeat("ä", 100), "i", crm.Dialect{}) // 600 bytes as it is spelled
	if b, err := pack(ack, anySeal); err == nil {
		t.Errorf("packed %d bytes", len(b))
	}
	ack.Info.Hostname = "h"
	broken := errors.New("no key")
	if _, err := pack(ack, func([]byte) (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	for _, text := range []string{"", "not base64url", strings.Repeat("S", 400)} {
		if b, err := pack(ack, func([]byte) (string, error) { return text, nil }); err == nil {
			t.Errorf("packed %s", b)
		}
	}
	legacy := &crm.RegisterAck{ID: "x"}
	if b, err := pack(legacy, anySeal); err != nil || bytes.Contains(b, []byte("seal")) {
		t.Errorf("a message without an extension: %s, %v; want it unsealed", b, err)
	}
}

// Answers are sealed when they are sent, not when they are asked for.
func TestAnswersAreSealedWhenSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newSignedFleet(t, "lab")
		conn := newFakeConn()
		responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &worker{}, Random: late, conn: conn, Seal: lab.byWorker()})
		conn.arrive(t, probeOf("collector", "192.0.2.1", 10_000), anywhere)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		sent := conn.sent()
		if len(sent) != 1 {
			t.Fatalf("%d answers", len(sent))
		}
		unsealed, text, ok := crm.DetachSeal(sent[0].b)
		seal, err := packet.ParseSeal(text)
		if !ok || err != nil || !seal.At().Equal(sent[0].at) {
			t.Errorf("sealed at %v (%v), sent at %v", seal.At(), err, sent[0].at)
		}
		if got := lab.coordinatorsJudge(lab.verifier(t))(decode[*crm.ProbeAck](t, sent[0].b), unsealed, netip.AddrPort{}); !got.OK() {
			t.Errorf("not believed: %v", got)
		}
	})
}

// Every probe has a seal of its own, and all are believed; without a key none is
// sent, and that is counted.
func TestProbesAreSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newSignedFleet(t, "lab")
		w := &fakeWire{}
		look := func() ([]Interface, error) {
			return []Interface{lan(2, "eth0", "192.0.2.5/24", "fe80::5/64"), lan(3, "eth1", "198.51.100.1/24")}, nil
		}
		works := guard(true)
		seal := func(unsealed []byte) (string, error) {
			if !works.get() {
				return "", errors.New("no voucher yet")
			}
			return lab.byBeacon(packet.ProbeInit)(unsealed)
		}
		p := prober(t, DefaultProberConfig(), ProberDeps{Look: look, wire: w, Seal: seal, Announce: func(now time.Time) Announcement {
			a := announce(now)
			a.Hostname, a.Voucher = "collector."+strings.Repeat("example.", 20)+"test", lab.voucher
			return a
		}})
		synctest.Wait()
		judge := workersJudge(lab.verifier(t))
		sent := w.take()
		for _, one := range sent {
			unsealed, _, _ := crm.DetachSeal(one.b)
			if got := judge(one.probe, unsealed, netip.AddrPort{}); !got.OK() {
				t.Errorf("probe to %v: %v", one.by.To, got)
			}
			if one.probe.Info.Hostname != "collector" {
				t.Errorf("announced as %q", one.probe.Info.Hostname)
			}
		}
		if len(sent) != 3 {
			t.Errorf("%d probes, want 3", len(sent))
		}
		works.set(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := p.Stats(); len(w.take()) != 0 || got.Errors != 3 || got.Sent != 3 {
			t.Errorf("without a key: %+v", got)
		}
	})
}
