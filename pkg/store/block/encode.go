package block

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// encoder turns columns into descriptions and bytes. It keeps its buffers.
type encoder struct {
	units []int64 // of the column, by row
	other []int64 // the same by another way, while ways are compared
	words []uint64
	odds  []int // rows whose values are not units
	more  []int
}

// maxSpread bounds how far the units of one column lie apart: the sum over
// MaxRows fits 62 bits, and so does every difference of differences.
const maxSpread = 1 << 46

// column describes the values v and appends their bytes, if any, to raw. v is
// not empty.
func (e *encoder) column(v []float64, scale uint8, raw []byte) (column, []byte) {
	r, ok := e.count(v, scale)
	if ok {
		c := column{way: r.way, scale: scale}
		if e.choose(&c, e.units) {
			return e.finish(c, v, raw)
		}
	}
	return e.xor(v, raw)
}

// constant describes a column that has v in every row.
func (e *encoder) constant(v float64, scale uint8) column {
	if math.Float64bits(v) == 0 {
		return column{kind: constZero, grain: 1}
	}
	r := ratioOf(divided, scale)
	if n := r.units(v); math.Float64bits(r.value(n)) == math.Float64bits(v) && -maxSpread < n && n < maxSpread {
		return column{kind: constUnits, scale: scale, first: n, grain: 1}
	}
	return column{kind: constBits, first: int64(math.Float64bits(v)), grain: 1}
}

// integers describes whole numbers, which are not empty, as column does.
func (e *encoder) integers(n []int64, raw []byte) (column, []byte) {
	var c column
	e.odds = e.odds[:0]
	if !e.choose(&c, n) {
		panic("block: times too far apart") // Writer.Append sees to it
	}
	return c, e.put(&c, raw)
}

// choose finds the kind that takes the fewest bits for units n, and fills in
// all of c that follows from them, and e.words. It fails when they
// are too far apart.
func (e *encoder) choose(c *column, n []int64) bool {
	lowest, highest := n[0], n[0]
	rising := true
	var grain uint64
	for i := 1; i < len(n); i++ {
		d := n[i] - n[i-1]
		lowest, highest = min(lowest, n[i]), max(highest, n[i])
		rising = rising && d >= 0
		grain = gcd(grain, uint64(max(d, -d)))
	}
	if uint64(highest)-uint64(lowest) >= maxSpread {
		return false
	}
	c.first, c.rising, c.grain = n[0], rising, max(int64(grain), 1)
	e.reduce(n, n[0], c.grain)
	q := e.other
	c.low, c.high = (lowest-n[0])/c.grain, (highest-n[0])/c.grain
	c.last = q[len(q)-1]
	for _, x := range q {
		c.sum += x
	}
	e.pick(c, q)
	return true
}

// reduce makes e.other the numbers n in grains from first.
func (e *encoder) reduce(n []int64, first, grain int64) {
	e.other = append(e.other[:0], n...)
	q := e.other
	switch {
	case grain == 1:
		for i := range q {
			q[i] -= first
		}
	case grain&(grain-1) == 0:
		shift := bits.TrailingZeros64(uint64(grain)) & 63
		for i := range q {
			q[i] = (q[i] - first) >> shift
		}
	default:
		for i := range q {
			q[i] = (q[i] - first) / grain
		}
	}
}

// gcd has the answer at once when there is little to ask.
func gcd(a, b uint64) uint64 {
	if a == 1 || b == 0 || a == b {
		return a
	}
	for a != 0 {
		a, b = b%a, a
	}
	return b
}

// pick chooses the kind for grains q by the number of bits of its words.
func (e *encoder) pick(c *column, q []int64) {
	smallest := int64(math.MaxInt64)
	deltaBits, secondBits, offsetBits := 0, 0, 0
	before, rate := int64(0), int64(0)
	for i, x := range q {
		offsetBits += bits.Len64(uint64(x - c.low))
		if i == 0 {
			continue
		}
		d := x - before
		before = x
		smallest = min(smallest, d)
		deltaBits += bits.Len64(zigzag(d))
		if i > 1 {
			secondBits += bits.Len64(zigzag(d - rate))
		}
		rate = d
	}
	slopeBits := 0
	for i := 1; i < len(q); i++ {
		slopeBits += bits.Len64(uint64(q[i] - q[i-1] - smallest))
	}
	c.kind, c.base = offsets, c.low
	best := offsetBits
	if len(q) > 1 && slopeBits < best {
		c.kind, c.base, best = slopes, smallest, slopeBits
	}
	if deltaBits < best {
		c.kind, c.base, best = deltas, 0, deltaBits
	}
	if len(q) > 2 && secondBits < best {
		c.kind, c.base = deltaDeltas, q[1]-q[0]
	}
	e.wordsOf(c, q)
}

