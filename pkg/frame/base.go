package frame

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// base says which frame a decoder holds, and so which one it can take next.
type base struct {
	at       model.Millis
	sinceKey uint32
	held     bool
}

// follow reads the header of a frame and checks that it can be decoded with
// what b says is held. It returns the base that the frame will be, and
// where its body begins.
func (b base) follow(payload []byte, schema *SchemaID) (next base, body int, err error) {
	var h Header
	if err := h.parse(payload); err != nil {
		return b, 0, fmt.Errorf("frame header: %w", err)
	}
	switch {
	case h.Key && h.Schema != *schema:
		return b, 0, fmt.Errorf("key frame of schema %v, decoding %v: %w", h.Schema, *schema, ErrSchema)
	case !h.Key && !b.held:
		return b, 0, fmt.Errorf("delta frame %d at %d ms, waiting for a key frame: %w", h.SinceKey, h.At, ErrBase)
	case !h.Key && (h.SinceKey != b.sinceKey+1 || h.Base != b.at):
		return b, 0, fmt.Errorf("delta frame %d at %d ms follows %d ms, but the newest is frame %d at %d ms: %w",
			h.SinceKey, h.At, h.Base, b.sinceKey, b.at, ErrBase)
	}
	return base{at: h.At, sinceKey: h.SinceKey, held: true}, h.size, nil
}

// isKey reports whether the frame held is a key frame, or none is held.
func (b base) isKey() bool { return b.sinceKey == 0 }

// lost is b after damage: only a key frame can follow.
func (b base) lost() base { return base{at: b.at} }

// follower is what the decoders have in common: the newest row, or their share
// of it, and which frame it is of.
type follower struct {
	schema SchemaID
	base   base
	row    []float64 // with room for a block behind
}

func newFollower(id SchemaID, columns int) follower {
	f := follower{schema: id, row: make([]float64, columns, columns+blockColumns)}
	f.forget()
	return f
}

// At is the time of the newest frame, 0 before the first.
func (f *follower) At() model.Millis { return f.base.at }

// Row is the newest row, or the part's columns of it. It belongs to the decoder
// and is valid until the next call of Decode.
func (f *follower) Row() []float64 { return f.row[:len(f.row):len(f.row)] }

// take decodes a frame with body, which changes the row and is given where the
// frame's body begins.
func (f *follower) take(payload []byte, body func(payload []byte, at int) error) error {
	next, at, err := f.base.follow(payload, &f.schema)
	if err != nil {
		return err
	}
	if next.isKey() {
		clear(f.row)
	}
	if err := body(payload, at); err != nil {
		f.forget()
		return err
	}
	f.base = next
	return nil
}

// forget makes every column absent, and only a key frame acceptable.
func (f *follower) forget() {
	f.base = f.base.lost()
	for i := range f.row {
		f.row[i] = model.Absent()
	}
}
