package durable

import "errors"

// Viewer gives records by their index, in any order. It is used by one goroutine at
// a time; a log can have many.
type Viewer struct {
	r   *Reader
	log *Log
}

// Viewer returns a new viewer.
func (l *Log) Viewer() *Viewer { return &Viewer{log: l} }

// View returns the bytes of a record, synced or not. They are valid until the next
// View or Close, and must not be changed. The error is ErrDropped if there is no such
// record any more, or never was, a *Damage, ErrClosed, or wraps ErrDisk.
func (v *Viewer) View(index uint64) ([]byte, error) {
	v.Close()
	v.r = v.log.Read(index)
	if v.r.Next() && v.r.record.Index == index {
		return v.r.record.Data, nil
	}
	var damage *Damage
	if err := v.r.Err(); err != nil && (!errors.As(err, &damage) || damage.Lost.First <= index) {
		return nil, err
	}
	return nil, ErrDropped
}

// Close lets go of the segment that the viewer is in.
func (v *Viewer) Close() {
	if v.r != nil {
		v.r.Close()
	}
}
