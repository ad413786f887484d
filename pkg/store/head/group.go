package head

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// stretch is where the rows of a group are. Copies of it do not change: rows are added
// behind what a copy sees.
type stretch struct {
	schema *schema // nil: one end row
	// start is the place in the journal of the key frame, which is the first row, or of
	// the base, which is none, or of the end record. The lower one was stored first.
	start       uint64
	first, last model.Millis
	rows        uint32
	// same is how many of the rows have the time of the one before: rows of one time are one
	// in sparse parts.
	same uint32
	base bool
	// packed has two numbers for each row: how far on in the journal it is, and how
	// much longer than the time before it took from the row before. The row at start
	// has none, the first row of all no time.
	packed []byte
}

// group is a stretch that is open: a key frame or a base, and what follows it by delta
// coding. It is guarded by its lane's mu.
type group struct {
	stretch
	// lone says that something of the group cannot be read: it is to be a piece by
	// itself, so that others do not suffer.
	lone atomic.Bool
}

// maxRows is how many rows a group has at most: who wants the last row decodes all.
const maxRows = 1024

// pen remembers what the next row of a group is the difference to. It belongs to the
// track.
type pen struct {
	index uint64
	delta int64
}

// begin makes a group of one row, or none for a base.
func (p *pen) begin(s *schema, index uint64, at model.Millis, base bool, room int) *group {
	*p = pen{index: index}
	g := &group{stretch: stretch{schema: s, start: index, base: base}}
	if room > 0 {
		g.packed = make([]byte, 0, room)
	}
	if !base {
		g.first, g.last, g.rows = at, at, 1
	}
	return g
}

// add adds a row, which the group takes.
func (p *pen) add(g *group, index uint64, at model.Millis) {
	g.packed = binary.AppendUvarint(g.packed, index-p.index)
	p.index = index
	if g.rows == 0 {
		g.first = at
	} else {
		delta := int64(at - g.last)
		g.packed = binary.AppendVarint(g.packed, delta-p.delta)
		p.delta = delta
		if delta == 0 {
			g.same++
		}
	}
	g.last = at
	g.rows++
}

// takes says whether a row of that time can be added to the group.
func (g *group) takes(at model.Millis) bool {
	return g != nil && g.rows < maxRows && (g.rows == 0 || at > g.last || at == g.last && g.schema.sparse)
}

// times is how many times the rows have.
func (s *stretch) times() int { return int(s.rows - s.same) }

// cursor goes over the rows of a stretch.
type cursor struct {
	of    *stretch
	row   uint32 // how many rows it has gone over
	at    int    // in packed
	index uint64 // of the present row
	time  int64
	delta int64
}

func (s *stretch) cursor() cursor { return cursor{of: s, index: s.start} }

// next goes to the next row.
func (c *cursor) next() bool {
	s := c.of
	if c.row == s.rows {
		return false
	}
	c.row++
	if c.row == 1 {
		c.time = int64(s.first)
		if !s.base {
			return true
		}
	}
	c.index += c.uvarint()
	if c.row > 1 {
		u := c.uvarint()
		c.delta += int64(u>>1) ^ -int64(u&1)
		c.time += c.delta
	}
	return true
}

// again says that the row has the time of the one before.
func (c *cursor) again() bool { return c.row > 1 && c.delta == 0 }

func (c *cursor) uvarint() uint64 {
	packed := c.of.packed
	if b := packed[c.at]; b < 0x80 {
		c.at++
		return uint64(b)
	}
	u, n := binary.Uvarint(packed[c.at:])
	c.at += n
	return u
}
