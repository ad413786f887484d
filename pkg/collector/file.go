package collector

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

const (
	pemCert = "CERTIFICATE"
	pemKey  = "PRIVATE KEY"

	largestKey = 64 << 10 // bytes that are read of a file with a key
)

// encodeKey is a private key as PEM, PKCS #8.
func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// keepKey returns the private key in the file at path, which is made when it is
// missing. Errors never hold any of it.
func keepKey[K crypto.Signer](path string, generate func() (K, error)) (key K, err error) {
	data, err := disk.ReadPrivate(path, largestKey)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = generate(); err != nil {
			return key, fmt.Errorf("make key %q: %w", path, err)
		}
		if data, err = encodeKey(key); err != nil {
			return key, fmt.Errorf("make key %q: %w", path, err)
		}
		return key, disk.Replace(path, data, disk.Private)
	}
	if err != nil {
		return key, fmt.Errorf("read key: %w; or remove it, and a new key is made", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemKey {
		return key, fmt.Errorf("key file %q: no PEM block %q in it; remove it, and a new key is made", path, pemKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return key, fmt.Errorf("key file %q: not a key; remove it, and a new one is made", path)
	}
	key, ok := parsed.(K)
	if !ok {
		return key, fmt.Errorf("key file %q: a %T; remove it, and a new key is made", path, parsed)
	}
	return key, nil
}
