package fleettest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// TestReplayedAndRetimedPacketsAreCountedAndNotAnswered listens to a fleet, and
// sends again what it has heard: as it was, and changed in every way that would
// do harm. One probe is called in the whole time, so that whatever else is on the
// wire is an answer to an attack.
func TestReplayedAndRetimedPacketsAreCountedAndNotAnswered(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10.77.5.0/24", "w1")
	w1, rude := f.workers[0], f.lan.plug("rude")
	f.lan.hub()
	f.startServers()
	f.startWorkers()
	f.eventually(3*probeInterval+2*slack, "the fleet works", f.inState(model.Registered, "w1"))
	wire := rude.tap(t)
	probe, ack, reply := f.conversation(wire)
	f.eventually(2*slack, "the fleet works again", f.flowing("w1"))

	attacks := f.attacks(t, w1, probe, ack, reply)
	before := f.untrusted(t, w1)
	mark := wire.mark()
	want := map[string]float64{}
	const times = 3 // few enough for no limit to step in
	for _, attack := range attacks {
		for range times {
			if err := wire.send(attack.datagram); err != nil {
				t.Fatal(err)
			}
		}
		want[attack.victim+" "+attack.reason] += times
	}
	f.eventually(2*slack, "every one of them is counted", func() error {
		after, wrong := f.untrusted(t, w1), []string(nil)
		for key := range after {
			if got := after[key] - before[key]; got != want[key] {
				wrong = append(wrong, fmt.Sprintf("%s: %.0f, want %.0f", key, got, want[key]))
			}
		}
		if wrong != nil {
			return fmt.Errorf("%s", strings.Join(wrong, "; "))
		}
		return nil
	})

	f.end(w1, "workerd", syscall.SIGKILL)
	f.eventually(keepAlive+slack, "a dead worker's lease runs out, though it is heard again and again", func() error {
		for _, d := range []datagram{probe, ack, reply} {
			if err := wire.send(d); err != nil {
				t.Fatal(err)
			}
		}
		return f.inState(model.Expired, "w1")()
	})
	for _, d := range wire.since(mark, isDiscovery) {
		t.Errorf("answered from %v to %v: %s", d.from, d.to, d.payload)
	}
}

func isDiscovery(d datagram) bool {
	port := d.from.Port()
	return port == model.PortCoordinator || port == model.PortWorker || d.to.Port() == model.PortCoordinator || d.to.Port() == model.PortWorker
}

// conversation restarts collectord so that it calls once and not again for an
// hour, and returns what is said: the probe, the answer, and the reply.
func (f *fleet) conversation(wire *wire) (probe, ack, reply datagram) {
	f.t.Helper()
	name := settings(f.hq, "collectord")
	f.write(name, strings.Replace(f.read(name), fmt.Sprintf("interval = %q", probeInterval), "multicast = false\ninterval = \"1h\"", 1))
	if err := f.end(f.hq, "collectord", syscall.SIGTERM); err != nil {
		f.t.Fatal(err)
	}
	mark := wire.mark()
	f.start(f.hq, "collectord")
	is := func(class string) func(datagram) bool {
		return func(d datagram) bool { return isDiscovery(d) && bytes.Contains(d.payload, []byte(class)) }
	}
	probe = wire.catch(mark, "a ProbeInit", is("dtos.probe_init.ProbeInit"))
	ack = wire.catch(mark, "a ProbeAck", is("dtos.probe_ack.ProbeAck"))
	reply = wire.catch(mark, "a RegisterAck", is("dtos.register_ack.RegisterAck"))
	return probe, ack, reply
}

// untrusted are the counters of packets that were not believed, by victim and
// reason.
func (f *fleet) untrusted(t *testing.T, w *host) map[string]float64 {
	t.Helper()
	counters := map[string]float64{}
	for job, instance := range map[string]string{"coordinatord": "hq", "node": w.name} {
		samples, err := f.query(fmt.Sprintf(`cloudless_discovery_untrusted_total{job=%q,instance=%q}`, job, instance))
		if err != nil || len(samples) == 0 {
			t.Fatalf("counters of %s: %d of them, %v", job, len(samples), err)
		}
		for _, sample := range samples {
			counters[job+" "+sample.Metric["reason"]] = sample.Value.Value
		}
	}
	return counters
}

// attack is a datagram, who gets it, and why it is not to be believed.
type attack struct {
	datagram
	victim string // job
	reason string
}

