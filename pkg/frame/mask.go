package frame

import (
	"math"
	"math/bits"
)

// blockColumns is how many columns share one change mask.
const blockColumns = 64

// changeSet has one bit per column of a row, with a spare word behind.
type changeSet []uint64

func newChangeSet(columns int) changeSet { return make(changeSet, columns/64+2) }

// diff sets the bits of the columns in which row differs from the bits in
// previous, which is of the same length.
//
// It has no branches but the loop: which columns change is what a processor
// cannot predict.
func (c changeSet) diff(row []float64, previous []uint64) {
	clear(c)
	i := 0
	for ; i+8 <= len(row) && i+8 <= len(previous); i += 8 {
		v, p := (*[8]float64)(row[i:]), (*[8]uint64)(previous[i:])
		m := pushDiff(0, v[7], p[7])
		m = pushDiff(m, v[6], p[6])
		m = pushDiff(m, v[5], p[5])
		m = pushDiff(m, v[4], p[4])
		m = pushDiff(m, v[3], p[3])
		m = pushDiff(m, v[2], p[2])
		m = pushDiff(m, v[1], p[1])
		m = pushDiff(m, v[0], p[0])
		c[i>>6] |= m << (i & 63)
	}
	for ; i < len(row); i++ {
		c[i>>6] |= pushDiff(0, row[i], previous[i]) << (i & 63)
	}
}

// block returns the bits of n columns, at most 64, from column `from` on.
func (c changeSet) block(from, n int) uint64 {
	w, shift := from>>6, from&63
	return (c[w]>>shift | c[w+1]<<1<<(63-shift)) & (math.MaxUint64 >> (64 - uint(n)))
}

// pushDiff shifts one into m from below if the bits differ, else zero: the
// borrow of 0-x is the carry of m+m.
func pushDiff(m uint64, value float64, previous uint64) uint64 {
	_, differ := bits.Sub64(0, math.Float64bits(value)^previous, 0)
	m, _ = bits.Add64(m, m, differ)
	return m
}

// putMask writes the mask of a block of the given number of columns to
// buf[at:]: one byte if that is enough, else a byte that says which of the
// mask's eight bytes are not zero, and those. buf holds nine bytes from at on.
func putMask(buf []byte, at int, mask uint64, columns int) int {
	if columns <= 8 {
		buf[at] = byte(mask)
		return at + 1
	}
	filled := filledBytes(mask)
	buf[at] = filled
	at++
	for ; filled != 0; filled &= filled - 1 {
		buf[at] = byte(mask >> (bits.TrailingZeros8(filled) * 8))
		at++
	}
	return at
}

// filledBytes has one bit for each byte of mask that is not zero.
func filledBytes(mask uint64) byte {
	const low7 = 0x7f7f7f7f7f7f7f7f
	high := (mask&low7 + low7 | mask) &^ low7 // the top bit of each such byte
	return byte(high >> 7 * 0x0102040810204080 >> 56)
}

// getMask reads what putMask wrote. A position beyond len(b) means that the
// mask is cut off, or not what putMask writes.
func getMask(b []byte, at, columns int) (mask uint64, next int) {
	if at >= len(b) {
		return 0, at + 1
	}
	filled := b[at]
	at++
	if columns <= 8 {
		return uint64(filled), at
	}
	next = at + bits.OnesCount8(filled)
	if next > len(b) {
		return 0, next
	}
	for left := filled; left != 0; left &= left - 1 {
		mask |= uint64(b[at]) << (8 * bits.TrailingZeros8(left))
		at++
	}
	if filledBytes(mask) != filled {
		return 0, len(b) + 1
	}
	return mask, next
}
