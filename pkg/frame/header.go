package frame

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// The first byte of a frame: version 1 in the upper four bits, kind below.
const (
	keyFrame   = 0x10
	deltaFrame = 0x11
)

// maxHeader is the longest header in bytes.
const maxHeader = 1 + 3*maxVarint + len(SchemaID{})

// Header is what a frame says of itself before its values.
type Header struct {
	// Key tells a key frame, which needs no other, from a delta frame.
	Key bool
	// At is when the round was sampled.
	At model.Millis
	// Schema is the schema of a key frame. Zero in a delta frame, whose schema
	// is that of its key frame.
	Schema SchemaID
	// SinceKey counts the frames since the key frame: 0 for itself.
	SinceKey uint32
	// Base is the time of the frame to which a delta frame is the difference,
	// which is its predecessor in the stream. Zero in a key frame.
	Base model.Millis

	size int // of the header in bytes
}

// Peek reads the header of a frame and looks no further.
func Peek(payload []byte) (Header, error) {
	h := Header{}
	if err := h.parse(payload); err != nil {
		return Header{}, fmt.Errorf("frame header: %w", err)
	}
	return h, nil
}

func (h *Header) parse(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("no bytes: %w", ErrMalformed)
	}
	if b[0] != keyFrame && b[0] != deltaFrame {
		return fmt.Errorf("first byte %#x: %w", b[0], ErrVersion)
	}
	h.Key = b[0] == keyFrame
	u, next := getVarint(b, 1)
	h.At = model.Millis(unzigzag(u))
	if h.Key {
		if next+len(h.Schema) > len(b) {
			return fmt.Errorf("%d bytes: cut off: %w", len(b), ErrMalformed)
		}
		h.size = next + copy(h.Schema[:], b[next:])
		h.SinceKey, h.Base = 0, 0
		return nil
	}
	since, next := getVarint(b, next)
	u, next = getVarint(b, next)
	if next > len(b) {
		return fmt.Errorf("%d bytes: cut off: %w", len(b), ErrMalformed)
	}
	if since == 0 || since > MaxSinceKey {
		return fmt.Errorf("delta frame %d of its key frame: %w", since, ErrMalformed)
	}
	h.SinceKey, h.Base, h.size = uint32(since), h.At-model.Millis(unzigzag(u)), next
	h.Schema = SchemaID{}
	return nil
}

// put writes the header to buf, which holds maxHeader bytes and a word, and
// returns its size.
func (h *Header) put(buf []byte) int {
	if h.Key {
		buf[0] = keyFrame
		at := putVarint(buf, 1, zigzag(int64(h.At)))
		return at + copy(buf[at:], h.Schema[:])
	}
	buf[0] = deltaFrame
	at := putVarint(buf, 1, zigzag(int64(h.At)))
	at = putVarint(buf, at, uint64(h.SinceKey))
	return putVarint(buf, at, zigzag(int64(h.At-h.Base)))
}
