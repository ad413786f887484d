package frame

import (
	"math"
	"math/bits"
)

// blockColumns is how many columns share one change mask.
const blockColumns = 64

// diff64 returns a mask of the columns in which a and b differ by their bits.
// a and b are of one length, at most blockColumns.
func diff64(a, b []float64) (mask uint64) {
	i := 0
	for ; i+8 <= len(a) && i+8 <= len(b); i += 8 {
		mask |= diff8((*[8]float64)(a[i:]), (*[8]float64)(b[i:])) << (i & 63)
	}
	for ; i < len(a) && i < len(b); i++ {
		mask |= nonzero(math.Float64bits(a[i])^math.Float64bits(b[i])) << (i & 63)
	}
	return mask
}

// diff8 compares eight columns. Most groups of eight are unchanged, so that is
// asked first.
func diff8(a, b *[8]float64) uint64 {
	x0 := math.Float64bits(a[0]) ^ math.Float64bits(b[0])
	x1 := math.Float64bits(a[1]) ^ math.Float64bits(b[1])
	x2 := math.Float64bits(a[2]) ^ math.Float64bits(b[2])
	x3 := math.Float64bits(a[3]) ^ math.Float64bits(b[3])
	x4 := math.Float64bits(a[4]) ^ math.Float64bits(b[4])
	x5 := math.Float64bits(a[5]) ^ math.Float64bits(b[5])
	x6 := math.Float64bits(a[6]) ^ math.Float64bits(b[6])
	x7 := math.Float64bits(a[7]) ^ math.Float64bits(b[7])
	if x0|x1|x2|x3|x4|x5|x6|x7 == 0 {
		return 0
	}
	return nonzero(x0) | nonzero(x1)<<1 | nonzero(x2)<<2 | nonzero(x3)<<3 |
		nonzero(x4)<<4 | nonzero(x5)<<5 | nonzero(x6)<<6 | nonzero(x7)<<7
}

// nonzero is 1 for every x but 0.
func nonzero(x uint64) uint64 { return (x | -x) >> 63 }

// putMask writes the mask of a block of the given number of columns to
// buf[at:]: one byte if that is enough, else a byte that says which of the
// mask's eight bytes are not zero, and those. buf holds nine bytes from at on.
func putMask(buf []byte, at int, mask uint64, columns int) int {
	if columns <= 8 {
		buf[at] = byte(mask)
		return at + 1
	}
	out := buf[at : at+9]
	n := 1
	filled := byte(0)
	for i := range 8 {
		b := byte(mask >> (8 * i))
		out[n&15] = b
		some := byte(nonzero(uint64(b)))
		filled |= some << i
		n += int(some)
	}
	out[0] = filled
	return at + n
}

// getMask reads what putMask wrote. A position beyond len(b) means that the
// mask is cut off.
func getMask(b []byte, at, columns int) (mask uint64, next int) {
	if at >= len(b) {
		return 0, at + 1
	}
	first := b[at]
	at++
	if columns <= 8 {
		return uint64(first), at
	}
	next = at + bits.OnesCount8(first)
	if next > len(b) {
		return 0, next
	}
	for ; first != 0; first &= first - 1 {
		mask |= uint64(b[at]) << (8 * bits.TrailingZeros8(first))
		at++
	}
	return mask, next
}
