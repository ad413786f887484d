package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// ErrUnrelatedBundle says that a bundle names none of the authorities that the
// host trusts: it is of somebody else, or the host has missed the whole overlap
// of a roll-over and must be admitted anew.
var ErrUnrelatedBundle = errors.New("none of the present authorities is in the new bundle")

// Bundle is what a member judges others by: the authorities of one fleet, at
// least one; while the fleet moves to a new one, two. Immutable.
type Bundle struct {
	Fleet       string
	Authorities []*x509.Certificate
}

// ParseBundle reads a CA file's content: at most 256 KiB and 8 certificates,
// all of them authorities of the same fleet.
func ParseBundle(pem []byte) (Bundle, error) { return parseBundle(pem, "bundle") }

func parseBundle(pem []byte, path string) (Bundle, error) {
	if len(pem) > largestFile {
		return Bundle{}, fmt.Errorf("%q: larger than %d bytes", path, largestFile)
	}
	certs, err := parseCerts(pem, path)
	if err != nil {
		return Bundle{}, err
	}
	bundle := Bundle{Authorities: certs}
	for i, cert := range certs {
		named, err := authorityFleet(cert)
		if err != nil {
			return Bundle{}, fmt.Errorf("%q: certificate %d: %w", path, i+1, err)
		}
		if i > 0 && named != bundle.Fleet {
			return Bundle{}, fmt.Errorf("%q: authorities of two fleets, %q and %q", path, bundle.Fleet, named)
		}
		bundle.Fleet = named
	}
	return bundle, nil
}

// PEM is the CA file's content.
func (b Bundle) PEM() []byte {
	var out []byte
	for _, cert := range b.Authorities {
		out = append(out, encodeCert(cert.Raw)...)
	}
	return out
}

// Fingerprints are those of the authorities, in their order.
func (b Bundle) Fingerprints() []Fingerprint {
	found := make([]Fingerprint, len(b.Authorities))
	for i, cert := range b.Authorities {
		found[i] = CertificateFingerprint(cert)
	}
	return found
}

// UpdateBundle puts a bundle that came over a verified connection into the CA
// file at path, atomically, and tells whether that changed it. It must be of the
// same fleet and share an authority with the present one (ErrForeignFleet,
// ErrUnrelatedBundle), so that no single answer moves a host to strangers. A
// missing file is made. Renewed certificates are written after it.
func UpdateBundle(path string, pem []byte) (changed bool, err error) {
	fresh, err := parseBundle(pem, "new bundle")
	if err != nil {
		return false, err
	}
	content := fresh.PEM()
	old, err := disk.Read(path, largestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, disk.Create(path, content, disk.Public)
	}
	if err != nil {
		return false, fmt.Errorf("update bundle: %w", err)
	}
	present, err := parseBundle(old, path)
	if err != nil {
		return false, fmt.Errorf("update bundle: %w", err)
	}
	if present.Fleet != fresh.Fleet {
		return false, fmt.Errorf("update bundle %q: %w: %q, was %q", path, ErrForeignFleet, fresh.Fleet, present.Fleet)
	}
	if !present.shares(fresh) {
		return false, fmt.Errorf("update bundle %q: %w", path, ErrUnrelatedBundle)
	}
	if bytes.Equal(old, content) {
		return false, nil
	}
	return true, disk.Replace(path, content, disk.Public)
}

func (b Bundle) shares(other Bundle) bool {
	for _, one := range b.Authorities {
		for _, two := range other.Authorities {
			if one.Equal(two) {
				return true
			}
		}
	}
	return false
}
