package frame

import (
	"fmt"
	"math/bits"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// PartDecoder follows one part over the frames of a stream and skips the
// others, of which it reads only the lengths. It is for frames that a
// Decoder has taken before: damage in other parts goes unnoticed. Not safe for
// concurrent use.
type PartDecoder struct {
	schema  SchemaID
	base    base
	row     []float64
	ones    []float64
	part    int
	parts   int
	body    int // size of the bitmap over parts
	changed bool
}

// NewPartDecoder returns a decoder of one part of schema id, which l lays out.
// It waits for a key frame; until then every column is absent.
func NewPartDecoder(l *Layout, id SchemaID, part int) *PartDecoder {
	from, to := l.PartRange(part)
	d := &PartDecoder{
		schema: id,
		row:    make([]float64, to-from, to-from+blockColumns),
		ones:   l.ones[from:to],
		part:   part,
		parts:  l.Parts(),
		body:   l.partMap(),
	}
	d.forget()
	return d
}

// At is the time of the newest frame, 0 before the first.
func (d *PartDecoder) At() model.Millis { return d.base.at }

// Row is the part's columns in the newest frame. It belongs to the decoder and
// is valid until the next call of Decode.
func (d *PartDecoder) Row() []float64 { return d.row[:len(d.row):len(d.row)] }

// Changed reports whether any of the part's columns may differ from the frame
// before: after a key frame or an error always.
func (d *PartDecoder) Changed() bool { return d.changed || d.base.isKey() }

// Decode takes the next frame of the stream. Its errors and what they leave
// behind are those of Decoder.Decode.
func (d *PartDecoder) Decode(payload []byte) error {
	next, body, err := d.base.follow(payload, &d.schema)
	if err != nil {
		return err
	}
	if next.isKey() {
		clear(d.row)
	}
	if err := d.decode(payload, body); err != nil {
		d.forget()
		return err
	}
	d.base = next
	return nil
}

func (d *PartDecoder) forget() {
	d.base = d.base.lost()
	for i := range d.row {
		d.row[i] = model.Absent()
	}
}

func (d *PartDecoder) decode(payload []byte, at int) error {
	if at+d.body > len(payload) {
		return fmt.Errorf("frame of %d bytes: part bitmap cut off: %w", len(payload), ErrMalformed)
	}
	parts := payload[at : at+d.body]
	at += d.body
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
