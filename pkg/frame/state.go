package frame

import (
	"fmt"
	"math"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// The first byte of a state: version 1 in the upper four bits, as frames have it.
const (
	heldState    = 0x12
	waitingState = 0x13
)

// AppendState appends where the decoder stands to dst: the time of the newest
// frame, how many came since the key frame, and the row. What it does not hold is the
// schema. A decoder of the same schema that is given the state (SetState) takes
// the frame that comes next.
//
// Of a decoder that waits for a key frame the state says just that.
func (d *Decoder) AppendState(dst []byte) []byte {
	if !d.base.held {
		return appendVarint(append(dst, waitingState), zigzag(int64(d.base.at)))
	}
	start := len(dst)
	dst = slices.Grow(dst, d.layout.maxFrame())
	buf := dst[start:cap(dst)]
	buf[0] = heldState
	at := putVarint(buf, 1, zigzag(int64(d.base.at)))
	at = putVarint(buf, at, uint64(d.base.sinceKey))
	at = putRow(buf, at, d.row, d.layout)
	return dst[:start+at]
}

// putRow writes a row as the body of a key frame, at buf[at:], which has room for
// a whole frame. It returns the position after it.
func putRow(buf []byte, at int, row []float64, l *Layout) int {
	parts := buf[at : at+l.partMap()]
	clear(parts)
	end := at + len(parts)
	for i := range l.Parts() {
		from, to := l.PartRange(i)
		next := putWhole(buf, end+1, row[from:to], l.ones[from:to])
		if next == end+1 {
			continue
		}
		parts[i>>3] |= 1 << (i & 7)
		end = putLength(buf, end, next)
	}
	return end
}

// putWhole writes the columns of a part, compared to zeros. It returns the position
// after them, which is at when all are +0. row and ones have room for whole
// blocks.
func putWhole(buf []byte, at int, row, ones []float64) int {
	start, any := at, false
	for len(row) > 0 {
		n := min(len(row), blockColumns)
		mask := uint64(0)
		for i, v := range row[:n] {
			if math.Float64bits(v) != 0 {
				mask |= 1 << i
			}
		}
		at = putMask(buf, at, mask, n)
		if mask != 0 {
			any = true
			var zeros [blockColumns]uint64
			at = putValues(buf, at, mask, row[:n], &zeros, (*[blockColumns]float64)(ones[:blockColumns]))
		}
		row, ones = row[n:], ones[n:]
	}
	if !any {
		return start
	}
	return at
}

// SetState makes the decoder stand where the one stood whose AppendState gave the
// state. It never keeps state. Everything counts as changed until the next frame.
//
// Errors wrap ErrVersion or ErrMalformed. If the header cannot be read, the decoder
// is as it was; if what is behind it is damaged, the decoder waits for a key
// frame.
func (d *Decoder) SetState(state []byte) error {
	if err := d.set(state, d.body); err != nil {
		return err
	}
	for i := range d.parts {
		d.parts[i] = math.MaxUint8
	}
	return nil
}

// SetState is Decoder.SetState for a part: it takes a state of the whole stream, and
// reads the part's share of it.
func (d *PartDecoder) SetState(state []byte) error {
	if err := d.set(state, d.body); err != nil {
		return err
	}
	d.changed = true
	return nil
}

// set takes a state with body, which reads the row.
func (f *follower) set(state []byte, body func(payload []byte, at int) error) error {
	next, at, err := parseState(state)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if !next.held {
		f.base = next
		f.forget()
		return nil
	}
	clear(f.row)
	if err := body(state, at); err != nil {
		f.forget()
		return fmt.Errorf("state: %w", err)
	}
	f.base = next
	return nil
}

// parseState reads the header of a state. body is where the row begins.
func parseState(b []byte) (next base, body int, err error) {
	if len(b) == 0 {
		return base{}, 0, fmt.Errorf("no bytes: %w", ErrMalformed)
	}
	if b[0] != heldState && b[0] != waitingState {
		return base{}, 0, fmt.Errorf("first byte %#x: %w", b[0], ErrVersion)
	}
	u, at := getVarint(b, 1)
	next = base{at: model.Millis(unzigzag(u)), held: b[0] == heldState}
	if !next.held {
		if at != len(b) {
			return base{}, 0, fmt.Errorf("%d bytes instead of %d: %w", len(b), at, ErrMalformed)
		}
		return next, at, nil
	}
	since, at := getVarint(b, at)
	if at > len(b) || since > MaxSinceKey {
		return base{}, 0, fmt.Errorf("%d bytes, %d since key: %w", len(b), since, ErrMalformed)
	}
	next.sinceKey = uint32(since)
	return next, at, nil
}
