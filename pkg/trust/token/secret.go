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

// redacted stands for a secret wherever one would be printed.
const redacted = "[secret]"

// secret is behind a pointer, because a package that prints a value with an
// unexported field inside does not ask for its methods; what it prints then is
// an address.
type secret struct{ bytes *[secretSize]byte }

func newSecret(random io.Reader) (secret, error) {
	s := secret{new([secretSize]byte)}
	if _, err := io.ReadFull(random, s.bytes[:]); err != nil {
		return secret{}, fmt.Errorf("make secret: %w", err)
	}
	return s, nil
}

// key derives the key that proofs are signed with. It depends on the whole
// identity of the token, so that two tokens with one secret, should there ever
// be such, do not stand for each other.
func (s secret) key(id ID, fleet string) ed25519.PrivateKey {
	seed, err := hkdf.Key(sha256.New, s.bytes[:], id[:], "cloudless join proof v1 "+fleet, ed25519.SeedSize)
	if err != nil {
		panic(fmt.Sprintf("token: hkdf of constant sizes: %v", err)) // a bug: sizes are constants
	}
	return ed25519.NewKeyFromSeed(seed)
}
