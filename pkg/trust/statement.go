package trust

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/trust/internal/canon"
)

// domainStatement is the beginning of all that an authority's key signs except
// certificates. Those are DER and begin with 30 hex: no text is both.
const domainStatement = "cloudless authority statement v1"

// Statement signs that the authority says message, which means something under
// domain only. The signature is 64 bytes.
func (ca *CA) Statement(domain string, message []byte) []byte {
	return ed25519.Sign(ca.key, statement(ca.fleet, domain, message))
}

// CheckStatement verifies a signature of CA.Statement. The authority must come
// from a bundle. Its dates are the caller's to check.
func CheckStatement(authority *x509.Certificate, domain string, message, signature []byte) error {
	fleet, err := authorityFleet(authority)
	if err != nil {
		return err
	}
	public, ok := authority.PublicKey.(ed25519.PublicKey)
	if !ok || !ed25519.Verify(public, statement(fleet, domain, message), signature) {
		return fmt.Errorf("%w: statement %q", ErrNotSigned, domain)
	}
	return nil
}

func statement(fleet, domain string, message []byte) []byte {
	return canon.New(domainStatement).Text(fleet).Text(domain).Raw(message)
}
