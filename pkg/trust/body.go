package trust

import (
	"encoding/hex"
	"fmt"
)

// Body tells two machines that claim one identity apart: a keyed hash of what
// the machine is made of, which says nothing to anybody without the identity's
// key. It is compared with earlier ones of the same worker only. Comparable.
type Body [16]byte

func (b Body) String() string { return hex.EncodeToString(b[:]) }

// MarshalText implements encoding.TextMarshaler.
func (b Body) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: 32 hexadecimal digits.
func (b *Body) UnmarshalText(text []byte) error {
	var read Body
	if len(text) != hex.EncodedLen(len(read)) {
		return fmt.Errorf("body %.40q: want 32 hexadecimal digits", text)
	}
	if _, err := hex.Decode(read[:], text); err != nil || read.String() != string(text) {
		return fmt.Errorf("body %.40q: want 32 hexadecimal digits in lower case", text)
	}
	*b = read
	return nil
}
