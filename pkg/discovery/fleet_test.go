package discovery

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"net/netip"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// signedFleet is a fleet with an authority, a beacon and one worker, and what its
// daemons do with their keys.
type signedFleet struct {
	bundle  trust.Bundle
	beacon  *packet.Signer
	voucher string
	worker  *packet.Signer
	keys    map[model.WorkerID]ed25519.PublicKey
}

// firstWorker is the worker that ackOf speaks for.
func firstWorker() model.WorkerID { return model.WorkerIDFrom([16]byte{1}) }

func seededKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), n))
}

// fleetKeys are a fleet's secrets, as they are given to another process.
type fleetKeys struct {
	Bundle         []byte // PEM
	Beacon, Worker []byte // seeds
	Voucher        string
}

func newFleetKeys(t testing.TB, name string) fleetKeys {
	t.Helper()
	// Within the tests' virtual time as well as today.
	began := time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)
	if now := time.Now(); now.Sub(began) > 365*24*time.Hour {
		began = now
	}
	ca, err := trust.NewCA(name, rand.Reader, began)
	if err != nil {
		t.Fatal(err)
	}
	seed := func() []byte {
		b := make([]byte, ed25519.SeedSize)
		rand.Read(b)
		return b
	}
	k := fleetKeys{Beacon: seed(), Worker: seed(), Bundle: trust.Bundle{Authorities: []*x509.Certificate{ca.Certificate()}}.PEM()}
	voucher, err := packet.Vouch(ca, public(k.Beacon), began.Add(30*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	k.Voucher = voucher.String()
	return k
}

func public(seed []byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}

func newSignedFleet(t testing.TB, name string) *signedFleet {
	t.Helper()
	f, err := newFleetKeys(t, name).fleet()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (k fleetKeys) fleet() (*signedFleet, error) {
	bundle, err := trust.ParseBundle(k.Bundle)
	if err != nil {
		return nil, err
	}
	f := &signedFleet{bundle: bundle, voucher: k.Voucher, keys: map[model.WorkerID]ed25519.PublicKey{firstWorker(): public(k.Worker)}}
	authority := bundle.Fingerprints()[0]
	if f.beacon, err = packet.NewBeacon(bundle.Fleet, authority, ed25519.NewKeyFromSeed(k.Beacon)); err != nil {
		return nil, err
	}
	f.worker, err = packet.NewWorker(bundle.Fleet, authority, firstWorker(), ed25519.NewKeyFromSeed(k.Worker))
	return f, err
}

func (f *signedFleet) verifier(t testing.TB) *packet.Verifier {
	t.Helper()
	v, err := packet.NewVerifier(f.bundle, packet.DefaultWindowConfig())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// byBeacon seals as a collector or coordinator does.
func (f *signedFleet) byBeacon(kind packet.Kind) Seal {
	return sealAs(f.beacon, kind, time.Now)
}

func (f *signedFleet) byWorker() Seal { return sealAs(f.worker, packet.ProbeAck, time.Now) }

func sealAs(signer *packet.Signer, kind packet.Kind, now func() time.Time) Seal {
	return func(unsealed []byte) (string, error) {
		seal, err := signer.Sign(kind, unsealed, rand.Reader, now())
		return seal.String(), err
	}
}

// workersJudge believes what beacons of the fleet have sealed.
func workersJudge(v *packet.Verifier) Judge {
	return func(m crm.Message, unsealed []byte, _ netip.AddrPort) packet.Verdict {
		switch m := m.(type) {
		case *crm.ProbeInit:
			if m.Ext != nil {
				return v.Beacon(packet.ProbeInit, unsealed, m.Ext.Seal, m.Ext.Voucher, time.Now())
			}
		case *crm.RegisterAck:
			if m.Ext != nil {
				return v.Beacon(packet.RegisterAck, unsealed, m.Ext.Seal, m.Ext.Voucher, time.Now())
			}
		}
		return packet.Verdict{Reason: packet.Unsigned}
	}
}

// coordinatorsJudge believes what workers of the fleet have sealed.
func (f *signedFleet) coordinatorsJudge(v *packet.Verifier) Judge {
	return func(m crm.Message, unsealed []byte, _ netip.AddrPort) packet.Verdict {
		ack, ok := m.(*crm.ProbeAck)
		if !ok || ack.Ext == nil {
			return packet.Verdict{Reason: packet.Unsigned}
		}
		return v.Worker(packet.ProbeAck, unsealed, ack.Ext.Seal, ack.Ext.WorkerID, f.keys[ack.Ext.WorkerID], time.Now())
	}
}

// probe is a sealed ProbeInit, ack a sealed ProbeAck, reply a sealed RegisterAck.
func (f *signedFleet) probe(t testing.TB, addr string) []byte {
	t.Helper()
	p := probeOf("collector", addr, 0)
	p.Ext.Fleet, p.Ext.Voucher = f.bundle.Fleet, f.voucher
	return sealed(t, p, f.byBeacon(packet.ProbeInit))
}

func (f *signedFleet) ack(t testing.TB, addr string) []byte {
	t.Helper()
	return sealed(t, ackOf("worker1", addr), f.byWorker())
}

func (f *signedFleet) reply(t testing.TB) []byte {
	t.Helper()
	r := registerAck()
	r.Ext.Voucher = f.voucher
	return sealed(t, r, f.byBeacon(packet.RegisterAck))
}

func sealed(t testing.TB, m crm.Message, seal Seal) []byte {
	t.Helper()
	b, err := pack(m, seal)
	if err != nil {
		t.Fatalf("seal %+v: %v", m, err)
	}
	return b
}
