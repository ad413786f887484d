package token

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Prefix begins the text form; the digit is the version.
const Prefix = "cloudless_join1_"

// family is the prefix of every version.
const family = "cloudless_join"

const checkSize = 4

// Errors of Parse. They never hold any of the text, which may be a secret with
// a typo.
var (
	ErrNotToken = errors.New("not a join token: it begins with " + Prefix)
	ErrVersion  = errors.New("join token of another version of Cloudless")
	ErrDamaged  = errors.New("join token with a typo or cut off: copy it again")
)

// Reveal returns the text form, secret included. It is for the operator's
// screen and the token file, never for logs and process arguments.
func (t Token) Reveal() string {
	raw := make([]byte, 0, 128)
	raw = append(raw, byte(len(t.Fleet)))
	raw = append(raw, t.Fleet...)
	raw = append(raw, t.Authority[:]...)
	raw = append(raw, t.ID[:]...)
	secret := t.secret()
	raw = append(raw, secret[:]...)
	raw = append(raw, byte(len(t.Addresses)))
	for _, address := range t.Addresses {
		raw = append(raw, byte(len(address)))
		raw = append(raw, address...)
	}
	raw = append(raw, checksum(raw)...)
	return Prefix + base64.RawURLEncoding.EncodeToString(raw)
}

func checksum(raw []byte) []byte {
	hash := sha256.New()
	hash.Write([]byte("cloudless join token v1\x00"))
	hash.Write(raw)
	return hash.Sum(nil)[:checkSize]
}

// Parse reads the text form. White space around it, such as the newline at the
// end of a file, is passed over.
func Parse(text string) (Token, error) {
	text = strings.Trim(text, " \t\r\n")
	code, found := strings.CutPrefix(text, Prefix)
	switch {
	case len(text) > MaxText:
		return Token{}, ErrDamaged
	case !found && strings.HasPrefix(text, family):
		return Token{}, ErrVersion
	case !found:
		return Token{}, ErrNotToken
	case strings.ContainsAny(code, "\r\n"): // the decoder would pass over them
		return Token{}, ErrDamaged
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err != nil || len(raw) < checkSize || string(checksum(raw[:len(raw)-checkSize])) != string(raw[len(raw)-checkSize:]) {
		return Token{}, ErrDamaged
	}
	return parse(raw[:len(raw)-checkSize])
}

func parse(raw []byte) (Token, error) {
	r := reader{rest: raw}
	t := Token{Fleet: string(r.take(r.length()))}
	copy(t.Authority[:], r.take(len(t.Authority)))
	copy(t.ID[:], r.take(len(t.ID)))
	var bytes [secretSize]byte
	copy(bytes[:], r.take(secretSize))
	t.secret = secretOf(bytes)
	for n := r.length(); n > 0 && !r.short; n-- {
		t.Addresses = append(t.Addresses, string(r.take(r.length())))
	}
	if r.short || len(r.rest) > 0 || t.ID.IsZero() {
		return Token{}, ErrDamaged
	}
	if err := t.check(); err != nil {
		return Token{}, fmt.Errorf("join token: %w", err)
	}
	return t, nil
}

// reader takes fields off a slice; short stays set once one was missing.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) length() int {
	one := r.take(1)
	if len(one) == 0 {
		return 0
	}
	return int(one[0])
}

func (r *reader) take(n int) []byte {
	if r.short || len(r.rest) < n {
		r.short = true
		return nil
	}
	field := r.rest[:n]
	r.rest = r.rest[n:]
	return field
}
