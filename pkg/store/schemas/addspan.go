package schemas

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// AddSpan notes that a stream of a source had a schema from one time to another, both
// included: as Use for a first frame and Extend for many, of data that comes with its
// names. If a record is to say so it is appended to record. It fails with
// ErrUnknownSource, ErrUnknownSchema, ErrTime and a LimitError.
func (d *Dictionary) AddSpan(record []byte, s *Source, stream model.StreamID, id frame.SchemaID, from, to model.Millis) ([]byte, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if s.gone {
		return record, fmt.Errorf("schemas: span of source %d, worker %v: %w", s.number, s.worker, ErrUnknownSource)
	}
	if !isTime(int64(from)) || !isTime(int64(to)) || to < from {
		return record, fmt.Errorf("schemas: span from %d to %d: %w", from, to, ErrTime)
	}
	sch := d.schemas[id]
	if sch == nil {
		return record, fmt.Errorf("schemas: span of schema %v: %w", id, ErrUnknownSchema)
	}
	span, _, err := d.use(s, stay{stream, sch}, int64(from), int64(to))
	if err != nil {
		return record, err
	}
	if span.written.from == span.from.Load() && span.written.to == span.to.Load() {
		return record, nil
	}
	span.note()
	return appendSpans(record, []*Span{span}), nil
}
