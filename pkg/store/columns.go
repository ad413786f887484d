package store

import (
	"math/bits"

	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// columns is what is known of the series behind the columns of a schema.
type columns struct {
	// refs are the database's numbers of the series; 0 is not known yet.
	refs []storage.SeriesRef
	// live has a bit for every column whose newest stored value was no marker.
	live []uint64
}

func newColumns(n int) columns {
	return columns{refs: make([]storage.SeriesRef, n), live: make([]uint64, (n+63)/64)}
}

func (c columns) isLive(i int) bool { return c.live[i>>6]>>(i&63)&1 != 0 }
func (c columns) setLive(i int)     { c.live[i>>6] |= 1 << (i & 63) }
func (c columns) clearLive(i int)   { c.live[i>>6] &^= 1 << (i & 63) }

// eachLive visits the live columns in order.
func (c columns) eachLive(visit func(i int)) {
	for word, set := range c.live {
		for ; set != 0; set &= set - 1 {
			visit(word<<6 + bits.TrailingZeros64(set))
		}
	}
}

// carry moves what is known of the columns of old to those of next: parts that
// both have as a whole, and in the others the series that both have. left are
// the live columns of old that next does not have; fresh is how many columns
// of next are new. old may be nil.
func carry(old *schema, known columns, next *schema) (c columns, fresh int, left []int) {
	c = newColumns(next.columns())
	if old == nil {
		return c, next.columns(), nil
	}
	copyColumn := func(from, to int) {
		c.refs[to] = known.refs[from]
		if known.isLive(from) {
			c.setLive(to)
		}
	}
	starts := make(map[*part]int, len(old.parts)) // first column of each part of old
	for i, p := range old.parts {
		starts[p], _ = old.layout.PartRange(i)
	}
	var changed []int // parts of next that old does not have
	for i, p := range next.parts {
		from, to := next.layout.PartRange(i)
		start, both := starts[p]
		if !both {
			changed = append(changed, i)
			continue
		}
		for column := from; column < to; column++ {
			copyColumn(start+column-from, column)
		}
		delete(starts, p)
	}
	// What remains in starts are the parts that next does not have.
	gone := map[string]int{}
	var key []byte
	for p, start := range starts {
		p.each(func(i int, family *model.Family, labels model.Labels) {
			key = appendSeriesKey(key[:0], family.Name, labels)
			gone[string(key)] = start + i
		})
	}
	for _, i := range changed {
		from, _ := next.layout.PartRange(i)
		next.parts[i].each(func(column int, family *model.Family, labels model.Labels) {
			key = appendSeriesKey(key[:0], family.Name, labels)
			if before, both := gone[string(key)]; both {
				copyColumn(before, from+column)
				delete(gone, string(key))
				return
			}
			fresh++
		})
	}
	for _, column := range gone {
		if known.isLive(column) {
			left = append(left, column)
		}
	}
	return c, fresh, left
}

// each visits the columns of a part in order.
func (p *part) each(visit func(i int, family *model.Family, labels model.Labels)) {
	i := 0
	for f := range p.Families {
		for _, labels := range p.Families[f].Series {
			visit(i, &p.Families[f], labels)
			i++
		}
	}
}

// appendSeriesKey appends a key that tells series apart: no valid text contains
// the separators.
func appendSeriesKey(key []byte, name string, labels model.Labels) []byte {
	key = append(key, name...)
	for _, l := range labels {
		key = append(key, 0xfe)
		key = append(key, l.Name...)
		key = append(key, 0xff)
		key = append(key, l.Value...)
	}
	return key
}
