package trust

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
)

// Fingerprint names a public key: SHA-256 of its SubjectPublicKeyInfo in DER.
// That of an authority is of its key and not of its certificate, so it stays
// when the certificate is made anew for the same key. The zero value means "no
// key". Comparable.
type Fingerprint [sha256.Size]byte

// FingerprintOf returns the fingerprint of a public key.
func FingerprintOf(public crypto.PublicKey) (Fingerprint, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Fingerprint{}, fmt.Errorf("fingerprint: %w", err)
	}
	return sha256.Sum256(der), nil
}

// CertificateFingerprint returns the fingerprint of a certificate's key.
func CertificateFingerprint(cert *x509.Certificate) Fingerprint {
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo)
}

// ParseFingerprint reads the text form, 64 hexadecimal digits in lower case.
// The zero fingerprint is refused.
func ParseFingerprint(text string) (f Fingerprint, err error) {
	if len(text) == hex.EncodedLen(len(f)) {
		_, err = hex.Decode(f[:], []byte(text))
	}
	if err != nil || f.String() != text || f.IsZero() {
		return Fingerprint{}, fmt.Errorf("fingerprint %.80q: want 64 hexadecimal digits", text)
	}
	return f, nil
}

func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// IsZero reports whether f is the zero value, "no key".
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// MarshalText implements encoding.TextMarshaler. "No key" is empty text.
func (f Fingerprint) MarshalText() ([]byte, error) {
	if f.IsZero() {
		return nil, nil
	}
	return []byte(f.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Fingerprint) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*f = Fingerprint{}
		return nil
	}
	*f, err = ParseFingerprint(string(text))
	return err
}
