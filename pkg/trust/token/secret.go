package token

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
)

// secretSize is in bytes.
const secretSize = 20

// secret is behind a function, because whatever prints a value with an
// unexported field inside does not ask for its methods. Of a function it prints
// an address; what a pointer points to is printed in some cases.
type secret func() [secretSize]byte

func secretOf(bytes [secretSize]byte) secret { return func() [secretSize]byte { return bytes } }

func newSecret(random io.Reader) (secret, error) {
	var bytes [secretSize]byte
	if _, err := io.ReadFull(random, bytes[:]); err != nil {
		return nil, fmt.Errorf("make secret: %w", err)
	}
	return secretOf(bytes), nil
}

// key derives the key that proofs are signed with. It depends on the whole
// identity of the token, so that two tokens with one secret, should there ever
// be such, do not stand for each other.
func (s secret) key(id ID, fleet string) ed25519.PrivateKey {
	bytes := s()
	seed, err := hkdf.Key(sha256.New, bytes[:], id[:], "cloudless join proof v1 "+fleet, ed25519.SeedSize)
	if err != nil {
		panic(fmt.Sprintf("token: hkdf of constant sizes: %v", err)) // a bug: sizes are constants
	}
	return ed25519.NewKeyFromSeed(seed)
}
