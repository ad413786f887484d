package packet

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Verifier judges packets for one fleet. Safe for concurrent use; no lock is held
// while a signature is verified. A packet costs one verification (about 60 us),
// with a voucher that is new two; one that is unsigned, foreign or a plain replay
// costs none.
type Verifier struct {
	mu       sync.Mutex // guards what follows
	fleet    string
	byHint   map[Hint]*authority
	window   *Window
	vouchers vouchers
}

// authority is one of the bundle's, with what is asked of it for each packet.
type authority struct {
	cert        *x509.Certificate
	fingerprint trust.Fingerprint
}

// NewVerifier returns a verifier for the fleet of bundle.
func NewVerifier(bundle trust.Bundle, window WindowConfig) (*Verifier, error) {
	w, err := NewWindow(window)
	if err != nil {
		return nil, err
	}
	v := &Verifier{window: w}
	return v, v.Trust(bundle)
}

// Trust replaces the bundle, as a roll-over of the authority does. What was
// accepted before stays remembered.
func (v *Verifier) Trust(bundle trust.Bundle) error {
	if err := trust.CheckFleet(bundle.Fleet); err != nil {
		return fmt.Errorf("packet verifier: %w", err)
	}
	if len(bundle.Authorities) == 0 {
		return errors.New("packet verifier: no authority")
	}
	byHint := map[Hint]*authority{}
	for _, cert := range bundle.Authorities {
		a := &authority{cert: cert, fingerprint: trust.CertificateFingerprint(cert)}
		byHint[hintOf(a.fingerprint)] = a
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fleet, v.byHint = bundle.Fleet, byHint
	v.vouchers = vouchers{}
	return nil
}

// authority finds the authority of a hint.
func (v *Verifier) authority(hint Hint) (a *authority, fleet string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.byHint[hint], v.fleet
}

// Screen says what a packet is by its seal alone, without a verification: OK
// means that it is worth more. seal is its text form, empty when there is none.
// It costs less than 1 us, and answers Unsigned, Malformed or ForeignFleet.
func (v *Verifier) Screen(seal string) Reason {
	if seal == "" {
		return Unsigned
	}
	s, err := ParseSeal(seal)
	if err != nil {
		return Malformed
	}
	if a, _ := v.authority(s.Authority); a == nil {
		return ForeignFleet
	}
	return OK
}

func (v *Verifier) accept(sender Sender, seal Seal, now time.Time) Verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.window.Accept(sender, seal.Nonce, seal.At(), now)
}

func (v *Verifier) seen(sender Sender, seal Seal) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.window.Seen(sender, seal.Nonce, seal.At())
}

// Beacon judges a packet of the fleet's own: ProbeInit, RegisterAck. seal and
// voucher are their text forms; empty means that there is none.
func (v *Verifier) Beacon(kind Kind, canonical []byte, seal, voucher string, now time.Time) Verdict {
	if seal == "" || voucher == "" {
		return Verdict{Reason: Unsigned}
	}
	s, sealErr := ParseSeal(seal)
	word, voucherErr := ParseVoucher(voucher)
	if sealErr != nil || voucherErr != nil || s.Authority != word.Authority {
		return Verdict{Reason: Malformed}
	}
	by, fleet := v.authority(s.Authority)
	if by == nil {
		return Verdict{Reason: ForeignFleet}
	}
	if v.seen(word.sender(), s) {
		return Verdict{Reason: Replayed}
	}
	if !v.vouched(by, word, now) {
		return Verdict{Reason: BadVoucher}
	}
	if now.UnixMilli() >= word.Until || now.After(by.cert.NotAfter) {
		return Verdict{Reason: VoucherExpired}
	}
	message := s.signed(kind, fleet, by.fingerprint, roleBeacon, word.sender(), canonical)
	if !ed25519.Verify(word.Key[:], message, s.Signature[:]) {
		return Verdict{Reason: BadSignature}
	}
	return v.accept(word.sender(), s, now)
}

// Worker judges a packet of a worker: ProbeAck. key is the one that the fleet
// has admitted the worker with; nil means that it is not known, or no longer
// welcome.
func (v *Verifier) Worker(kind Kind, canonical []byte, seal string, worker model.WorkerID, key ed25519.PublicKey, now time.Time) Verdict {
	if seal == "" {
		return Verdict{Reason: Unsigned}
	}
	s, err := ParseSeal(seal)
	if err != nil {
		return Verdict{Reason: Malformed}
	}
	by, fleet := v.authority(s.Authority)
	if by == nil {
		return Verdict{Reason: ForeignFleet}
	}
	if len(key) != ed25519.PublicKeySize {
		return Verdict{Reason: UnknownSender}
	}
	if v.seen(Sender(worker), s) {
		return Verdict{Reason: Replayed}
	}
	message := s.signed(kind, fleet, by.fingerprint, roleWorker, Sender(worker), canonical)
	if !ed25519.Verify(key, message, s.Signature[:]) {
		return Verdict{Reason: BadSignature}
	}
	return v.accept(Sender(worker), s, now)
}

// Senders is how many senders the replay window remembers: a gauge.
func (v *Verifier) Senders() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.window.Senders()
}
