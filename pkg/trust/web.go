package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// webTTL is how long a certificate for browsers lasts. They refuse those of more
// than a year or two, whoever has signed them.
const webTTL = 90 * 24 * time.Hour

// WebCA signs certificates for browsers, which take no Ed25519: it is ECDSA
// P-256. It has no say in the fleet: its certificate carries no identity, so no
// bundle takes it, and neither do its leaves. Immutable, safe for concurrent use.
type WebCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewWebCA makes one in memory.
func NewWebCA(fleet string, random io.Reader, now time.Time) (*WebCA, error) {
	if err := CheckFleet(fleet); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("make web authority: make key: %w", err)
	}
	serial, err := newSerial(random)
	if err != nil {
		return nil, fmt.Errorf("make web authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Cloudless"}, CommonName: "Cloudless web authority of fleet " + fleet},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityTTL),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, // of all that it signs
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make web authority: sign: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &WebCA{cert: cert, key: key}, err
}

// ParseWebCA reads what PEM gives; path is for errors, which hold none of it.
func ParseWebCA(data []byte, path string) (*WebCA, error) {
	certs, err := parseCerts(data, path)
	if err != nil {
		return nil, fmt.Errorf("load web authority: %w", err)
	}
	key, err := parseKey(data, path)
	if err != nil {
		return nil, fmt.Errorf("load web authority: %w", err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() || !private.PublicKey.Equal(certs[0].PublicKey) {
		return nil, fmt.Errorf("load web authority: %w: %q", ErrKeyMismatch, path)
	}
	if !certs[0].IsCA || len(certs[0].URIs) > 0 {
		return nil, fmt.Errorf("load web authority: %q: not the certificate of one", path)
	}
	return &WebCA{cert: certs[0], key: private}, nil
}

// PEM is certificate and private key: the content of a 0600 file, for nobody
// else's eyes.
func (w *WebCA) PEM() ([]byte, error) {
	key, err := EncodeKey(w.key)
	if err != nil {
		return nil, err
	}
	return append(encodeCert(w.cert.Raw), key...), nil
}

// Certificate is its own certificate, which people let their browsers trust. Do
// not modify it.
func (w *WebCA) Certificate() *x509.Certificate { return w.cert }

// CertPEM is the same, PEM.
func (w *WebCA) CertPEM() []byte { return encodeCert(w.cert.Raw) }

// Sign signs a certificate of 90 days for a server under hosts, DNS names and IP
// addresses, at least one. It is PEM, without the authority's.
func (w *WebCA) Sign(public *ecdsa.PublicKey, hosts []string, random io.Reader, now time.Time) (cert []byte, notAfter time.Time, err error) {
	switch {
	case public == nil || public.Curve != elliptic.P256():
		return nil, time.Time{}, errors.New("issue web certificate: want a key of ECDSA P-256")
	case len(hosts) == 0 || len(hosts) > mostHosts:
		return nil, time.Time{}, fmt.Errorf("issue web certificate: %d hosts, want 1 to %d", len(hosts), mostHosts)
	case !now.Before(w.cert.NotAfter):
		return nil, time.Time{}, fmt.Errorf("issue web certificate: the authority ended on %s", stamp(w.cert.NotAfter))
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Cloudless"}, CommonName: commonName(hosts)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              earlier(now.Add(webTTL), w.cert.NotAfter),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if err := addHosts(template, hosts); err != nil {
		return nil, time.Time{}, fmt.Errorf("issue web certificate: %w", err)
	}
	if template.SerialNumber, err = newSerial(random); err != nil {
		return nil, time.Time{}, fmt.Errorf("issue web certificate: %w", err)
	}
	der, err := x509.CreateCertificate(random, template, w.cert, public, w.key)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("issue web certificate: %w", err)
	}
	return encodeCert(der), template.NotAfter, nil
}

// mostHosts bounds the names of one certificate.
const mostHosts = 64

// commonName is the first host that a common name can hold, for people.
func commonName(hosts []string) string {
	const longest = 64
	for _, host := range hosts {
		if len(host) <= longest {
			return host
		}
	}
	return "cloudless"
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// String says what it is.
func (w *WebCA) String() string { return "web authority" }

// Format implements fmt.Formatter: every verb prints String.
func (w *WebCA) Format(f fmt.State, _ rune) { io.WriteString(f, w.String()) }

// LogValue implements slog.LogValuer.
func (w *WebCA) LogValue() slog.Value { return slog.StringValue(w.String()) }
