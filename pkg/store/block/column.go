package block

import (
	"encoding/binary"
	"math"
)

// kind is how the values of a column are laid down.
type kind uint8

const (
	constZero   kind = iota // +0 in every row
	constUnits              // one number of units in every row
	constBits               // the same eight bytes in every row
	xored                   // bits, each XORed with those before
	offsets                 // units, less the lowest
	slopes                  // differences of units, less the smallest difference
	deltas                  // differences of units, zig-zagged
	deltaDeltas             // differences of those, zig-zagged
)

// constant reports the kinds that have no bytes among the values.
func (k kind) constant() bool { return k <= constBits }

// counted reports the kinds that count units.
func (k kind) counted() bool { return k >= offsets }

// skip is how many rows of a column have no word among the values: their
// numbers stand in the head.
func (k kind) skip() int {
	switch k {
	case offsets:
		return 0
	case deltaDeltas:
		return 2
	}
	return 1
}

// column describes a column: all of it but the bytes among the values. In
// the head it is
//
//	kind+flags | fields of the kind
//
//	constZero    nothing
//	constUnits   shape | zig-zag first
//	constBits    8 bytes
//	xored        shape | 8 bytes first | explicit summary
//	the others   shape | zig-zag first | grain, if flagged | zig-zag base | list bytes, if sparse | summary
//
//	summary      without odd values: if not rising low, high (varints); last - low, varint; zig-zag sum
//	             with odd values: as explicit summary
type column struct {
	kind   kind
	way    way
	scale  uint8
	width  uint8 // planes
	rising bool  // no sample is lower than the one before
	sparse bool  // what words have above the planes is in a list
	odd    bool  // some values are written out in a list

	first int64 // units in the first row; for xored and constBits the bits
	grain int64 // all units differ from first by multiples of it
	base  int64 // in grains: lowest minus first; smallest difference; first difference

	// In grains, from first: without odd values.
	low, high, last, sum int64
	// Otherwise.
	explicit explicit

	sparseBytes int // of the list behind the planes
	oddBytes    int // of the list behind that

	group int // in which its bytes are
	at    int // where, uncompressed
}

// explicit is a summary that does not follow from units.
type explicit struct {
	count, firstRow, lastRow    int
	first, last, low, high, sum float64
}

// The first byte of a column: three bits of kind, two of way, flags.
const (
	kindBits   = 0x07
	wayShift   = 3
	flagRising = 0x20
	flagOdd    = 0x40
	flagGrain  = 0x80
)

// The second byte: four bits of scale, four of width. A column that has units has
// less than eight planes, and says there whether it has a list too.
const shapeSparse = 0x80

// words is how many words a column of so many rows has.
func (c *column) words(rows int) int { return max(rows-c.kind.skip(), 0) }

// size is how many bytes the column takes among the values, uncompressed.
func (c *column) size(rows int) int {
	if c.kind.constant() {
		return 0
	}
	return c.words(rows)*int(c.width) + c.sparseBytes + c.oddBytes
}

func (c *column) ratio() ratio { return ratioOf(c.way, c.scale) }

// implied reports whether the summary follows from units.
func (c *column) implied() bool { return c.kind.constant() || c.kind.counted() && !c.odd }

func (c *column) append(dst []byte) []byte {
	flags := byte(c.kind) | byte(c.way)<<wayShift
	if c.rising {
		flags |= flagRising
	}
	if c.odd {
		flags |= flagOdd
	}
	if c.grain > 1 {
		flags |= flagGrain
	}
	dst = append(dst, flags)
	switch c.kind {
	case constZero:
		return dst
	case constBits:
		return binary.LittleEndian.AppendUint64(dst, uint64(c.first))
	}
	shape := c.scale | c.width<<4
	if c.sparse {
		shape |= shapeSparse
	}
	dst = append(dst, shape)
	switch {
	case c.kind == xored:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.first))
		return c.explicit.append(dst)
	default:
		dst = binary.AppendVarint(dst, c.first)
	}
	if c.kind == constUnits {
		return dst
	}
	if c.grain > 1 {
		dst = binary.AppendUvarint(dst, uint64(c.grain))
	}
	dst = binary.AppendVarint(dst, c.base)
	if c.sparse {
		dst = binary.AppendUvarint(dst, uint64(c.sparseBytes))
	}
	if c.odd {
		dst = binary.AppendUvarint(dst, uint64(c.oddBytes))
		return c.explicit.append(dst)
	}
	if !c.rising {
		dst = binary.AppendUvarint(dst, uint64(-c.low))
		dst = binary.AppendUvarint(dst, uint64(c.high))
	}
	dst = binary.AppendUvarint(dst, uint64(c.last-c.low))
	return binary.AppendVarint(dst, c.sum)
}

func (e *explicit) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.count))
	dst = binary.AppendUvarint(dst, uint64(e.firstRow))
	dst = binary.AppendUvarint(dst, uint64(e.lastRow))
	for _, v := range [...]float64{e.first, e.last, e.low, e.high, e.sum} {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

// parse is the inverse of append, for a column of so many rows.
func (c *column) parse(r *reader, rows int) {
	flags := r.byte()
	*c = column{
		kind:   kind(flags & kindBits),
		way:    way(flags >> wayShift & 3),
		rising: flags&flagRising != 0,
		odd:    flags&flagOdd != 0,
		grain:  1,
	}
	switch c.kind {
	case constZero:
		return
	case constBits:
		c.first = int64(r.word())
		return
	}
	shape := r.byte()
	c.scale, c.width = shape&15, shape>>4
	if c.kind.counted() && shape&shapeSparse != 0 {
		c.sparse, c.width = true, c.width&7
	}
	if c.width > 8 || c.scale > maxScale || c.way >= ways || c.odd && !c.kind.counted() {
		r.fail("column of width %d, scale %d, flags %#x", c.width, c.scale, flags)
		return
	}
	if c.kind == xored {
		c.first = int64(r.word())
		c.explicit.parse(r, rows)
		return
	}
	c.first = r.signed()
	if c.kind == constUnits {
		return
	}
	if flags&flagGrain != 0 {
		c.grain = int64(r.varint())
	}
	c.base = r.signed()
	if c.sparse {
		c.sparseBytes = r.count(rows*maxSparse, 0)
	}
	if c.odd {
		c.oddBytes = r.count(rows*maxOdd, 0)
		c.explicit.parse(r, rows)
		return
	}
	if !c.rising {
		c.low, c.high = -int64(r.varint()), int64(r.varint())
	}
	c.last = c.low + int64(r.varint())
	if c.rising {
		c.high = c.last
	}
	c.sum = r.signed()
}

func (e *explicit) parse(r *reader, rows int) {
	e.count, e.firstRow, e.lastRow = r.count(rows, 0), r.count(rows, 0), r.count(rows, 0)
	for _, v := range [...]*float64{&e.first, &e.last, &e.low, &e.high, &e.sum} {
		*v = math.Float64frombits(r.word())
	}
}
