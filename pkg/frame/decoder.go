package frame

import (
	"fmt"
	"math/bits"
)

// Decoder follows the frames of one stream. It holds the newest row and no
// more. Not safe for concurrent use.
type Decoder struct {
	follower
	layout *Layout
	parts  []byte // bitmap of the parts in the newest frame
}

// NewDecoder returns a decoder that waits for a key frame of schema id, which
// l lays out. Until then every column is absent.
func NewDecoder(l *Layout, id SchemaID) *Decoder {
	return &Decoder{
		follower: newFollower(id, l.Columns()),
		layout:   l,
		parts:    make([]byte, l.partMap()),
	}
}

// Changed reports whether any column of a part may differ from the frame
// before. After a key frame or an error that is all of them.
func (d *Decoder) Changed(part int) bool {
	return d.base.isKey() || d.parts[part>>3]>>(part&7)&1 != 0
}

// Decode takes the next frame of the stream. It never keeps payload.
//
// A frame that does not follow the newest one (ErrBase), is of another schema
// (ErrSchema) or has no readable header leaves the decoder as it was. A frame
// that is damaged behind its header makes the decoder forget its row: all
// columns are absent and delta frames are refused until the next key frame.
func (d *Decoder) Decode(payload []byte) error {
	return d.take(payload, d.body)
}

// body takes the body of a frame, which begins at payload[at].
func (d *Decoder) body(payload []byte, at int) error {
	first := at
	at += len(d.parts)
	if at > len(payload) {
		return fmt.Errorf("frame of %d bytes: part bitmap cut off: %w", len(payload), ErrMalformed)
	}
	copy(d.parts, payload[first:at])
	starts, ones := d.layout.starts, d.layout.ones
	for i, set := range d.parts {
		for ; set != 0; set &= set - 1 {
			part := i<<3 + bits.TrailingZeros8(set)
			if part+1 >= len(starts) {
				return fmt.Errorf("frame names part %d of %d: %w", part, len(starts)-1, ErrMalformed)
			}
			start, end := partSpan(payload, at)
			if end > len(payload) {
				return fmt.Errorf("part %d at byte %d of %d: cut off: %w", part, at, len(payload), ErrMalformed)
			}
			from, to := starts[part], starts[part+1]
			if err := getPart(payload, start, end, d.row[from:to], ones[from:to]); err != nil {
				return fmt.Errorf("part %d: %w", part, err)
			}
			at = end
		}
	}
	if at != len(payload) {
		return fmt.Errorf("%d bytes after the last part: %w", len(payload)-at, ErrMalformed)
	}
	return nil
}

// partSpan reads the length of a part at b[at] and returns where the part
// begins and ends. An end beyond len(b) means that it is cut off.
func partSpan(b []byte, at int) (start, end int) {
	if at < len(b) && b[at]&1 != 0 { // most lengths are one byte
		return at + 1, at + 1 + int(b[at]>>1)
	}
	return longSpan(b, at)
}

func longSpan(b []byte, at int) (start, end int) {
	size, start := getVarint(b, at)
	if start > len(b) || size > uint64(len(b)-start) {
		return start, len(b) + 1
	}
	return start, start + int(size)
}

// getPart applies the part at payload[at:end] to its columns. row and ones have
// room for whole blocks.
func getPart(payload []byte, at, end int, row, ones []float64) (err error) {
	changed := uint64(0)
	for len(row) > 0 {
		n := min(len(row), blockColumns)
		mask, next := getMask(payload, at, n)
		if next > end {
			return fmt.Errorf("byte %d: change mask: %w", at, ErrMalformed)
		}
		at = next
		changed |= mask
		if mask != 0 {
			if mask>>(n-1)>>1 != 0 {
				return fmt.Errorf("byte %d: change mask beyond column %d: %w", at, n, ErrMalformed)
			}
			if at, err = getValues(payload, at, mask, (*[blockColumns]float64)(row[:blockColumns]),
				(*[blockColumns]float64)(ones[:blockColumns])); err != nil {
				return err
			}
		}
		row, ones = row[n:], ones[n:]
	}
	if at != end || changed == 0 {
		return fmt.Errorf("ends at byte %d instead of %d, changes %#x: %w", at, end, changed, ErrMalformed)
	}
	return nil
}