// wordsOf fills e.words with what the column's kind makes of grains q.
func (e *encoder) wordsOf(c *column, q []int64) {
	e.words = e.words[:0]
	switch c.kind {
	case offsets:
		for _, x := range q {
			e.words = append(e.words, uint64(x-c.base))
		}
	case slopes:
		for i := 1; i < len(q); i++ {
			e.words = append(e.words, uint64(q[i]-q[i-1]-c.base))
		}
	case deltas:
		for i := 1; i < len(q); i++ {
			e.words = append(e.words, zigzag(q[i]-q[i-1]))
		}
	case deltaDeltas:
		for i := 2; i < len(q); i++ {
			e.words = append(e.words, zigzag(q[i]-2*q[i-1]+q[i-2]))
		}
	}
	c.width = widthOf(e.words)
	e.cut(c)
}

// cut decides how many low bytes of the words are laid down as planes. What is
// above them is zero in most words then, and the others are put on a list.
func (e *encoder) cut(c *column) {
	whole := int(c.width)
	best := whole * len(e.words) * denseBits
	for dense := range whole {
		cost := dense * len(e.words) * denseBits
		for _, w := range e.words {
			if w >>= 8 * dense & 63; w != 0 {
				cost += sparseBits * (bits.Len64(w) + 13) / 8
			}
			if cost >= best {
				break
			}
		}
		if cost < best {
			best, c.width, c.sparse = cost, uint8(dense), true
		}
	}
}

// What a byte of a plane costs when it is compressed, and a byte of the list.
const (
	denseBits  = 3
	sparseBits = 8
)

// finish appends words and odd values and sums up.
func (e *encoder) finish(c column, v []float64, raw []byte) (column, []byte) {
	raw = e.put(&c, raw)
	if len(e.odds) == 0 {
		return c, raw
	}
	c.odd = true
	before := len(raw)
	raw = appendOdd(raw, e.odds, v)
	c.oddBytes = len(raw) - before
	c.explicit, c.rising = sumUp(v)
	return c, raw
}

// put appends the words: as planes, which are the lowest byte of all words, then
// the next, and so on, because zstd finds what is alike when it stands together; and as
// a list of what planes leave out, in entries of how many words are skipped and the
// rest of the word.
func (e *encoder) put(c *column, raw []byte) []byte {
	for shift := range int(c.width) {
		for _, w := range e.words {
			raw = append(raw, byte(w>>(8*shift&63)))
		}
	}
	if !c.sparse {
		return raw
	}
	start, last := len(raw), -1
	for i, w := range e.words {
		if w >>= 8 * c.width & 63; w != 0 {
			raw = binary.AppendUvarint(raw, uint64(i-last-1))
			raw = binary.AppendUvarint(raw, w)
			last = i
		}
	}
	c.sparseBytes = len(raw) - start
	return raw
}

func widthOf(words []uint64) uint8 {
	all := uint64(0)
	for _, w := range words {
		all |= w
	}
	return uint8((bits.Len64(all) + 7) / 8)
}

// xor is the kind for values that are no multiples of anything.
func (e *encoder) xor(v []float64, raw []byte) (column, []byte) {
	before := math.Float64bits(v[0])
	c := column{kind: xored, first: int64(before), grain: 1}
	e.words = e.words[:0]
	for _, x := range v[1:] {
		now := math.Float64bits(x)
		e.words = append(e.words, now^before)
		before = now
	}
	c.width = widthOf(e.words)
	c.explicit, c.rising = sumUp(v)
	return c, e.put(&c, raw)
}
