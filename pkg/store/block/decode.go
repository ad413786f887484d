package block

import (
	"encoding/binary"
	"math"
	"slices"
)

// decoder turns bytes back into columns. It keeps its buffer.
type decoder struct{ units []int64 }

// values writes rows from up to and without to of the column to dst, which is
// to-from long. raw are the column's bytes, of all its rows.
func (d *decoder) values(c *column, rows, from, to int, raw []byte, dst []float64) (bad string) {
	switch c.kind {
	case constZero:
		clear(dst)
	case constUnits:
		fill(dst, c.ratio().value(c.first))
	case constBits:
		fill(dst, math.Float64frombits(uint64(c.first)))
	case xored:
		d.floats(c, rows, from, to, raw, dst)
	default:
		if c.stepped() {
			steps(c, from, to, raw[:c.sparseBytes], dst)
		} else {
			c.ratio().values(dst, d.counts(c, rows, from, to, raw))
		}
		if c.odd {
			return takeOdd(raw[len(raw)-c.oddBytes:], rows, from, to, dst)
		}
	}
	return ""
}

// fill copies what it has filled, because copies move more at a time.
func fill(dst []float64, v float64) {
	n := min(len(dst), 16)
	for i := range dst[:n] {
		dst[i] = v
	}
	for n < len(dst) {
		n += copy(dst[n:], dst[:n])
	}
}

// stepped reports a column that stands still but for a few rows.
func (c *column) stepped() bool {
	return c.sparse && c.width == 0 && (c.kind == deltas || c.kind == slopes && c.base == 0)
}

// steps is values for a column that is stepped: it fills the rows between the
// entries of the list.
func steps(c *column, from, to int, list []byte, dst []float64) {
	r := c.ratio()
	now, row := c.first, from
	next := 0 // the row in which the list's next word counts
	for i := 0; i < len(list); {
		skip, n := uvarint(list[i:])
		rest, m := uvarint(list[i+n:])
		i += n + m
		if skip >= uint64(to) {
			break
		}
		if next += int(skip) + 1; next >= to {
			break
		}
		if next > row {
			fill(dst[row-from:next-from], r.value(now))
			row = next
		}
		if c.kind == deltas {
			rest = uint64(unzigzag(rest))
		}
		now += int64(rest) * c.grain
	}
	fill(dst[row-from:], r.value(now))
}

// counts returns the units of rows from up to and without to of a column that
// has units. They are valid until the next call.
func (d *decoder) counts(c *column, rows, from, to int, raw []byte) []int64 {
	if c.kind == offsets {
		n := d.load(c, rows, from, to, raw)
		base, grain := c.first+c.grain*c.base, c.grain
		for i := range n {
			n[i] = base + n[i]*grain
		}
		return n
	}
	lead := c.kind.skip() // rows that have no word
	d.units = slices.Grow(d.units[:0], to+2)[:to+2]
	words := d.into(d.units[lead:], c, rows, 0, max(to-lead, 0), raw)
	now, grain := c.first, c.grain
	switch c.kind {
	case slopes:
		step := c.grain * c.base
		for i, w := range words {
			now += step + w*grain
			words[i] = now
		}
	case deltas:
		for i, w := range words {
			now += unzigzag(uint64(w)) * grain
			words[i] = now
		}
	case deltaDeltas:
		rate := c.grain * c.base
		now += rate
		d.units[1] = now
		for i, w := range words {
			rate += unzigzag(uint64(w)) * grain
			now += rate
			words[i] = now
		}
	}
	d.units[0] = c.first
	return d.units[from:to]
}

// floats is values for the kind xored.
func (d *decoder) floats(c *column, rows, from, to int, raw []byte, dst []float64) {
	words := d.load(c, rows, 0, max(to-1, 0), raw)
	now := uint64(c.first)
	if from == 0 && to > 0 {
		dst[0] = math.Float64frombits(now)
	}
	for i, w := range words {
		now ^= uint64(w)
		if i+1 >= from {
			dst[i+1-from] = math.Float64frombits(now)
		}
	}
}

// load returns the words from up to and without to, in the decoder's buffer.
func (d *decoder) load(c *column, rows, from, to int, raw []byte) []int64 {
	d.units = slices.Grow(d.units[:0], to-from)[:to-from]
	return d.into(d.units, c, rows, from, to, raw)
}

// into puts the words from up to and without to together from their planes.
func (d *decoder) into(dst []int64, c *column, rows, from, to int, raw []byte) []int64 {
	dst = dst[:to-from]
	words := c.words(rows)
	plane := func(i int) []byte { return raw[i*words+from:][:to-from] }
	switch c.width {
	case 0:
		clear(dst)
	case 1:
		for i, b := range plane(0) {
			dst[i] = int64(b)
		}
	case 2:
		p1 := plane(1)
		for i, b := range plane(0) {
			dst[i] = int64(b) | int64(p1[i])<<8
		}
	default:
		p1, p2 := plane(1), plane(2)
		for i, b := range plane(0) {
			dst[i] = int64(b) | int64(p1[i])<<8 | int64(p2[i])<<16
		}
		for k := 3; k < int(c.width); k++ {
			for i, b := range plane(k) {
				dst[i] |= int64(b) << (8 * k & 63)
			}
		}
	}
	if c.sparse {
		planes := words * int(c.width)
		scatter(dst, raw[planes:planes+c.sparseBytes], from, to, 8*int(c.width))
	}
	return dst
}

// scatter adds what words have above their planes, from a list. A list that is
// none, though its checksum matches, gives wrong words but no panic.
func scatter(dst []int64, list []byte, from, to, shift int) {
	at := -1 - from
	for i := 0; i < len(list); {
		skip, n := uvarint(list[i:])
		rest, m := uvarint(list[i+n:])
		i += n + m
		if skip >= uint64(to) {
			return
		}
		if at += int(skip) + 1; at >= len(dst) {
			return
		}
		if at >= 0 {
			dst[at] |= int64(rest << (shift & 63))
		}
	}
}

// uvarint is binary.Uvarint for lists that are read in a hurry: what is cut off is 0, in
// all the bytes that are left.
func uvarint(b []byte) (u uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	if u, n = binary.Uvarint(b); n <= 0 {
		return 0, len(b)
	}
	return u, n
}

// takeOdd puts the values of a list in their places, as far as they are
// between from and to.
func takeOdd(list []byte, rows, from, to int, dst []float64) (bad string) {
	r := reader{b: list}
	row, last := -1, uint64(0)
	for r.bad == "" && r.at < len(r.b) {
		head := r.varint()
		if head>>1 >= uint64(rows) {
			return "odd value beyond the last row"
		}
		if row += int(head>>1) + 1; row >= rows {
			return "odd value beyond the last row"
		}
		if head&1 == 0 {
			last = r.word()
		}
		if row >= from && row < to {
			dst[row-from] = math.Float64frombits(last)
		}
	}
	return r.bad
}
