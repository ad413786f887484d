package model

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Bytes is a size. Its text form is a whole number with an optional unit: B,
// KiB, MiB, GiB or TiB (powers of 1024), as in "64MiB".
type Bytes uint64

// The units of the text form.
const (
	KiB Bytes = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

var byteUnits = []struct {
	suffix string
	size   Bytes
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}, {"", 1}}

// ParseBytes reads the text form; white space before the unit is allowed.
func ParseBytes(text string) (Bytes, error) {
	for _, unit := range byteUnits {
		digits, found := strings.CutSuffix(text, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			break
		}
		high, low := bits.Mul64(n, uint64(unit.size))
		if high != 0 {
			return 0, fmt.Errorf("size %q: larger than 16 EiB", clip(text))
		}
		return Bytes(low), nil
	}
	return 0, fmt.Errorf("size %q: want a whole number and a unit, like 64MiB", clip(text))
}

// String gives the text form with the largest unit that loses nothing.
func (b Bytes) String() string {
	for _, unit := range byteUnits {
		if b >= unit.size && b%unit.size == 0 {
			return strconv.FormatUint(uint64(b/unit.size), 10) + unit.suffix
		}
	}
	return "0B"
}

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}