// attacks are all the ways to send again what was heard.
func (f *fleet) attacks(t *testing.T, w *host, probe, ack, reply datagram) []attack {
	t.Helper()
	var all []attack
	add := func(d datagram, reason string, payload []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		victim := "node"
		if d.to.Port() == model.PortCoordinator {
			victim = "coordinatord"
		}
		d.payload = payload
		all = append(all, attack{datagram: d, victim: victim, reason: reason})
	}
	changed := func(d datagram, was, is string) ([]byte, error) {
		text := bytes.Replace(d.payload, []byte(was), []byte(is), 1)
		if bytes.Equal(text, d.payload) {
			return nil, fmt.Errorf("%q is not in %s", was, d.payload)
		}
		return text, nil
	}
	for _, d := range []datagram{probe, ack, reply} {
		add(d, "replayed", d.payload, nil)
		text, err := resealed(d, func(seal *packet.Seal) { seal.Time += 1000 })
		add(d, "bad_signature", text, err)
		text, err = resealed(d, func(seal *packet.Seal) { rand.Read(seal.Nonce[:]) })
		add(d, "bad_signature", text, err)
		text, err = resealed(d, func(seal *packet.Seal) { rand.Read(seal.Authority[:]) })
		add(d, "foreign_fleet", text, err)
		unsealed, _, _ := crm.DetachSeal(d.payload)
		add(d, "unsigned", unsealed, nil)
	}
	// With a seal that was seen before nothing is verified, whatever it is put on.
	text, err := changed(probe, `"hostname": "hq"`, `"hostname": "me"`)
	add(probe, "replayed", text, err)
	text, err = changed(ack, `"hostname": "w1"`, `"hostname": "w9"`)
	add(ack, "replayed", text, err)
	text, err = changed(ack, f.identity(w).Worker().String(), model.WorkerIDFrom([16]byte{9}).String())
	add(ack, "unknown_sender", text, err)
	text, err = changed(reply, `"status": true`, `"status": false`)
	add(reply, "replayed", text, err)
	for _, d := range []datagram{probe, reply} {
		text, err := ownBeacon(d)
		add(d, "bad_voucher", text, err)
	}
	for ahead, reason := range map[time.Duration]string{-6 * time.Minute: "too_old", 6 * time.Minute: "from_future"} {
		text, err := f.sealedBy(w, ack, time.Now().Add(ahead))
		add(ack, reason, text, err)
	}
	return all
}

// resealed is the datagram's payload with a changed seal.
func resealed(d datagram, change func(*packet.Seal)) ([]byte, error) {
	unsealed, text, ok := crm.DetachSeal(d.payload)
	if !ok {
		return nil, fmt.Errorf("no seal in %s", d.payload)
	}
	seal, err := packet.ParseSeal(text)
	if err != nil {
		return nil, err
	}
	change(&seal)
	return crm.AttachSeal(unsealed, seal.String())
}

// sealedBy is the payload sealed by the worker's own key at another time: what
// comes of a clock that is wrong, or of a stolen key.
func (f *fleet) sealedBy(w *host, d datagram, at time.Time) ([]byte, error) {
	unsealed, _, _ := crm.DetachSeal(d.payload)
	identity := f.identity(w)
	authority := trust.CertificateFingerprint(f.credentials(w).Bundle().Authorities[0])
	signer, err := packet.NewWorker("test", authority, identity.Worker(), identity.Key())
	if err != nil {
		return nil, err
	}
	seal, err := signer.Sign(packet.ProbeAck, unsealed, rand.Reader, at)
	if err != nil {
		return nil, err
	}
	return crm.AttachSeal(unsealed, seal.String())
}

// ownBeacon is the payload as somebody makes it who has a beacon's key of his own,
// and vouches for it himself in the name of the fleet's authority.
func ownBeacon(d datagram) ([]byte, error) {
	unsealed, text, _ := crm.DetachSeal(d.payload)
	genuine, err := packet.ParseSeal(text)
	if err != nil {
		return nil, err
	}
	message, err := crm.Parse(unsealed)
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	voucher := packet.Voucher{Authority: genuine.Authority, Key: [ed25519.PublicKeySize]byte(public), Until: time.Now().Add(time.Hour).UnixMilli()}
	rand.Read(voucher.Signature[:])
	kind := packet.ProbeInit
	switch message := message.(type) {
	case *crm.ProbeInit:
		message.Ext.Voucher = voucher.String()
	case *crm.RegisterAck:
		kind, message.Ext.Voucher = packet.RegisterAck, voucher.String()
	}
	// The rest of the authority's fingerprint is no secret, and makes no difference.
	var authority trust.Fingerprint
	copy(authority[:], genuine.Authority[:])
	signer, err := packet.NewBeacon("test", authority, private)
	if err != nil {
		return nil, err
	}
	if unsealed, err = message.Append(nil); err != nil {
		return nil, err
	}
	seal, err := signer.Sign(kind, unsealed, rand.Reader, time.Now())
	if err != nil {
		return nil, err
	}
	return crm.AttachSeal(unsealed, seal.String())
}
