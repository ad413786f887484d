package enrol

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/internal/canon"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

const (
	domainProof   = "cloudless enrol proof v1"
	domainRequest = "cloudless enrol request v1"
	version       = 1
	maxHostname   = 253 // bytes
)

// Nonce makes two requests of one moment differ.
type Nonce [16]byte

// Request asks for admission. Its fields are claims until Check has passed;
// Hostname, Body and Labels stay claims of the machine even then: only the
// labels of a token are the fleet's own.
type Request struct {
	Worker    model.WorkerID
	PublicKey ed25519.PublicKey
	Hostname  string
	Body      trust.Body
	Labels    map[string]string
	// Token and Authority come from a join token, with Proof that its secret is
	// known. Without a token all three are zero and an operator decides.
	Token     token.ID
	Authority trust.Fingerprint
	Proof     []byte
	Time      time.Time // milliseconds count
	Nonce     Nonce
	Signature []byte
}

// Sign fills in PublicKey, Time, Nonce, the three fields of the token, which may
// be nil, and Signature. key is the machine's, Ed25519.
func (r *Request) Sign(key crypto.Signer, join *token.Token, random io.Reader, now time.Time) error {
	var err error
	if r.PublicKey, err = publicOf(key); err != nil {
		return fmt.Errorf("sign enrol request: %w", err)
	}
	if _, err := io.ReadFull(random, r.Nonce[:]); err != nil {
		return fmt.Errorf("sign enrol request: nonce: %w", err)
	}
	r.Time = now.Truncate(time.Millisecond)
	r.Token, r.Authority, r.Proof = token.ID{}, trust.Fingerprint{}, nil
	if join != nil {
		r.Token, r.Authority = join.ID, join.Authority
		r.Proof = join.Prove(r.ProofMessage())
	}
	if r.Signature, err = sign(key, r.signed()); err != nil {
		return fmt.Errorf("sign enrol request: %w", err)
	}
	return r.check()
}

func publicOf(key crypto.Signer) (ed25519.PublicKey, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("key is a %T, want Ed25519", key.Public())
	}
	return public, nil
}

func sign(key crypto.Signer, message []byte) ([]byte, error) {
	return key.Sign(nil, message, crypto.Hash(0)) // Ed25519 signs the message itself and needs no randomness
}

// ProofMessage is what a token's proof is about: every field but the proof and
// the signature. See token.Claim.
func (r *Request) ProofMessage() []byte { return r.fields(canon.New(domainProof)) }

func (r *Request) signed() []byte { return r.fields(canon.New(domainRequest)).Raw(r.Proof) }

func (r *Request) fields(b canon.Bytes) canon.Bytes {
	b = b.Int(version).Raw(r.Worker[:]).Raw(r.PublicKey).Text(r.Hostname).Raw(r.Body[:]).Int(int64(len(r.Labels)))
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		b = b.Text(key).Text(r.Labels[key])
	}
	return b.Raw(r.Token[:]).Raw(r.Authority[:]).Int(r.Time.UnixMilli()).Raw(r.Nonce[:])
}

// check reports the first field that no request may have.
func (r *Request) check() error {
	switch {
	case r.Worker.IsZero():
		return fmt.Errorf("%w: no worker id", ErrMalformed)
	case len(r.PublicKey) != ed25519.PublicKeySize:
		return fmt.Errorf("%w: public key of %d bytes", ErrMalformed, len(r.PublicKey))
	case len(r.Signature) != ed25519.SignatureSize:
		return fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(r.Signature))
	case r.Token.IsZero() != r.Authority.IsZero(), r.Token.IsZero() != (len(r.Proof) == 0):
		return fmt.Errorf("%w: token, authority and proof go together", ErrMalformed)
	case len(r.Proof) != 0 && len(r.Proof) != ed25519.SignatureSize:
		return fmt.Errorf("%w: proof of %d bytes", ErrMalformed, len(r.Proof))
	}
	if err := checkHostname(r.Hostname); err != nil {
		return err
	}
	if err := token.CheckLabels(r.Labels); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return checkTime(r.Time)
}

func checkHostname(name string) error {
	good := name != "" && len(name) <= maxHostname && utf8.ValidString(name)
	for _, c := range name {
		good = good && unicode.IsGraphic(c)
	}
	if !good {
		return fmt.Errorf("%w: host name %.80q: want 1 to %d printable bytes", ErrMalformed, name, maxHostname)
	}
	return nil
}

func checkTime(t time.Time) error {
	const latest = 1 << 52 // milliseconds: exact in every JSON reader
	if ms := t.UnixMilli(); ms <= 0 || ms > latest {
		return fmt.Errorf("%w: time %d ms", ErrMalformed, ms)
	}
	return nil
}

// Claim is what token.Redeem judges: call it after Check has passed. ok is false
// for a request without a token.
func (r *Request) Claim() (claim token.Claim, ok bool) {
	key, err := trust.FingerprintOf(r.PublicKey)
	if err != nil || r.Token.IsZero() {
		return token.Claim{}, false
	}
	return token.Claim{Token: r.Token, Message: r.ProofMessage(), Proof: r.Proof, Key: key}, true
}
