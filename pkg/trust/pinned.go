package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ErrPin says that a server has shown no certificate of a pinned authority.
var ErrPin = errors.New("server does not belong to the expected authority")

// Pinned is how a host that is no member yet knows its server: by the fleet's
// name and the fingerprint of an authority, both out of a join token.
type Pinned struct {
	Fleet     string
	Authority Fingerprint
	Role      Role // of the server; empty means coordinatord
	Now       func() time.Time
}

// Client returns the TLS configuration of a connection to the server, without
// a certificate of its own. Servers show their authorities' certificates along
// with their own, so that the pinned one can be found there; the rest is
// the TLS library's verification against that one alone, which runs before the
// client has sent anything beyond the handshake. See also ErrPin and ErrRole.
func (p Pinned) Client(nextProtos ...string) *tls.Config {
	role := p.Role
	if role == "" {
		role = RoleCoordinator
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Time:                   p.Now,
		SessionTicketsDisabled: true,
		NextProtos:             nextProtos,
		ServerName:             serverName(p.Fleet, role),
		// The root is not known yet: VerifyConnection finds and uses it.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return p.verify(state.PeerCertificates, role)
		},
	}
}

func (p Pinned) verify(shown []*x509.Certificate, role Role) error {
	if len(shown) == 0 {
		return ErrNoCertificate
	}
	roots := p.authorities(shown[1:])
	if len(roots) == 0 {
		return fmt.Errorf("%w: fleet %q, authority %s", ErrPin, p.Fleet, p.Authority)
	}
	_, err := shown[0].Verify(x509.VerifyOptions{
		Roots: poolOf(roots), DNSName: serverName(p.Fleet, role), CurrentTime: p.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	peer, err := CertificateIdentity(shown[0])
	if err != nil {
		return err
	}
	if peer.Fleet != p.Fleet {
		return fmt.Errorf("%w: %s", ErrForeignFleet, peer)
	}
	if peer.Role != role {
		return fmt.Errorf("%w: %s, want %s", ErrRole, peer, role)
	}
	return nil
}

// authorities are those of the shown certificates that have the pinned key and
// name the fleet. They are claims; only the key makes one the root.
func (p Pinned) authorities(shown []*x509.Certificate) []*x509.Certificate {
	var found []*x509.Certificate
	for _, cert := range shown {
		fleet, err := authorityFleet(cert)
		if err == nil && fleet == p.Fleet && CertificateFingerprint(cert) == p.Authority && !p.Authority.IsZero() {
			found = append(found, cert)
		}
	}
	return found
}

// Bundle returns the pinned authority out of a bundle that came over the
// connection, or rather the whole bundle when the pinned one is in it (ErrPin
// when not): what comes with it comes from the fleet's coordinator.
func (p Pinned) Bundle(pem []byte) (Bundle, error) {
	bundle, err := ParseBundle(pem)
	if err != nil {
		return Bundle{}, err
	}
	if bundle.Fleet != p.Fleet || len(p.authorities(bundle.Authorities)) == 0 {
		return Bundle{}, fmt.Errorf("bundle of fleet %q: %w", bundle.Fleet, ErrPin)
	}
	return bundle, nil
}
