package people

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// TokenPrefix begins the text of an API token; the digit is the version:
//
//	cloudless_api1_BASE64URL
//	  id      8 bytes
//	  secret  32 bytes (256 bits)
//	  check   first 4 bytes of SHA-256 of "cloudless api token v1", 00 and all before
const TokenPrefix = "cloudless_api1_"

const (
	tokenFamily = "cloudless_api"
	idSize      = 8
	secretSize  = 32
	checkSize   = 4
)

// Errors of an API token's text, and of CheckToken. They hold none of the text.
var (
	ErrNotToken     = errors.New("not an API token: it begins with " + TokenPrefix)
	ErrTokenVersion = errors.New("API token of another version of Cloudless")
	ErrTokenDamaged = errors.New("API token with a typo or cut off: copy it again")
	ErrTokenUnknown = errors.New("unknown or revoked API token")
	ErrTokenExpired = errors.New("expired API token")
)

// APIToken is a token with its secret. Printing it in any way shows its id only;
// Reveal gives the text, for the one answer that hands it over.
type APIToken struct {
	id tokenID
	// secret is behind a function: whatever prints a value with an unexported field
	// inside does not ask for its methods.
	secret func() [secretSize]byte
}

// tokenID is 16 hexadecimal digits in lists and files; it is no secret.
type tokenID [idSize]byte

func (id tokenID) String() string { return hex.EncodeToString(id[:]) }

func parseTokenID(text string) (id tokenID, ok bool) {
	if len(text) != 2*idSize {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(text))
	return id, err == nil && id.String() == text
}

func newAPIToken(random io.Reader) (APIToken, error) {
	var id tokenID
	var secret [secretSize]byte
	for _, part := range [][]byte{id[:], secret[:]} {
		if _, err := io.ReadFull(random, part); err != nil {
			return APIToken{}, fmt.Errorf("make API token: %w", err)
		}
	}
	return APIToken{id, func() [secretSize]byte { return secret }}, nil
}

// Reveal returns the text, secret included.
func (t APIToken) Reveal() string {
	secret := t.secret()
	raw := append(append(make([]byte, 0, idSize+secretSize+checkSize), t.id[:]...), secret[:]...)
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(append(raw, tokenCheck(raw)...))
}

func tokenCheck(raw []byte) []byte {
	sum := sha256.Sum256(append([]byte("cloudless api token v1\x00"), raw...))
	return sum[:checkSize]
}

// digest is what is stored.
func (t APIToken) digest() [sha256.Size]byte {
	secret := t.secret()
	return sha256.Sum256(append(append([]byte("cloudless api token secret v1\x00"), t.id[:]...), secret[:]...))
}

// parseAPIToken reads the text. White space around it is passed over.
func parseAPIToken(text string) (APIToken, error) {
	text = strings.Trim(text, " \t\r\n")
	code, found := strings.CutPrefix(text, TokenPrefix)
	switch {
	case !found && strings.HasPrefix(text, tokenFamily):
		return APIToken{}, ErrTokenVersion
	case !found:
		return APIToken{}, ErrNotToken
	case len(code) != base64.RawURLEncoding.EncodedLen(idSize+secretSize+checkSize):
		return APIToken{}, ErrTokenDamaged
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err != nil || len(raw) != idSize+secretSize+checkSize || // the decoder passes over line ends
		string(tokenCheck(raw[:idSize+secretSize])) != string(raw[idSize+secretSize:]) {
		return APIToken{}, ErrTokenDamaged
	}
	secret := [secretSize]byte(raw[idSize : idSize+secretSize])
	return APIToken{tokenID(raw[:idSize]), func() [secretSize]byte { return secret }}, nil
}

// String shows no secret.
func (t APIToken) String() string { return "API token " + t.id.String() }

// Format implements fmt.Formatter: every verb prints String.
func (t APIToken) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue implements slog.LogValuer.
func (t APIToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText makes encoders show no secret either.
func (t APIToken) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
