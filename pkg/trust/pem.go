package trust

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

const (
	pemCert = "CERTIFICATE"
	pemKey  = "PRIVATE KEY"
	// largestFile bounds what is read of a certificate or key file, in bytes.
	largestFile = 256 << 10
	// mostCerts bounds the certificates of one file: an authority and its
	// successor, or a leaf and its chain.
	mostCerts = 8
)

// ErrKeyMode says that others than the owner can get at a private key.
var ErrKeyMode = disk.ErrMode

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der})
}

// EncodeKey is a private key as PEM, PKCS #8: for nobody else's eyes.
func EncodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// readCerts reads the certificates of a PEM file, at least one. Other blocks
// are passed over, so a certificate and its key may share a file.
func readCerts(path string) ([]*x509.Certificate, error) {
	data, err := disk.Read(path, largestFile)
	if err != nil {
		return nil, err
	}
	return parseCerts(data, path)
}

// parseCerts is readCerts of what was read; path is for errors.
func parseCerts(data []byte, path string) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != pemCert {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate file %q: certificate %d: %w", path, len(certs)+1, err)
		}
		if certs = append(certs, cert); len(certs) > mostCerts {
			return nil, fmt.Errorf("certificate file %q: more than %d certificates", path, mostCerts)
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("certificate file %q: no PEM certificate in it", path)
	}
	return certs, nil
}

// ReadKey reads the PKCS #8 key of a PEM file which nobody else may read. Its
// errors never hold any of it.
func ReadKey(path string) (crypto.Signer, error) {
	data, err := disk.ReadPrivate(path, largestFile)
	if err != nil {
		return nil, err
	}
	return parseKey(data, path)
}

// parseKey is ReadKey of what was read.
func parseKey(data []byte, path string) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, fmt.Errorf("key file %q: no PEM block %q in it", path, pemKey)
		}
		if block.Type != pemKey {
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("key file %q: %w", path, err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("key file %q: a %T cannot sign", path, key)
		}
		return signer, nil
	}
}
