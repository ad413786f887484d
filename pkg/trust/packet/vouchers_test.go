package packet

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func TestScreen(t *testing.T) {
	lab, prod := newCA(t, "lab"), newCA(t, "prod")
	v := verifier(t, lab)
	f := func(seal string, want Reason) {
		t.Helper()
		if got := v.Screen(seal); got != want {
			t.Errorf("Screen(%q) = %v, want %v", seal, got, want)
		}
	}
	mine := ack(t, lab, 1, noon())
	f(mine, OK)
	f(ack(t, lab, 9, noon().Add(time.Hour)), OK) // who and when is not asked
	f("", Unsigned)
	f(mine[1:], Malformed)
	f(mine+"A", Malformed)
	f(ack(t, prod, 1, noon()), ForeignFleet)
	if err := v.Trust(bundle(newCA(t, "lab"))); err != nil {
		t.Fatal(err)
	}
	f(mine, ForeignFleet)
}

// A voucher is verified once. What that means is told by one whose signature is
// bad and which is believed all the same because it is remembered.
func TestVouchersAreVerifiedOnce(t *testing.T) {
	lab, twin := newCA(t, "lab"), newCA(t, "lab")
	v := verifier(t, lab)
	seal, voucher := beacon(t, lab, 1, noon())
	want(t, "genuine", v.Beacon(ProbeInit, []byte("content"), seal, voucher, noon()), OK)
	if len(v.vouchers.known) != 1 {
		t.Fatalf("%d vouchers are remembered, want 1", len(v.vouchers.known))
	}
	word, err := ParseVoucher(voucher)
	if err != nil {
		t.Fatal(err)
	}
	bad := word
	bad.Signature[0] ^= 1
	if v.vouched(v.byHint[word.Authority], bad, noon()) {
		t.Error("a forged voucher is believed")
	}
	if len(v.vouchers.known) != 1 {
		t.Error("a forged voucher is remembered")
	}
	v.vouchers.put(vouched{trust.CertificateFingerprint(lab.Certificate()), bad}, noon())
	if !v.vouched(v.byHint[word.Authority], bad, noon()) {
		t.Error("a voucher that is remembered was verified again")
	}
	// It stays an authority's word, and ends when it ends.
	other := &authority{cert: twin.Certificate(), fingerprint: twin.Fingerprint()}
	if v.vouched(other, word, noon()) {
		t.Error("believed in the name of another authority")
	}
	seal, _ = beacon(t, lab, 1, noon().Add(time.Hour))
	want(t, "expired", v.Beacon(ProbeInit, []byte("content"), seal, voucher, noon().Add(time.Hour)), VoucherExpired)
	if err := v.Trust(bundle(twin)); err != nil {
		t.Fatal(err)
	}
	if len(v.vouchers.known) != 0 {
		t.Error("vouchers outlive the bundle")
	}
}

func TestVouchersAreBounded(t *testing.T) {
	var all vouchers
	f := trust.Fingerprint{1}
	for i := range int64(10 * maxVouchers) {
		all.put(vouched{f, Voucher{Until: noon().UnixMilli() + 1 + i}}, noon())
	}
	if len(all.known) != maxVouchers {
		t.Errorf("%d are remembered, want %d", len(all.known), maxVouchers)
	}
	if last := (vouched{f, Voucher{Until: noon().UnixMilli() + 10*maxVouchers}}); !all.has(last) {
		t.Error("the one that is good for longest was forgotten")
	}
	over := vouched{f, Voucher{Until: noon().UnixMilli()}}
	if all.put(over, noon()); all.has(over) {
		t.Error("one that is no longer good is remembered")
	}
}

func BenchmarkScreen(b *testing.B) {
	lab, prod := newCA(b, "lab"), newCA(b, "prod")
	v := verifier(b, lab)
	seal := ack(b, prod, 1, noon())
	b.ReportAllocs()
	for b.Loop() {
		v.Screen(seal)
	}
}
