package home

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const (
	pemIdentity = "CLOUDLESS IDENTITY"
	pemKey      = "PRIVATE KEY"
	fileVersion = 1
	maxFile     = 64 << 10 // bytes
)

// ErrDamaged says that the identity file is not as it was written. It is never
// replaced by itself: its owner may have a backup.
var ErrDamaged = errors.New("identity file is damaged")

// identity is the content of the file; immutable.
type identity struct {
	Version int            `json:"version"`
	Worker  model.WorkerID `json:"worker"`
	Created time.Time      `json:"created"`
	Facts   hashes         `json:"facts"`
	key     ed25519.PrivateKey
}

func newIdentity(facts Facts, random io.Reader, now time.Time) (*identity, error) {
	var id [16]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return nil, fmt.Errorf("make identity: id: %w", err)
	}
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("make identity: key: %w", err)
	}
	i := &identity{Version: fileVersion, Worker: model.WorkerIDFrom(id), Created: now.UTC().Truncate(time.Second), key: ed25519.NewKeyFromSeed(seed[:])}
	i.Facts = facts.hashed(i.factsKey())
	return i, nil
}

// factsKey is the key of the facts' hashes: known to who holds the identity.
func (i *identity) factsKey() []byte {
	key, err := hkdf.Key(sha256.New, i.key.Seed(), nil, "cloudless machine facts v1", sha256.Size)
	if err != nil {
		panic(fmt.Sprintf("home: hkdf of constant sizes: %v", err)) // a bug: sizes are constants
	}
	return key
}

func (i *identity) marshal() ([]byte, error) {
	text, err := json.Marshal(i)
	if err != nil {
		return nil, err
	}
	key, err := trust.EncodeKey(i.key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: pemIdentity, Bytes: text}), key...), nil
}

// parse reads the file. Its errors hold nothing of it.
func parse(data []byte) (*identity, error) {
	first, rest := pem.Decode(data)
	if first == nil || first.Type != pemIdentity {
		return nil, fmt.Errorf("%w: no %s in it", ErrDamaged, pemIdentity)
	}
	second, rest := pem.Decode(rest)
	if second == nil || second.Type != pemKey || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: no %s behind the identity", ErrDamaged, pemKey)
	}
	var i identity
	if json.Unmarshal(first.Bytes, &i) != nil {
		return nil, fmt.Errorf("%w: not JSON inside", ErrDamaged)
	}
	if i.Version != fileVersion {
		return nil, fmt.Errorf("identity file of version %d, want %d", i.Version, fileVersion)
	}
	key, err := x509.ParsePKCS8PrivateKey(second.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok || i.Worker.IsZero() || len(i.Facts.MACs) > maxMACs {
		return nil, ErrDamaged
	}
	i.key = private
	return &i, nil
}
