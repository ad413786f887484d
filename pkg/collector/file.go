package collector

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	pemCert = "CERTIFICATE"
	pemKey  = "PRIVATE KEY"
)

// writeSecret puts data at path, readable by this user only: after a crash the
// old or the new content is there, whole.
func writeSecret(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // made 0600
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	defer os.Remove(temp.Name()) // after the rename there is nothing left to remove
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}

// syncFolder makes the names in a folder last.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

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
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = generate(); err != nil {
			return key, fmt.Errorf("make key %q: %w", path, err)
		}
		if data, err = encodeKey(key); err != nil {
			return key, fmt.Errorf("make key %q: %w", path, err)
		}
		return key, writeSecret(path, data)
	}
	if err != nil {
		return key, fmt.Errorf("read key: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return key, fmt.Errorf("read key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return key, fmt.Errorf("key file %q: mode %04o lets others read it; remove it, and a new key is made", path, info.Mode().Perm())
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
