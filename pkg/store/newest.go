package store

import (
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Newest tells how fresh a worker's data is.
type Newest struct {
	// At is the largest timestamp of its frames, by the worker's clock.
	At model.Millis
	// Received is when its newest frame was stored, by the collector's clock;
	// zero when none was since the store was opened.
	Received time.Time
}

// note makes l's newest frame known. received is zero for context.
func (w *worker) note(l *lane, received time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest.At = max(w.newest.At, l.decoder.At())
	if !received.IsZero() {
		l.received, w.newest.Received = received, received
	}
}

// Newest returns how fresh a worker's data is; false when the store has no state
// of it in memory. It costs two short locks.
func (s *Store) Newest(id model.WorkerID) (Newest, bool) {
	w := s.peek(id)
	if w == nil {
		return Newest{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest, w.newest.At != 0
}

// Connected says whether a session of the worker is open.
func (s *Store) Connected(id model.WorkerID) bool {
	w := s.peek(id)
	return w != nil && w.hasSession()
}

// Row is the newest frame of one stream.
type Row struct {
	Stream   model.StreamID
	At       model.Millis
	Received time.Time // zero when it was stored before the store was opened
	// Parts lay out Values: the series of all families of all parts, in order.
	// They are shared and must not be changed.
	Parts []model.Part
	// Values are the caller's. A column without a value is model.Absent.
	Values []float64
}

// Live copies the newest row of every stream of a worker, sorted by stream.
func (s *Store) Live(id model.WorkerID) []Row {
	w := s.peek(id)
	if w == nil {
		return nil
	}
	rows := w.rows()
	slices.SortFunc(rows, func(a, b Row) int { return int(a.Stream) - int(b.Stream) })
	return rows
}

func (w *worker) rows() (rows []Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, l := range w.lanes {
		if l.decoder == nil || l.decoder.At() == 0 {
			continue
		}
		row := Row{Stream: id, At: l.decoder.At(), Received: l.received, Values: slices.Clone(l.decoder.Row())}
		for _, p := range l.schema.parts {
			row.Parts = append(row.Parts, p.Part)
		}
		rows = append(rows, row)
	}
	return rows
}
