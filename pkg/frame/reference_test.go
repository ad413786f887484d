package frame

import (
	"encoding/binary"
	"math"
	"math/bits"
	"testing"
)

// reference decodes frames as the package comment describes them, slowly, with
// nothing of the package's own code, and trusting its input.
type reference struct {
	starts []int
	scales []int
	row    []float64
}

func (r *reference) varint(b []byte) (u uint64, rest []byte) {
	more := bits.TrailingZeros8(b[0])
	if more == 8 {
		return binary.LittleEndian.Uint64(b[1:]), b[9:]
	}
	var word [8]byte
	copy(word[:], b[:more+1])
	return binary.LittleEndian.Uint64(word[:]) >> (more + 1), b[more+1:]
}

func (r *reference) signed(b []byte) (d int64, rest []byte) {
	u, rest := r.varint(b)
	if u%2 == 1 {
		return -int64(u/2) - 1, rest
	}
	return int64(u / 2), rest
}

func (r *reference) decode(b []byte) {
	key := b[0] == 0x10
	_, b = r.signed(b[1:])
	if key {
		clear(r.row)
		b = b[16:]
	} else {
		_, b = r.varint(b)
		_, b = r.signed(b)
	}
	parts := len(r.starts) - 1
	bitmap := b[:(parts+7)/8]
	b = b[len(bitmap):]
	for part := range parts {
		if bitmap[part/8]>>(part%8)&1 == 0 {
			continue
		}
		var size uint64
		size, b = r.varint(b)
		r.part(b[:size], r.starts[part], r.starts[part+1])
		b = b[size:]
	}
}

func (r *reference) part(b []byte, from, to int) {
	for ; from < to; from += 64 {
		columns := min(to-from, 64)
		var mask [8]byte
		first := b[0]
		b = b[1:]
		if columns <= 8 {
			mask[0] = first
		}
		for i := range 8 {
			if columns > 8 && first>>i&1 == 1 {
				mask[i] = b[0]
				b = b[1:]
			}
		}
		for i := range columns {
			if mask[i/8]>>(i%8)&1 == 1 {
				b = r.value(b, from+i)
			}
		}
	}
}

func (r *reference) value(b []byte, column int) (rest []byte) {
	unit := math.Pow(10, float64(r.scales[column]))
	before := r.row[column]
	base := int64(0)
	if product := before * unit; math.Abs(product) < 1<<62 {
		base = int64(math.RoundToEven(product))
	}
	var d int64
	switch {
	case b[0] != 1:
		d, b = r.signed(b)
		if base != 0 && base%4096 == 0 {
			d *= 4096
		}
		r.row[column] = float64(base+d) / unit
	case b[1]&0x40 != 0:
		ulps := int64(b[1]&0x3f) / 2
		if b[1]&1 == 1 {
			ulps = -ulps - 1
		}
		d, b = r.signed(b[2:])
		r.row[column] = math.Float64frombits(math.Float64bits(float64(base+d)/unit) + uint64(ulps))
	default:
		skip, size := int(b[1]>>3), int(b[1]&7)+1
		var x [8]byte
		copy(x[skip:], b[2:2+size])
		r.row[column] = math.Float64frombits(math.Float64bits(before) ^ binary.LittleEndian.Uint64(x[:]))
		b = b[2+size:]
	}
	return b
}

func newReference(tb testing.TB, p testSchema) *reference {
	r := &reference{starts: []int{0}}
	for _, part := range p.parts {
		for _, f := range part.Families {
			for range f.Series {
				r.scales = append(r.scales, int(f.Scale))
			}
		}
		r.starts = append(r.starts, len(r.scales))
	}
	r.row = make([]float64, len(r.scales))
	return r
}
