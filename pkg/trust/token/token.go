package token

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// ID names a token in lists and records; it is no secret. The zero value means
// "no token".
type ID [8]byte

// ParseID reads the text form: 16 hexadecimal digits in lower case, not all 0.
func ParseID(text string) (id ID, err error) {
	if len(text) == hex.EncodedLen(len(id)) {
		_, err = hex.Decode(id[:], []byte(text))
	}
	if err != nil || id.String() != text || id.IsZero() {
		return ID{}, fmt.Errorf("token id %.32q: want 16 hexadecimal digits", text)
	}
	return id, nil
}

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id is the zero value, "no token".
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// Bounds of a token.
const (
	MaxAddresses = 8
	// MaxText is the length of the longest text form, in bytes.
	MaxText    = 4096
	maxAddress = 255 // bytes, of one address
)

// Token is a join token with its secret. Printing it in any way shows the id
// and the fleet only; Reveal gives the text. Immutable after New or Parse.
type Token struct {
	ID        ID
	Fleet     string
	Authority trust.Fingerprint // of the fleet's authority
	// Addresses are coordinators to dial, host:port; none: they are found by
	// discovery, and still verified by Authority.
	Addresses []string
	secret    secret
}

// New makes a token.
func New(fleet string, authority trust.Fingerprint, addresses []string, random io.Reader) (Token, error) {
	t := Token{Fleet: fleet, Authority: authority, Addresses: slices.Clone(addresses)}
	if err := t.check(); err != nil {
		return Token{}, fmt.Errorf("make join token: %w", err)
	}
	for t.ID.IsZero() {
		if _, err := io.ReadFull(random, t.ID[:]); err != nil {
			return Token{}, fmt.Errorf("make join token: id: %w", err)
		}
	}
	var err error
	if t.secret, err = newSecret(random); err != nil {
		return Token{}, fmt.Errorf("make join token: %w", err)
	}
	return t, nil
}

// check reports the first field that no token may have.
func (t Token) check() error {
	if err := trust.CheckFleet(t.Fleet); err != nil {
		return err
	}
	if t.Authority.IsZero() {
		return errors.New("no fingerprint of the authority")
	}
	if len(t.Addresses) > MaxAddresses {
		return fmt.Errorf("%d addresses, want at most %d", len(t.Addresses), MaxAddresses)
	}
	for _, address := range t.Addresses {
		if err := checkAddress(address); err != nil {
			return err
		}
	}
	return nil
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	number, portErr := strconv.ParseUint(port, 10, 16)
	good := err == nil && portErr == nil && number > 0 && strconv.FormatUint(number, 10) == port &&
		host != "" && len(address) <= maxAddress
	for i := 0; good && i < len(host); i++ {
		good = host[i] > ' ' && host[i] < 0x7f
	}
	if !good {
		return fmt.Errorf("address %.80q: want host:port", address)
	}
	return nil
}

// Verifier is the public key of the secret: what the fleet stores. Whoever
// steals it can neither join with it nor find the secret.
func (t Token) Verifier() Verifier { return Verifier(t.key().Public().(ed25519.PublicKey)) }

// Prove signs message, which must hold whatever the proof is to be bound to:
// the fingerprint of the authority above all, see package enrol.
func (t Token) Prove(message []byte) []byte {
	return ed25519.Sign(t.key(), proofMessage(t.ID, message))
}

func (t Token) key() ed25519.PrivateKey { return t.secret.key(t.ID, t.Fleet) }

// String shows no secret.
func (t Token) String() string { return "join token " + t.ID.String() + " of fleet " + t.Fleet }

// GoString shows no secret.
func (t Token) GoString() string { return t.String() }

// Format implements fmt.Formatter: every verb prints String.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText makes encoders show no secret either.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
