package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

// Viewer gives records by their index, in any order. It is used by one goroutine
// at a time; a journal can have many.
type Viewer struct{ log *durable.Viewer }

// Viewer returns a new viewer.
func (j *Journal) Viewer() *Viewer { return &Viewer{j.log.Viewer()} }

// Record returns a record of a worker and the number of its session. raw is valid
// until the next call, and must not be changed. The journal's own checksum was
// computed, the record's was not: frame.PeekRecord takes it apart.
//
// Errors: durable.ErrDropped, durable.ErrClosed, *durable.Damage, ErrKind,
// ErrVersion, or one that wraps durable.ErrDisk.
func (v *Viewer) Record(index uint64) (session uint64, raw []byte, err error) {
	b, err := v.log.View(index)
	if err != nil {
		return 0, nil, err
	}
	if len(b) > 0 && b[0] == version|byte(KindRecord) {
		if session, n := binary.Uvarint(b[1:]); n > 0 {
			return session, b[1+n:], nil
		}
	}
	e, err := v.entry(index, b, KindRecord)
	return e.Session, e.Raw, err
}

// Base returns where a decoder stood: the schema of its stream and a state. Errors
// are those of Record.
func (v *Viewer) Base(index uint64) (schema frame.SchemaID, state []byte, err error) {
	b, err := v.log.View(index)
	if err != nil {
		return frame.SchemaID{}, nil, err
	}
	e, err := v.entry(index, b, KindBase)
	return e.Schema, e.State, err
}

// Entry returns any record. Errors are those of Record, but for ErrKind.
func (v *Viewer) Entry(index uint64) (Entry, error) {
	b, err := v.log.View(index)
	if err != nil {
		return Entry{}, err
	}
	return v.entry(index, b, 0)
}

func (v *Viewer) entry(index uint64, b []byte, want Kind) (Entry, error) {
	e, err := ParseEntry(b)
	if err == nil && want != 0 && e.Kind != want {
		err = fmt.Errorf("%v instead of %v: %w", e.Kind, want, ErrKind)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("journal: record %d: %w", index, err)
	}
	return e, nil
}

// Close lets go of the segment that the viewer is in.
func (v *Viewer) Close() { v.log.Close() }
