package trust

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
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
var ErrKeyMode = errors.New("private key readable by others")

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// readCerts reads the certificates of a PEM file, at least one. Other blocks
// are passed over, so a certificate and its key may share a file.
func readCerts(path string) ([]*x509.Certificate, error) {
	data, err := readBounded(path, nil)
	if err != nil {
		return nil, err
	}
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

// readKey reads the PKCS #8 key of a PEM file which nobody else may read.
func readKey(path string) (crypto.Signer, error) {
	data, err := readBounded(path, checkKeyMode)
	if err != nil {
		return nil, err
	}
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

// checkKeyMode wants u=rw or less; of a file that belongs to root also group
// read, which is how service managers hand a key to one unprivileged user.
func checkKeyMode(path string, info fs.FileInfo) error {
	forbidden := fs.FileMode(0o077)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 {
		forbidden = 0o037
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return fmt.Errorf("key file %q: mode %04o: %w; run: chmod 600 %s", path, mode, ErrKeyMode, path)
	}
	return nil
}

func readBounded(path string, check func(string, fs.FileInfo) error) ([]byte, error) {
	// Non-blocking, or a pipe under that name would hang the daemon's start.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q: not a regular file", path)
	}
	if check != nil {
		if err := check(path, info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(file, largestFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	if len(data) > largestFile {
		return nil, fmt.Errorf("%q: larger than %d bytes", path, largestFile)
	}
	return data, nil
}
