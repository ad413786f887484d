package packet

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const (
	roleBeacon = "beacon"
	roleWorker = "worker"
)

// Signer seals packets in the name of a beacon or of a worker. It holds a
// private key: printing it shows whose. Safe for concurrent use if random is.
type Signer struct {
	key       crypto.Signer
	fleet     string
	role      string
	sender    Sender
	authority trust.Fingerprint
}

// NewBeacon returns the signer of the fleet's own packets. authority is the one
// that has signed the voucher which goes with them.
func NewBeacon(fleet string, authority trust.Fingerprint, key crypto.Signer) (*Signer, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("beacon: key is a %T, want Ed25519", key.Public())
	}
	return newSigner(Signer{key: key, fleet: fleet, role: roleBeacon, sender: beaconSender(public), authority: authority})
}

// NewWorker returns the signer of a worker's packets for the fleet of authority,
// which must be in the bundle of whoever verifies.
func NewWorker(fleet string, authority trust.Fingerprint, worker model.WorkerID, key crypto.Signer) (*Signer, error) {
	if _, ok := key.Public().(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("packets of worker %s: key is a %T, want Ed25519", worker, key.Public())
	}
	if worker.IsZero() {
		return nil, errors.New("packets of a worker: no worker id")
	}
	return newSigner(Signer{key: key, fleet: fleet, role: roleWorker, sender: Sender(worker), authority: authority})
}

func newSigner(s Signer) (*Signer, error) {
	if err := trust.CheckFleet(s.fleet); err != nil {
		return nil, fmt.Errorf("packet signer: %w", err)
	}
	if s.authority.IsZero() {
		return nil, errors.New("packet signer: no authority")
	}
	return &s, nil
}

// Sign seals the canonical bytes of a packet.
func (s *Signer) Sign(kind Kind, canonical []byte, random io.Reader, now time.Time) (Seal, error) {
	seal := Seal{Authority: hintOf(s.authority), Time: now.UnixMilli()}
	if _, err := io.ReadFull(random, seal.Nonce[:]); err != nil {
		return Seal{}, fmt.Errorf("sign packet: nonce: %w", err)
	}
	// Ed25519 signs the message itself and needs no randomness.
	signature, err := s.key.Sign(nil, seal.signed(kind, s.fleet, s.authority, s.role, s.sender, canonical), crypto.Hash(0))
	if err != nil {
		return Seal{}, fmt.Errorf("sign packet: %w", err)
	}
	copy(seal.Signature[:], signature)
	return seal, nil
}

// String says who signs.
func (s *Signer) String() string {
	return fmt.Sprintf("packet signer of fleet %s, %s", s.fleet, s.role)
}

// Format implements fmt.Formatter: every verb prints String.
func (s *Signer) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }
