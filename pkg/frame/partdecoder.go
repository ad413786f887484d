package frame

import (
	"fmt"
	"math/bits"
)

// PartDecoder follows one part over the frames of a stream and skips the
// others, of which it reads only the lengths. It is for frames that a
// Decoder has taken before: damage in other parts goes unnoticed. Not safe for
// concurrent use.
type PartDecoder struct {
	follower
	ones    []float64
	part    int
	partMap int // size of the bitmap over parts
	changed bool
}

// NewPartDecoder returns a decoder of one part of schema id, which l lays out.
// It waits for a key frame; until then every column is absent.
func NewPartDecoder(l *Layout, id SchemaID, part int) *PartDecoder {
	from, to := l.PartRange(part)
	return &PartDecoder{
		follower: newFollower(id, to-from),
		ones:     l.ones[from:to],
		part:     part,
		partMap:  l.partMap(),
	}
}

// Changed reports whether any of the part's columns may differ from the frame
// before: after a key frame or an error always.
func (d *PartDecoder) Changed() bool { return d.changed || d.base.isKey() }

// Decode takes the next frame of the stream. Its errors and what they leave
// behind are those of Decoder.Decode.
func (d *PartDecoder) Decode(payload []byte) error {
	return d.take(payload, d.body)
}

// body takes the body of a frame, which begins at payload[at].
func (d *PartDecoder) body(payload []byte, at int) error {
	if at+d.partMap > len(payload) {
		return fmt.Errorf("frame of %d bytes: part bitmap cut off: %w", len(payload), ErrMalformed)
	}
	parts := payload[at : at+d.partMap]
	at += d.partMap
	index := d.part >> 3
	d.changed = parts[index]>>(d.part&7)&1 != 0
	if !d.changed {
		return nil
	}
	skip := bits.OnesCount8(parts[index] & (1<<(d.part&7) - 1))
	for _, b := range parts[:index] {
		skip += bits.OnesCount8(b)
	}
	start, end := partSpan(payload, at)
	for ; skip > 0 && end <= len(payload); skip-- {
		start, end = partSpan(payload, end)
	}
	if end > len(payload) {
		return fmt.Errorf("frame of %d bytes: cut off before the end of part %d: %w", len(payload), d.part, ErrMalformed)
	}
	if err := getPart(payload, start, end, d.row, d.ones); err != nil {
		return fmt.Errorf("part %d: %w", d.part, err)
	}
	return nil
}
