package frame

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Encoder writes the frames of one stream. It holds the newest row and a
// buffer for one frame, allocated once. Not safe for concurrent use.
type Encoder struct {
	layout   *Layout
	schema   SchemaID
	keyEvery int
	previous []uint64 // bits of the newest row
	header   Header   // of the frame written last
	started  bool
	changes  changeSet
	buffer   []byte
}

// NewEncoder returns an encoder whose first frame is a key frame. After that,
// every keyEvery-th frame is one: larger values save the bytes of key frames,
// each a few times a delta frame, and smaller ones the frames that a reader has
// to decode before the one it wants. Values below 1 count as 1, those above
// MaxSinceKey+1 as that.
func NewEncoder(l *Layout, id SchemaID, keyEvery int) *Encoder {
	return &Encoder{
		layout:   l,
		schema:   id,
		keyEvery: min(max(keyEvery, 1), MaxSinceKey+1),
		previous: make([]uint64, l.Columns(), l.Columns()+blockColumns),
		changes:  newChangeSet(l.Columns()),
		buffer:   make([]byte, l.maxFrame()),
	}
}

// Restart makes the next frame a key frame.
func (e *Encoder) Restart() { e.started = false }

// Append appends the frame of row, sampled at `at`, to dst, and tells whether it
// is a key frame. It keeps neither dst nor row. A row of another length than
// the layout's columns is a bug of the caller and panics.
func (e *Encoder) Append(dst []byte, at model.Millis, row []float64) (out []byte, key bool) {
	if len(row) != e.layout.Columns() {
		panic(fmt.Sprintf("frame: row of %d columns for a layout of %d", len(row), e.layout.Columns()))
	}
	e.next(at)
	body := e.header.put(e.buffer)
	end := body + e.layout.partMap()
	parts := e.buffer[body:end]
	clear(parts)
	e.changes.diff(row, e.previous)
	starts := e.layout.starts
	for i := range len(starts) - 1 {
		next := e.putPart(end+1, row, starts[i], starts[i+1])
		if next == end+1 {
			continue
		}
		parts[i>>3] |= 1 << (i & 7)
		end = putLength(e.buffer, end, next)
	}
	return append(dst, e.buffer[:end]...), e.header.Key
}

// next makes e.header that of the coming frame and, for a key frame, the
// previous row all zeros.
func (e *Encoder) next(at model.Millis) {
	if !e.started || int(e.header.SinceKey)+1 >= e.keyEvery {
		clear(e.previous)
		e.started = true
		e.header = Header{Key: true, At: at, Schema: e.schema}
		return
	}
	e.header = Header{At: at, SinceKey: e.header.SinceKey + 1, Base: e.header.At}
}

// putPart writes the changes of the columns of a part to the buffer, from `at`
// on. It returns the position after them, which is at when there are none.
func (e *Encoder) putPart(at int, row []float64, from, to int) int {
	start, changed := at, uint64(0)
	for ; from < to; from += blockColumns {
		n := min(to-from, blockColumns)
		mask := e.changes.block(from, n)
		changed |= mask
		at = putMask(e.buffer, at, mask, n)
		if mask != 0 {
			at = putValues(e.buffer, at, mask, row[from:], (*[blockColumns]uint64)(e.previous[from:from+blockColumns]),
				(*[blockColumns]float64)(e.layout.ones[from:from+blockColumns]))
		}
	}
	if changed == 0 {
		return start
	}
	return at
}

// maxLength is the longest length of a part in bytes: it bounds MaxPartColumns.
const maxLength = 3

// putLength puts the length of the part that occupies buf[start+1:end] in
// front of it. One byte was left for it; a part of 128 bytes or more, which is
// rare, moves to make room. It returns the position after the part.
func putLength(buf []byte, start, end int) int {
	size := end - start - 1
	more := varintMore(uint64(size))
	if more > 0 {
		copy(buf[start+1+more:], buf[start+1:end])
	}
	length := uint64(size<<1|1) << more
	for i := range more + 1 {
		buf[start+i] = byte(length >> (8 * i))
	}
	return end + more
}
