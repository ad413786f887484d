package enrol

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// MaxSkew is how far the clocks of a machine and its coordinator may be apart.
const MaxSkew = 5 * time.Minute

// ErrMalformed is wrapped by every error about a request that cannot be one.
var ErrMalformed = errors.New("malformed request")

// Reason says why a request is refused. The set is closed: see Reasons.
type Reason uint8

const (
	// OK: believed. Whether it is admitted is another question.
	OK Reason = iota
	// Malformed: a field that no request may have.
	Malformed
	// BadSignature: not signed by the key that it names, or changed on its way.
	BadSignature
	// ForeignAuthority: meant for another fleet, or for an authority that this
	// one has given up.
	ForeignAuthority
	// TooOld and FromFuture: by more than MaxSkew.
	TooOld
	FromFuture
	// UnknownWorker: a renewal by one who was never admitted.
	UnknownWorker
	// WrongKey: a renewal by another key than the one that was admitted.
	WrongKey
	// Revoked.
	Revoked
)

// Reasons lists them all, for counters.
func Reasons() []Reason {
	return []Reason{OK, Malformed, BadSignature, ForeignAuthority, TooOld, FromFuture, UnknownWorker, WrongKey, Revoked}
}

// String is the reason as counters and answers spell it.
func (r Reason) String() string {
	names := [...]string{"ok", "malformed", "bad_signature", "foreign_authority", "too_old", "from_future",
		"unknown_worker", "wrong_key", "revoked"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason(%d)", r)
}

// Verdict is what became of a request.
type Verdict struct {
	Reason Reason
	// Offset is how far the machine's clock is ahead of ours, travel time
	// included. Zero unless the signature is good.
	Offset time.Duration
}

// OK reports whether the request is believed.
func (v Verdict) OK() bool { return v.Reason == OK }

// Check decides whether a request is to be believed at the time now by the
// fleet that has these authorities. Pure; it costs one verification (about 60
// us). Token and revocation are judged after it: Claim, and Known.
func (r *Request) Check(authorities []trust.Fingerprint, now time.Time) Verdict {
	if r.check() != nil {
		return Verdict{Reason: Malformed}
	}
	if !r.Authority.IsZero() && !slices.Contains(authorities, r.Authority) {
		return Verdict{Reason: ForeignAuthority}
	}
	if !ed25519.Verify(r.PublicKey, r.signed(), r.Signature) {
		return Verdict{Reason: BadSignature}
	}
	return fresh(r.Time, now)
}

// Known is what the fleet remembers of a worker that asks for renewal. The zero
// value means that it does not know it.
type Known struct {
	Key     trust.Fingerprint // that it was admitted with
	Revoked bool
}

// Check decides whether the worker gets a new certificate, for the same key and
// the same identity as before.
func (r *Renewal) Check(authorities []trust.Fingerprint, known Known, now time.Time) Verdict {
	if r.check() != nil {
		return Verdict{Reason: Malformed}
	}
	if !slices.Contains(authorities, r.Authority) {
		return Verdict{Reason: ForeignAuthority}
	}
	// What the fleet knows about a worker is told to the worker only.
	if !ed25519.Verify(r.PublicKey, r.signed(), r.Signature) {
		return Verdict{Reason: BadSignature}
	}
	verdict := fresh(r.Time, now)
	if !verdict.OK() {
		return verdict
	}
	key, err := trust.FingerprintOf(r.PublicKey)
	switch {
	case err != nil:
		verdict.Reason = Malformed
	case known.Key.IsZero():
		verdict.Reason = UnknownWorker
	case known.Key != key:
		verdict.Reason = WrongKey
	case known.Revoked:
		verdict.Reason = Revoked
	}
	return verdict
}

func fresh(at, now time.Time) Verdict {
	verdict := Verdict{Offset: at.Sub(now)}
	switch {
	case verdict.Offset < -MaxSkew:
		verdict.Reason = TooOld
	case verdict.Offset > MaxSkew:
		verdict.Reason = FromFuture
	}
	return verdict
}
