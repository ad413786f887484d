package home

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// Install stores what the fleet has answered: the bundle of its authorities and
// the certificate, which must be for this worker and its key. Whom the host
// trusts it changes only as trust.UpdateBundle allows; a worker that joins a fleet
// other than before forgets the former one first (Leave).
func (h *Home) Install(bundle, cert []byte) error {
	block, _ := pem.Decode(cert)
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("install certificate: no PEM certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("install certificate: %w", err)
	}
	peer, err := trust.CertificateIdentity(leaf)
	if err != nil {
		return fmt.Errorf("install certificate: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if worker, ok := peer.WorkerID(); !ok || worker != h.current.Worker {
		return fmt.Errorf("install certificate: %w: %s, this is worker %s", trust.ErrIdentityChanged, peer, h.current.Worker)
	}
	if !h.current.key.Public().(ed25519.PublicKey).Equal(leaf.PublicKey) {
		return fmt.Errorf("install certificate of %s: %w", peer, trust.ErrKeyMismatch)
	}
	parsed, err := trust.ParseBundle(bundle)
	if err != nil {
		return fmt.Errorf("install certificate: %w", err)
	}
	if !signedByOne(leaf, parsed) || parsed.Fleet != peer.Fleet {
		return fmt.Errorf("install certificate of %s: %w", peer, trust.ErrNotSigned)
	}
	if _, err := trust.UpdateBundle(h.Files().CA, bundle); err != nil {
		return err
	}
	return disk.Replace(h.Files().Cert, cert, disk.Public)
}

func signedByOne(leaf *x509.Certificate, bundle trust.Bundle) bool {
	for _, authority := range bundle.Authorities {
		if leaf.CheckSignatureFrom(authority) == nil {
			return true
		}
	}
	return false
}

// Enrolled reports whether there is a certificate for this identity, be it
// still good or expired, and for which fleet.
func (h *Home) Enrolled() (fleet string, ok bool) {
	i := h.now()
	data, err := disk.Read(h.Files().Cert, maxFile)
	if err != nil {
		return "", false
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return "", false
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !i.key.Public().(ed25519.PublicKey).Equal(leaf.PublicKey) {
		return "", false
	}
	peer, err := trust.CertificateIdentity(leaf)
	if worker, isWorker := peer.WorkerID(); err != nil || !isWorker || worker != i.Worker {
		return "", false
	}
	return peer.Fleet, true
}

// Leave forgets the fleet: certificate and authorities. The identity stays.
func (h *Home) Leave() error { return disk.Remove(h.Files().Cert, h.Files().CA) }
