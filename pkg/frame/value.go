package frame

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// The coding of one changed value, see the package comment. This file says all
// of it; block.go repeats the common case in a hurry.
const (
	// maxUnits bounds the magnitude of a value counted in units of its scale.
	// Beyond it, and for NaN and the infinities, the count is taken as zero.
	maxUnits = 1 << 62
	// page is the step in which values that are multiples of it are counted:
	// the kernel accounts most memory and storage in pages.
	page     = 1 << pageBits
	pageBits = 12

	escape     = 1    // first byte, instead of a delta: a control byte follows
	plainDelta = 0x40 // control byte: a delta in ones and a correction in ulps
	maxControl = 0x80
	maxUlps    = (maxControl - plainDelta) / 2

	// maxCoded is the longest coding: escape, control byte, varint.
	maxCoded = 2 + maxVarint
)

// units counts v in units of its scale, of which `ones` make 1.0, to the
// nearest. It depends on IEEE 754 arithmetic only, so both ends agree.
func units(v, ones float64) int64 {
	scaled := v * ones
	if !(math.Abs(scaled) < maxUnits) {
		return 0
	}
	return int64(math.RoundToEven(scaled))
}

// step returns how far deltas from base are shifted: by pageBits when base is
// a multiple of a page other than zero, else not. Without branches, because a
// frame mixes both kinds.
func step(base int64) uint {
	off := uint64(base) & (page - 1)
	return uint((off-1)&uint64(base|-base)>>63) * pageBits
}

// putValue writes, at buf[at:], the value that follows previous, both as bits,
// and returns the position after it.
func putValue(buf []byte, at int, value, previous uint64, ones float64) int {
	base := units(math.Float64frombits(previous), ones)
	n := units(math.Float64frombits(value), ones)
	delta, shift := n-base, step(base)
	ulps := int64(value - math.Float64bits(float64(n)/ones))
	switch {
	case ulps == 0 && delta != 0 && delta&(1<<shift-1) == 0:
		return putVarint(buf, at, zigzag(delta>>shift))
	case -maxUlps <= ulps && ulps < maxUlps:
		buf[at], buf[at+1] = escape, plainDelta+byte(zigzag(ulps))
		return putVarint(buf, at+2, zigzag(delta))
	}
	x := value ^ previous
	skip := bits.TrailingZeros64(x) / 8
	size := 8 - bits.LeadingZeros64(x)/8 - skip
	buf[at], buf[at+1] = escape, byte(skip<<3|(size-1))
	binary.LittleEndian.PutUint64(buf[at+2:], x>>(8*skip))
	return at + 2 + size
}

// getValue is the inverse of putValue.
func getValue(b []byte, at int, previous, ones float64) (value float64, next int, err error) {
	base := units(previous, ones)
	if at < len(b) && b[at] != escape {
		u, next := getVarint(b, at)
		if next > len(b) {
			return 0, 0, fmt.Errorf("byte %d: value cut off: %w", at, ErrMalformed)
		}
		return float64(base+unzigzag(u)<<step(base)) / ones, next, nil
	}
	if at+2 > len(b) {
		return 0, 0, fmt.Errorf("byte %d: value cut off: %w", at, ErrMalformed)
	}
	control := b[at+1]
	at += 2
	switch {
	case control >= maxControl:
		return 0, 0, fmt.Errorf("byte %d: control byte %#x: %w", at-1, control, ErrMalformed)
	case control >= plainDelta:
		u, next := getVarint(b, at)
		if next > len(b) {
			return 0, 0, fmt.Errorf("byte %d: value cut off: %w", at, ErrMalformed)
		}
		ulps := unzigzag(uint64(control - plainDelta))
		exact := float64(base+unzigzag(u)) / ones
		return math.Float64frombits(math.Float64bits(exact) + uint64(ulps)), next, nil
	}
	skip, size := int(control>>3), int(control&7)+1
	if skip+size > 8 || at+size > len(b) || b[at] == 0 || b[at+size-1] == 0 {
		return 0, 0, fmt.Errorf("byte %d: float bits: %w", at, ErrMalformed)
	}
	var word [8]byte
	copy(word[skip:], b[at:at+size])
	return math.Float64frombits(math.Float64bits(previous) ^ binary.LittleEndian.Uint64(word[:])), at + size, nil
}
