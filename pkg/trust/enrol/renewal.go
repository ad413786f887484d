package enrol

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/internal/canon"
)

const domainRenewal = "cloudless renewal request v1"

// Renewal asks for a new certificate for a key that the fleet has admitted
// before, from a worker whose certificate ran out while it was off. One whose
// certificate is still good renews it over its own connection instead.
type Renewal struct {
	Worker    model.WorkerID
	PublicKey ed25519.PublicKey
	Authority trust.Fingerprint // one that the worker trusts
	Hostname  string
	Body      trust.Body
	Time      time.Time // milliseconds count
	Nonce     Nonce
	Signature []byte
}

// Sign fills in PublicKey, Time, Nonce and Signature.
func (r *Renewal) Sign(key crypto.Signer, random io.Reader, now time.Time) error {
	var err error
	if r.PublicKey, err = publicOf(key); err != nil {
		return fmt.Errorf("sign renewal: %w", err)
	}
	if _, err := io.ReadFull(random, r.Nonce[:]); err != nil {
		return fmt.Errorf("sign renewal: nonce: %w", err)
	}
	r.Time = now.Truncate(time.Millisecond)
	if r.Signature, err = sign(key, r.signed()); err != nil {
		return fmt.Errorf("sign renewal: %w", err)
	}
	return r.check()
}

func (r *Renewal) signed() []byte {
	return canon.New(domainRenewal).Int(version).Raw(r.Worker[:]).Raw(r.PublicKey).Raw(r.Authority[:]).
		Text(r.Hostname).Raw(r.Body[:]).Int(r.Time.UnixMilli()).Raw(r.Nonce[:])
}

func (r *Renewal) check() error {
	switch {
	case r.Worker.IsZero():
		return fmt.Errorf("%w: no worker id", ErrMalformed)
	case len(r.PublicKey) != ed25519.PublicKeySize:
		return fmt.Errorf("%w: public key of %d bytes", ErrMalformed, len(r.PublicKey))
	case len(r.Signature) != ed25519.SignatureSize:
		return fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(r.Signature))
	case r.Authority.IsZero():
		return fmt.Errorf("%w: no authority", ErrMalformed)
	}
	if err := checkHostname(r.Hostname); err != nil {
		return err
	}
	return checkTime(r.Time)
}
