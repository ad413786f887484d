package packet

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func key(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(append(make([]byte, 31), n)) }

func public(n byte) ed25519.PublicKey { return key(n).Public().(ed25519.PublicKey) }

func newCA(t testing.TB, fleet string) *trust.CA {
	t.Helper()
	ca, err := trust.NewCA(fleet, rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func bundle(cas ...*trust.CA) trust.Bundle {
	b := trust.Bundle{Fleet: cas[0].Fleet()}
	for _, ca := range cas {
		b.Authorities = append(b.Authorities, ca.Certificate())
	}
	return b
}

func verifier(t testing.TB, cas ...*trust.CA) *Verifier {
	t.Helper()
	v, err := NewVerifier(bundle(cas...), DefaultWindowConfig())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// beacon returns a sealed ProbeInit and its voucher.
func beacon(t testing.TB, ca *trust.CA, n byte, at time.Time) (seal, voucher string) {
	t.Helper()
	v, err := Vouch(ca, public(n), noon().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewBeacon(ca.Fleet(), ca.Fingerprint(), key(n))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Sign(ProbeInit, []byte("content"), rand.Reader, at)
	if err != nil {
		t.Fatal(err)
	}
	return sealed.String(), v.String()
}

func worker(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }

func ack(t testing.TB, ca *trust.CA, n byte, at time.Time) string {
	t.Helper()
	s, err := NewWorker(ca.Fleet(), ca.Fingerprint(), worker(n), key(n))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Sign(ProbeAck, []byte("content"), rand.Reader, at)
	if err != nil {
		t.Fatal(err)
	}
	return sealed.String()
}

func want(t *testing.T, name string, got Verdict, reason Reason) {
	t.Helper()
	if got.Reason != reason {
		t.Errorf("%s: %v, want %v", name, got.Reason, reason)
	}
}

func TestBeacon(t *testing.T) {
	lab, twin, prod := newCA(t, "lab"), newCA(t, "lab"), newCA(t, "prod")
	v := verifier(t, lab)
	content := []byte("content")
	seal, voucher := beacon(t, lab, 1, noon())
	if len(seal) != SealLength || len(voucher) != VoucherLength {
		t.Errorf("lengths %d and %d, want %d and %d", len(seal), len(voucher), SealLength, VoucherLength)
	}
	fresh := func() (string, string) { return beacon(t, lab, 1, noon()) }
	otherSeal, otherVoucher := beacon(t, lab, 2, noon())
	want(t, "genuine", v.Beacon(ProbeInit, content, seal, voucher, noon()), OK)
	want(t, "replayed", v.Beacon(ProbeInit, content, seal, voucher, noon()), Replayed)
	want(t, "replayed later", v.Beacon(ProbeInit, content, seal, voucher, noon().Add(6*time.Minute)), Replayed)
	want(t, "by another beacon", v.Beacon(ProbeInit, content, otherSeal, otherVoucher, noon()), OK)
	s, _ := fresh()
	want(t, "another beacon's voucher", v.Beacon(ProbeInit, content, s, otherVoucher, noon()), BadSignature)
	want(t, "another kind", v.Beacon(RegisterAck, content, s, voucher, noon()), BadSignature)
	want(t, "another content", v.Beacon(ProbeInit, []byte("Content"), s, voucher, noon()), BadSignature)
	want(t, "longer content", v.Beacon(ProbeInit, []byte("content "), s, voucher, noon()), BadSignature)
	want(t, "no content", v.Beacon(ProbeInit, nil, s, voucher, noon()), BadSignature)
	want(t, "voucher expired", v.Beacon(ProbeInit, content, s, voucher, noon().Add(time.Hour)), VoucherExpired)
	want(t, "unsigned", v.Beacon(ProbeInit, content, "", voucher, noon()), Unsigned)
	want(t, "without voucher", v.Beacon(ProbeInit, content, s, "", noon()), Unsigned)
	want(t, "after all that", v.Beacon(ProbeInit, content, s, voucher, noon()), OK)

	for name, ca := range map[string]*trust.CA{"another fleet": prod, "a fleet of our name": twin} {
		s, voucher := beacon(t, ca, 1, noon())
		want(t, name, v.Beacon(ProbeInit, content, s, voucher, noon()), ForeignFleet)
		// It claims our authority.
		read, _ := ParseVoucher(voucher)
		read.Authority = hintOf(lab.Fingerprint())
		sealed, _ := ParseSeal(s)
		sealed.Authority = read.Authority
		want(t, name+" posing as ours", v.Beacon(ProbeInit, content, sealed.String(), read.String(), noon()), BadVoucher)
	}
	// A member's key is no beacon: only the authority makes one.
	self, _ := ParseVoucher(voucher)
	copy(self.Key[:], public(9))
	want(t, "key put into a voucher", v.Beacon(ProbeInit, content, s+"", self.String(), noon()), BadVoucher)
	self, _ = ParseVoucher(voucher)
	self.Until += 1 << 30
	s, _ = fresh()
	want(t, "voucher prolonged", v.Beacon(ProbeInit, content, s, self.String(), noon()), BadVoucher)
}

func TestClockOffsets(t *testing.T) {
	lab := newCA(t, "lab")
	v := verifier(t, lab)
	for offset, reason := range map[time.Duration]Reason{
		0: OK, 5 * time.Minute: OK, -5 * time.Minute: OK, 5*time.Minute + time.Millisecond: FromFuture,
		-5*time.Minute - time.Millisecond: TooOld, -24 * time.Hour: TooOld, 24 * time.Hour: FromFuture,
	} {
		seal, voucher := beacon(t, lab, 1, noon().Add(offset))
		if got := v.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()); got.Reason != reason || got.Offset != offset {
			t.Errorf("%v: got %v, offset %v; want %v", offset, got.Reason, got.Offset, reason)
		}
	}
	// A claim that is not proved is not reported.
	seal, voucher := beacon(t, lab, 1, noon().Add(time.Hour))
	if got := v.Beacon(ProbeInit, []byte("x"), seal, voucher, noon()); got != (Verdict{Reason: BadSignature}) {
		t.Errorf("forged, an hour ahead: %+v", got)
	}
}

func TestWorker(t *testing.T) {
	lab := newCA(t, "lab")
	v := verifier(t, lab)
	content := []byte("content")
	seal := ack(t, lab, 1, noon())
	want(t, "genuine", v.Worker(ProbeAck, content, seal, worker(1), public(1), noon()), OK)
	want(t, "replayed", v.Worker(ProbeAck, content, seal, worker(1), public(1), noon()), Replayed)
	seal = ack(t, lab, 1, noon())
	want(t, "A as B", v.Worker(ProbeAck, content, seal, worker(2), public(2), noon()), BadSignature)
	want(t, "A's key as B", v.Worker(ProbeAck, content, seal, worker(2), public(1), noon()), BadSignature)
	want(t, "not known", v.Worker(ProbeAck, content, seal, worker(1), nil, noon()), UnknownSender)
	want(t, "another kind", v.Worker(ProbeInit, content, seal, worker(1), public(1), noon()), BadSignature)
	want(t, "unsigned", v.Worker(ProbeAck, content, "", worker(1), public(1), noon()), Unsigned)
	want(t, "another fleet", v.Worker(ProbeAck, content, ack(t, newCA(t, "lab"), 1, noon()), worker(1), public(1), noon()), ForeignFleet)
	want(t, "after all that", v.Worker(ProbeAck, content, seal, worker(1), public(1), noon()), OK)
	// A worker's key under a beacon's voucher is not a worker.
	s, voucher := beacon(t, lab, 1, noon())
	want(t, "a beacon as worker", v.Worker(ProbeInit, content, s, worker(1), public(1), noon()), BadSignature)
	want(t, "a worker as beacon", v.Beacon(ProbeAck, content, ack(t, lab, 1, noon()), voucher, noon()), BadSignature)
}

func TestRollOverOfTheAuthority(t *testing.T) {
	old, next := newCA(t, "lab"), newCA(t, "lab")
	late, ready := verifier(t, old), verifier(t, old)
	if err := ready.Trust(bundle(old, next)); err != nil {
		t.Fatal(err)
	}
	seal, voucher := beacon(t, next, 1, noon())
	want(t, "new, who knows both", ready.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()), OK)
	want(t, "new, who knows the old", late.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()), ForeignFleet)
	if err := ready.Trust(bundle(next)); err != nil {
		t.Fatal(err)
	}
	want(t, "replayed across it", ready.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()), Replayed)
	seal, voucher = beacon(t, old, 1, noon())
	want(t, "old, dropped", ready.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()), ForeignFleet)
}

