package frame

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The loops over the changed values of a block of 64 columns. Both take the
// common case, a short varint between two values below 2^51 units, without a
// call and hand everything else to putValue and getValue.

// Added to a number of magnitude below 2^51, aligner makes the last bit of its
// mantissa worth one: the sum is rounded to a whole number, ties to even,
// and stands in its lower bits.
const (
	aligner     = 3 << 51
	alignerBits = 0x433<<52 | 1<<51
)

// aligned is a number of units as the bits of its sum with aligner. The
// conversion forbids to fuse the two operations, whose result would differ.
func aligned(v, ones float64) uint64 { return math.Float64bits(float64(v*ones) + aligner) }

// misaligned is not zero when the sum left the range in which aligned works.
func misaligned(sum uint64) uint64 { return (sum ^ alignerBits) >> 52 }

// putValues writes the columns of a block that mask names, at buf[at:], and
// makes them previous. It returns the position after them.
func putValues(buf []byte, at int, mask uint64, row []float64, previous *[blockColumns]uint64, ones *[blockColumns]float64) int {
	for ; mask != 0; mask &= mask - 1 {
		i := bits.TrailingZeros64(mask) & (blockColumns - 1)
		before, one := previous[i], ones[i]
		value := math.Float64bits(row[i])
		previous[i] = value
		baseSum, sum := aligned(math.Float64frombits(before), one), aligned(row[i], one)
		base, delta := int64(baseSum-alignerBits), int64(sum-baseSum)
		exact := (math.Float64frombits(sum) - aligner) / one
		shift := step(base) & 63
		u := zigzag(delta >> shift)
		other := misaligned(sum) | misaligned(baseSum) | (math.Float64bits(exact) ^ value) | uint64(delta)&(1<<shift-1)
		if other != 0 || delta == 0 {
			at = putValue(buf, at, value, before, one)
			continue
		}
		more := varintMore(u) // at most 7: |delta| is below 2^52
		binary.LittleEndian.PutUint64(buf[at:], (u<<1|1)<<(more&63))
		at += more + 1
	}
	return at
}

// getValues applies the columns of a block that mask names, from b[at:] on,
// and returns the position after them, which is never beyond len(b).
func getValues(b []byte, at int, mask uint64, row, ones *[blockColumns]float64) (next int, err error) {
	for ; mask != 0; mask &= mask - 1 {
		i := bits.TrailingZeros64(mask) & (blockColumns - 1)
		before, one := row[i], ones[i]
		sum := aligned(before, one)
		if at+8 <= len(b) && misaligned(sum) == 0 {
			word := binary.LittleEndian.Uint64(b[at:])
			more := bits.TrailingZeros8(uint8(word))
			base, u := int64(sum-alignerBits), shortVarint(word, more)
			sum += uint64(unzigzag(u) << (step(base) & 63))
			if byte(word) > escape && misaligned(sum) == 0 {
				row[i] = (math.Float64frombits(sum) - aligner) / one
				at += more + 1
				continue
			}
		}
		if row[i], at, err = getValue(b, at, before, one); err != nil {
			return 0, err
		}
	}
	return at, nil
}
