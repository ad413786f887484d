package authority

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
)

// adminPrefix begins the secret, so that it is recognised where it does not
// belong.
const adminPrefix = "cloudless-admin-"

// adminHash is what is stored of the admin secret. The secret has 160 random
// bits, so a slow hash would protect nothing more.
type adminHash struct {
	Salt []byte `json:"salt"`
	Hash []byte `json:"hash"` // SHA-256 of domain, salt and secret
}

func newAdmin(random io.Reader) (secret string, h adminHash, err error) {
	var raw [20]byte
	h.Salt = make([]byte, 16)
	for _, part := range [][]byte{raw[:], h.Salt} {
		if _, err := io.ReadFull(random, part); err != nil {
			return "", adminHash{}, fmt.Errorf("make admin secret: %w", err)
		}
	}
	secret = adminPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))
	h.Hash = h.of(secret)
	return secret, h, nil
}

func (h adminHash) of(secret string) []byte {
	sum := sha256.New()
	io.WriteString(sum, "cloudless admin secret v1\x00")
	sum.Write(h.Salt)
	io.WriteString(sum, secret)
	return sum.Sum(nil)
}

func (h adminHash) matches(secret string) bool {
	return subtle.ConstantTimeCompare(h.Hash, h.of(strings.Trim(secret, " \t\r\n"))) == 1
}

func (h adminHash) check() error {
	if len(h.Salt) != 16 || len(h.Hash) != sha256.Size {
		return errors.New("admin secret: not a hash")
	}
	return nil
}