func TestEveryTamperedByteIsNoticed(t *testing.T) {
	lab := newCA(t, "lab")
	v := verifier(t, lab)
	seal, voucher := beacon(t, lab, 1, noon())
	for name, text := range map[string]*string{"seal": &seal, "voucher": &voucher} {
		good := *text
		for i := range good {
			for _, c := range "AQgw_-=\n" {
				*text = good[:i] + string(c) + good[i+1:]
				if *text == good {
					continue
				}
				if v.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()).OK() {
					t.Errorf("%s: character %d as %q: accepted", name, i, c)
				}
			}
			*text = good[:i]
			if v.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()).OK() {
				t.Errorf("%s cut off at %d: accepted", name, i)
			}
		}
		*text = good
	}
	want(t, "after all that", v.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()), OK)
}

func TestConstructorsRefuse(t *testing.T) {
	f := trust.Fingerprint{1}
	if _, err := NewBeacon("Lab", f, key(1)); err == nil {
		t.Errorf("bad fleet accepted")
	}
	if _, err := NewBeacon("lab", trust.Fingerprint{}, key(1)); err == nil {
		t.Errorf("no authority accepted")
	}
	if _, err := NewWorker("lab", f, model.WorkerID{}, key(1)); err == nil {
		t.Errorf("no worker accepted")
	}
	if _, err := NewVerifier(trust.Bundle{Fleet: "lab"}, DefaultWindowConfig()); err == nil {
		t.Errorf("no authority accepted")
	}
	if _, err := Vouch(newCA(t, "lab"), nil, noon()); err == nil {
		t.Errorf("no key vouched for")
	}
	for reason := range NumReasons {
		if name := Reason(reason).String(); name == "" || strings.Contains(name, "(") {
			t.Errorf("reason %d: name %q", reason, name)
		}
	}
}

func FuzzParse(f *testing.F) {
	seal, voucher := beacon(f, newCA(f, "lab"), 1, noon())
	f.Add(seal)
	f.Add(voucher)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSeal(text); err == nil && s.String() != text {
			t.Errorf("%q reads as %q", text, s)
		}
		if v, err := ParseVoucher(text); err == nil && v.String() != text {
			t.Errorf("%q reads as %q", text, v)
		}
	})
}

func BenchmarkBeacon(b *testing.B) {
	lab := newCA(b, "lab")
	v := verifier(b, lab)
	seal, voucher := beacon(b, lab, 1, noon())
	for b.Loop() {
		v.Beacon(ProbeInit, []byte("forged"), seal, voucher, noon())
	}
}
