package store

import (
	"errors"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// flagEnd marks an entry of a volume that is an end row: it has no block.
const flagEnd = 1

// sealer makes blocks of lanes and puts them into a volume, with all that they need. For
// one goroutine.
type sealer struct {
	volume *volume.Writer
	block  *block.Writer
	parts  map[*schemas.Part]block.Part // hosts of one kind share them
	layout []block.Part                 // of the rows now
	sealed []byte
	buf    []byte

	key     volume.Key
	worker  model.WorkerID
	stream  model.StreamID
	present []*schemas.Part // of the rows now
	span    volume.Span     // of the rows now
	open    bool            // span has begun
	layer   int             // of the rows now
}

func newSealer(w *volume.Writer) *sealer {
	return &sealer{volume: w, block: block.NewWriter(), parts: map[*schemas.Part]block.Part{}}
}

// lane seals the rows of a lane.
func (s *sealer) lane(l *head.SealLane, damaged func(error)) error {
	s.worker, s.stream = l.Source.Worker(), l.Stream
	s.key = volume.KeyOf(s.worker, l.Source.Labels(), l.Stream)
	if err := s.volume.Source(s.worker, l.Source.Labels()); err != nil {
		return err
	}
	s.present, s.open, s.layer = nil, false, 0
	s.block.Begin(s.worker, s.stream)
	if err := l.Rows(s.row, damaged); err != nil {
		return err
	}
	if err := s.endSpan(); err != nil {
		return err
	}
	return s.endBlock()
}

func (s *sealer) row(r head.SealRow) error {
	if r.Layer != s.layer {
		s.layer = r.Layer
		if err := errors.Join(s.endSpan(), s.endBlock()); err != nil {
			return err
		}
	}
	if r.End {
		return s.endRow(r.At)
	}
	if !s.open || s.span.Schema != r.Schema {
		if err := s.change(r); err != nil {
			return err
		}
	}
	s.span.To = r.At
	err := s.block.Append(r.At, r.Values)
	if errors.Is(err, block.ErrFull) {
		if err = s.endBlock(); err != nil {
			return err
		}
		if err = s.block.Schema(s.layout); err != nil {
			return err
		}
		err = s.block.Append(r.At, r.Values)
	}
	return err
}

// endRow writes an end row, which is an entry without a block, in order.
func (s *sealer) endRow(at model.Millis) error {
	if err := s.endSpan(); err != nil {
		return err
	}
	if err := s.endBlock(); err != nil {
		return err
	}
	return s.volume.Add(volume.Entry{Key: s.key, First: at, Last: at, Rows: 1, Flags: flagEnd}, nil)
}

// change turns to another schema.
func (s *sealer) change(r head.SealRow) error {
	if err := s.endSpan(); err != nil {
		return err
	}
	s.present = r.Parts
	if err := s.define(r.Schema); err != nil {
		return err
	}
	s.layout = s.layout[:0]
	for _, p := range r.Parts {
		part, known := s.parts[p]
		if !known {
			part = block.PartOf(p.ID(), p.Model())
			s.parts[p] = part
		}
		s.layout = append(s.layout, part)
	}
	err := s.block.Schema(s.layout)
	if errors.Is(err, block.ErrFull) {
		if err = s.endBlock(); err == nil {
			err = s.block.Schema(s.layout)
		}
	}
	if err != nil {
		return err
	}
	s.span = volume.Span{Key: s.key, Schema: r.Schema, From: r.At, To: r.At}
	s.open = true
	return nil
}

// define puts the schema and its parts into the volume.
func (s *sealer) define(id frame.SchemaID) (err error) {
	if s.volume.HasSchema(id) {
		return nil
	}
	named := frame.Schema{Parts: make([]frame.PartID, len(s.present))}
	for i, p := range s.present {
		named.Parts[i] = p.ID()
		if s.volume.HasPart(p.ID()) {
			continue
		}
		if s.buf, err = frame.AppendPart(s.buf[:0], p.Model()); err != nil {
			return fmt.Errorf("part %v: %w", p.ID(), err)
		}
		if err := s.volume.Part(s.buf); err != nil {
			return err
		}
	}
	return s.volume.Schema(frame.AppendSchema(nil, named))
}

func (s *sealer) endSpan() error {
	if !s.open {
		return nil
	}
	s.open = false
	return s.volume.Span(s.span.Key, s.span.Schema, s.span.From, s.span.To)
}

func (s *sealer) endBlock() error {
	if s.block.Rows() == 0 {
		return nil
	}
	s.sealed = s.block.Seal(s.sealed[:0])
	return s.volume.Add(volume.Entry{Key: s.key}, s.sealed)
}
