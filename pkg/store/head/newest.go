package head

import (
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// Newest tells how fresh a worker's data is.
type Newest struct {
	// At is the largest timestamp of its frames, by the worker's clock.
	At model.Millis
	// Received is when a frame of it was stored last, by the collector's clock;
	// zero when none was since the head was made.
	Received time.Time
}

// note makes a stored frame known. It is called with mu held.
func (w *worker) note(at model.Millis, received time.Time) {
	if int64(at) > w.at.Load() {
		w.at.Store(int64(at))
	}
	if !received.IsZero() {
		w.received.Store(received.UnixMilli())
	}
}

// Newest returns how fresh a worker's data is; false when nothing of it is in memory. It
// costs one short lock.
func (h *Head) Newest(id model.WorkerID) (Newest, bool) {
	w := h.peek(id)
	if w == nil {
		return Newest{}, false
	}
	n := Newest{At: model.Millis(w.at.Load())}
	if received := w.received.Load(); received != 0 {
		n.Received = time.UnixMilli(received)
	}
	return n, n.At != 0
}

// Connected says whether a session of the worker is open.
func (h *Head) Connected(id model.WorkerID) bool {
	w := h.peek(id)
	return w != nil && w.sessions.Load() > 0
}

// Row is the newest row of one stream.
type Row struct {
	Stream   model.StreamID
	At       model.Millis
	Received time.Time // zero when it was stored before the head was made
	// Parts lay out Values, one after the other. They are shared and must not be
	// changed.
	Parts []*schemas.Part
	// Values are the caller's. A column without a value is model.Absent.
	Values []float64
}

// Live copies the newest row of every stream of a worker that has not ended, sorted by
// stream. Streams that the worker's present process does not have are left out some
// minutes after it began.
func (h *Head) Live(id model.WorkerID) []Row {
	w := h.peek(id)
	if w == nil {
		return nil
	}
	var boot model.BootID
	if p := w.process.Load(); p != nil && h.deps.Now().Sub(p.at) >= oldBootAfter {
		boot = p.boot
	}
	h.mu.RLock()
	lanes := w.sortedLanes()
	h.mu.RUnlock()
	var found []Row
	for _, l := range lanes {
		if row, ok := l.live(h, boot); ok {
			found = append(found, row)
		}
	}
	slices.SortStableFunc(found, func(a, b Row) int { return int(a.Stream) - int(b.Stream) })
	return found
}

// live copies the newest row, if it is of that boot; zero: of any.
func (l *lane) live(h *Head, boot model.BootID) (Row, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := &l.newest
	if !n.isLive() || !boot.IsZero() && n.boot != boot {
		return Row{}, false
	}
	row := l.rowLocked(h)
	if row == nil {
		return Row{}, false
	}
	return Row{Stream: l.stream, At: n.at, Received: n.received, Parts: n.schema.parts, Values: slices.Clone(row)}, true
}
