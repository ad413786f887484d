package block

import (
	"encoding/binary"
	"math"
)

// count turns v into e.units, in the way that leaves the fewest odd values,
// whose rows are in e.odds. It fails when they would cost more than they save.
func (e *encoder) count(v []float64, scale uint8) (r ratio, ok bool) {
	best := len(v) + 1
	for w := divided; w < ways && best > 0; w++ {
		if w == times && scale == 0 || w == divided2 && scale <= 3 {
			continue
		}
		try := ratioOf(w, scale)
		cost := e.try(try, v, best)
		if cost < best {
			best, r, ok = cost, try, true
			e.units, e.other = e.other, e.units
			e.odds, e.more = e.more, e.odds
		}
	}
	if len(e.odds) == len(v) {
		return r, false
	}
	return r, ok
}

// try counts v into e.other and e.more, and returns about how many bytes the
// odd values will take. It gives up at limit.
func (e *encoder) try(r ratio, v []float64, limit int) (cost int) {
	e.other, e.more = e.other[:0], e.more[:0]
	last := uint64(0)
	for i, x := range v {
		n := r.units(x)
		if got := math.Float64bits(x); math.Float64bits(r.value(n)) != got {
			if cost++; got != last {
				cost += 8
			}
			if cost >= limit {
				return cost
			}
			last = got
			e.more = append(e.more, i)
			n = 0
			if i > 0 {
				n = e.other[i-1]
			}
		}
		e.other = append(e.other, n)
	}
	if len(e.more) > 0 && e.more[0] == 0 && len(e.more) < len(v) {
		// Odd values that begin the column count like the first that is not odd.
		start := 0
		for start < len(e.more) && e.more[start] == start {
			start++
		}
		for i := range start {
			e.other[i] = e.other[start]
		}
	}
	return cost
}

// appendOdd writes the list of odd values: for each the distance of its row
// from that of the one before, doubled, plus one if its bits are the same; else the
// bits follow.
func appendOdd(dst []byte, rows []int, v []float64) []byte {
	row, last := -1, uint64(0)
	for _, i := range rows {
		now := math.Float64bits(v[i])
		same := uint64(0)
		if now == last {
			same = 1
		}
		dst = binary.AppendUvarint(dst, uint64(i-row-1)<<1|same)
		if same == 0 {
			dst = binary.LittleEndian.AppendUint64(dst, now)
		}
		row, last = i, now
	}
	return dst
}
