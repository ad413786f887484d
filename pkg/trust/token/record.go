package token

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/internal/canon"
)

// Bounds of a record.
const (
	// MaxUses is how many machines one token may admit.
	MaxUses = 10_000
	// MaxLabels, and MaxLabel bytes for each key and each value.
	MaxLabels = 32
	MaxLabel  = 128
	// MaxRecord is the size of the longest JSON form, in bytes.
	MaxRecord = 4 << 20
)

// recordVersion is that of the JSON form. Others are refused, not guessed.
const recordVersion = 1

// Verifier is the public side of a token's secret: a one-way function of it,
// and as such its stored hash.
type Verifier [ed25519.PublicKeySize]byte

// MarshalText implements encoding.TextMarshaler.
func (v Verifier) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(v[:])), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Verifier) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(v)) {
		return errors.New("verifier: want 64 hexadecimal digits")
	}
	_, err := hex.Decode(v[:], text)
	return err
}

func (v Verifier) proves(id ID, message, proof []byte) bool {
	return len(proof) == ed25519.SignatureSize && ed25519.Verify(v[:], proofMessage(id, message), proof)
}

func proofMessage(id ID, message []byte) []byte {
	return canon.New("cloudless join proof v1").Raw(id[:]).Raw(message)
}

// Record is what the fleet keeps of a token. Values: Redeem and Revoke return
// changed copies, which the caller stores before it acts on them.
type Record struct {
	ID       ID                `json:"id"`
	Verifier Verifier          `json:"verifier"`
	Created  time.Time         `json:"created"`
	Expires  time.Time         `json:"expires"`
	UsesLeft int               `json:"uses_left"`
	Uses     []Use             `json:"uses,omitempty"` // oldest first
	Labels   map[string]string `json:"labels,omitempty"`
	Revoked  *time.Time        `json:"revoked,omitempty"`
}

// Use is one machine that the token has admitted.
type Use struct {
	Key trust.Fingerprint `json:"key"` // of the machine's own key
	At  time.Time         `json:"at"`
}

// NewRecord returns the record of a new token that admits uses machines within
// ttl, and gives them labels.
func NewRecord(t Token, ttl time.Duration, uses int, labels map[string]string, now time.Time) (Record, error) {
	r := Record{ID: t.ID, Verifier: t.Verifier(), Created: now.UTC(), Expires: now.Add(ttl).UTC(), UsesLeft: uses, Labels: maps.Clone(labels)}
	if ttl <= 0 {
		return Record{}, fmt.Errorf("token: ttl %s: want a positive duration", ttl)
	}
	if uses < 1 {
		return Record{}, fmt.Errorf("token: uses %d: want 1 to %d", uses, MaxUses)
	}
	return r, r.Validate()
}

// Validate reports the first field that no record may have.
func (r Record) Validate() error {
	switch {
	case r.ID.IsZero():
		return errors.New("token record: no id")
	case r.UsesLeft < 0 || r.UsesLeft+len(r.Uses) > MaxUses:
		return fmt.Errorf("token %s: uses %d: want at most %d", r.ID, r.UsesLeft+len(r.Uses), MaxUses)
	case !r.Created.Before(r.Expires):
		return fmt.Errorf("token %s: expires before it is made", r.ID)
	}
	if err := CheckLabels(r.Labels); err != nil {
		return fmt.Errorf("token %s: %w", r.ID, err)
	}
	return nil
}

// CheckLabels reports what no machine's labels may be: more than MaxLabels, a
// key that is not like those of metrics, a value that is empty, too long or
// not printable ASCII.
func CheckLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%d labels, want at most %d", len(labels), MaxLabels)
	}
	for key, value := range labels {
		good := key != "" && len(key) <= MaxLabel && value != "" && len(value) <= MaxLabel
		for i := 0; good && i < len(key); i++ {
			c := key[i]
			good = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || i > 0 && '0' <= c && c <= '9'
		}
		for i := 0; good && i < len(value); i++ {
			good = value[i] >= ' ' && value[i] < 0x7f
		}
		if !good {
			return fmt.Errorf("label %.40q=%.40q: want a name like a metric's label and up to %d printable characters", key, value, MaxLabel)
		}
	}
	return nil
}

// Revoke returns the record of a token that admits nobody any more.
func (r Record) Revoke(now time.Time) Record {
	if r.Revoked == nil {
		at := now.UTC()
		r.Revoked = &at
	}
	return r
}

// stored is the JSON form of a record.
type stored struct {
	Version int `json:"version"`
	Record
}

// Marshal returns the JSON form for storage. There is no secret in it.
func (r Record) Marshal() ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(stored{recordVersion, r})
}

// ParseRecord reads the JSON form, at most MaxRecord bytes.
func ParseRecord(data []byte) (Record, error) {
	if len(data) > MaxRecord {
		return Record{}, fmt.Errorf("token record: larger than %d bytes", MaxRecord)
	}
	var s stored
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return Record{}, fmt.Errorf("token record: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Record{}, errors.New("token record: something behind it")
	}
	if s.Version != recordVersion {
		return Record{}, fmt.Errorf("token record of version %d, want %d", s.Version, recordVersion)
	}
	return s.Record, s.Record.Validate()
}
