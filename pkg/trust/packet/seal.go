package packet

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/internal/canon"
)

const (
	sealVersion = 1
	sealSize    = 1 + len(Hint{}) + 8 + len(Nonce{}) + ed25519.SignatureSize
	domainSeal  = "cloudless packet v1"
	// latest bounds times, in Unix ms: exact in every reader's numbers.
	latest = 1 << 52
)

// SealLength is the length of every seal's text form, in bytes.
const SealLength = (sealSize*8 + 5) / 6

// Hint is the beginning of an authority's fingerprint: enough to find it in a
// bundle, not to trust it.
type Hint [8]byte

func hintOf(f trust.Fingerprint) Hint { return Hint(f[:len(Hint{})]) }

// Nonce makes two packets of one moment differ.
type Nonce [8]byte

// Seal is what a signed packet carries besides its content. Comparable.
type Seal struct {
	Authority Hint
	Time      int64 // Unix ms
	Nonce     Nonce
	Signature [ed25519.SignatureSize]byte
}

// ErrSeal says that a text is no seal.
var ErrSeal = errors.New("not a seal")

// At is the time of sealing.
func (s Seal) At() time.Time { return time.UnixMilli(s.Time) }

// AppendText appends the text form to dst.
func (s Seal) AppendText(dst []byte) ([]byte, error) {
	raw := make([]byte, 0, sealSize)
	raw = append(raw, sealVersion)
	raw = append(raw, s.Authority[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(s.Time))
	raw = append(raw, s.Nonce[:]...)
	raw = append(raw, s.Signature[:]...)
	return base64.RawURLEncoding.AppendEncode(dst, raw), nil
}

// String is the text form.
func (s Seal) String() string {
	text, _ := s.AppendText(nil)
	return string(text)
}

// ParseSeal reads the text form.
func ParseSeal(text string) (s Seal, err error) {
	raw, ok := decode(text, sealSize)
	if !ok || raw[0] != sealVersion {
		return Seal{}, ErrSeal
	}
	raw = raw[1:]
	raw = raw[copy(s.Authority[:], raw):]
	s.Time, raw = int64(binary.BigEndian.Uint64(raw)), raw[8:]
	raw = raw[copy(s.Nonce[:], raw):]
	copy(s.Signature[:], raw)
	if s.Time <= 0 || s.Time > latest {
		return Seal{}, ErrSeal
	}
	return s, nil
}

// decode reads exactly size bytes of base64url in canonical form.
func decode(text string, size int) ([]byte, bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(size) || strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return raw, err == nil
}

// Sender names who signs, to the window: a worker's id, or the beginning of a
// beacon's fingerprint.
type Sender [16]byte

// signed are the bytes under a seal's signature. Role tells workers' senders
// from beacons'.
func (s Seal) signed(kind Kind, fleet string, authority trust.Fingerprint, role string, sender Sender, canonical []byte) []byte {
	return canon.New(domainSeal).Int(int64(kind)).Text(fleet).Raw(authority[:]).Text(role).Raw(sender[:]).
		Int(s.Time).Raw(s.Nonce[:]).Raw(canonical)
}
