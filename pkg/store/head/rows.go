package head

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

// rows reads the frames of a stretch from the journal, one after the other.
type rows struct {
	viewer Viewer
	cursor cursor
}

// stater is a decoder that takes a state.
type stater interface{ SetState(state []byte) error }

// begin brings a decoder to where the first row follows.
func (r *rows) begin(d stater) error {
	s := r.cursor.of
	if !s.base {
		return nil // a key frame needs nothing
	}
	_, state, err := r.viewer.Base(s.start)
	if err != nil {
		return err
	}
	if err := d.SetState(state); err != nil {
		return fmt.Errorf("journal record %d: %w", s.start, err)
	}
	return nil
}

// next returns the payload of the next frame, valid until the next call; nil at the end.
func (r *rows) next() ([]byte, error) {
	if !r.cursor.next() {
		return nil, nil
	}
	_, raw, err := r.viewer.Record(r.cursor.index)
	if err != nil {
		return nil, err
	}
	record, err := frame.PeekRecord(raw)
	if err != nil || record.Kind != frame.KindFrame {
		return nil, r.damage(fmt.Errorf("%v instead of a frame: %w", record.Kind, orMalformed(err)))
	}
	return record.Payload, nil
}

// damage says where in the journal the error is.
func (r *rows) damage(err error) error {
	return fmt.Errorf("journal record %d: %w", r.cursor.index, err)
}

func orMalformed(err error) error {
	if err != nil {
		return err
	}
	return frame.ErrMalformed
}
