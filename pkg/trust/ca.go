package trust

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"time"
)

const (
	// authorityTTL is how long a new authority lasts.
	authorityTTL = 10 * 365 * 24 * time.Hour
	// backdate lets hosts whose clock is behind use a fresh certificate.
	backdate = 10 * time.Minute
)

// CA is a fleet's certificate authority, with its private key. Immutable, safe
// for concurrent use.
type CA struct {
	fleet   string
	cert    *x509.Certificate
	certPEM []byte
	key     ed25519.PrivateKey
}

// NewCA makes an authority in memory only.
func NewCA(fleet string, random io.Reader, now time.Time) (*CA, error) {
	if err := CheckFleet(fleet); err != nil {
		return nil, err
	}
	ca, err := newCA(fleet, random, now)
	if err != nil {
		return nil, fmt.Errorf("make authority of fleet %q: %w", fleet, err)
	}
	return ca, nil
}

func newCA(fleet string, random io.Reader, now time.Time) (*CA, error) {
	public, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := newSerial(random)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Cloudless"}, CommonName: "Cloudless authority of fleet " + fleet},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityTTL),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs peers, never further authorities
		URIs:                  []*url.URL{{Scheme: scheme, Host: fleet}},
	}
	der, err := x509.CreateCertificate(random, template, template, public, private)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{fleet: fleet, cert: cert, certPEM: encodeCert(der), key: private}, nil
}

// LoadCAFile reads an authority whose certificate and key share the file
// (CA.PEM).
func LoadCAFile(path string) (*CA, error) {
	key, err := ReadKey(path)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	certs, err := readCerts(path)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	cert := certs[0]
	fleet, err := authorityFleet(cert)
	if err != nil {
		return nil, fmt.Errorf("load authority: %q: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok || !private.Public().(ed25519.PublicKey).Equal(cert.PublicKey) {
		return nil, fmt.Errorf("load authority: %w: %q", ErrKeyMismatch, path)
	}
	return &CA{fleet: fleet, cert: cert, certPEM: encodeCert(cert.Raw), key: private}, nil
}

// Fleet is the name of the authority's fleet.
func (ca *CA) Fleet() string { return ca.fleet }

// CertPEM is the authority's certificate, for the peers. Do not modify it.
func (ca *CA) CertPEM() []byte { return ca.certPEM }

// PEM is the authority's certificate and its private key: the content of the
// 0600 file that LoadCAFile reads, for nobody else's eyes.
func (ca *CA) PEM() ([]byte, error) {
	key, err := EncodeKey(ca.key)
	if err != nil {
		return nil, err
	}
	return append(append([]byte(nil), ca.certPEM...), key...), nil
}

// Certificate is the authority's certificate. Do not modify it.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// Fingerprint is that of the authority's key.
func (ca *CA) Fingerprint() Fingerprint { return CertificateFingerprint(ca.cert) }

// NotAfter is when the authority's certificate ends.
func (ca *CA) NotAfter() time.Time { return ca.cert.NotAfter }

// newSerial makes 127 random bits: unique without a register of serials.
func newSerial(random io.Reader) (*big.Int, error) {
	var raw [16]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	raw[0] = raw[0]&0x7f | 0x01 // positive and never zero
	return new(big.Int).SetBytes(raw[:]), nil
}
