package head

import (
	"sync/atomic"
)

// figures count what workers send. Safe for concurrent use; each worker has its own, so
// that two do not wait for one.
type figures struct {
	records, frames, samples, bytes atomic.Uint64
	events, duplicates, missing     atomic.Uint64
	ends                            atomic.Uint64
	refused                         [causes]atomic.Uint64
}

// addTo adds the figures to those of s.
func (f *figures) addTo(s *Stats) {
	s.Records += f.records.Load()
	s.Frames += f.frames.Load()
	s.Samples += f.samples.Load()
	s.Bytes += f.bytes.Load()
	s.Events += f.events.Load()
	s.Duplicates += f.duplicates.Load()
	s.Missing += f.missing.Load()
	s.Ends += f.ends.Load()
	for c := range f.refused {
		if n := f.refused[c].Load(); n > 0 {
			s.Refused[Cause(c)] += n
		}
	}
}

// keep adds the figures of a worker that goes.
func (f *figures) keep(g *figures) {
	f.records.Add(g.records.Load())
	f.frames.Add(g.frames.Load())
	f.samples.Add(g.samples.Load())
	f.bytes.Add(g.bytes.Load())
	f.events.Add(g.events.Load())
	f.duplicates.Add(g.duplicates.Load())
	f.missing.Add(g.missing.Load())
	f.ends.Add(g.ends.Load())
	for c := range f.refused {
		f.refused[c].Add(g.refused[c].Load())
	}
}

// Stats are counters since the head was made, and its present state.
type Stats struct {
	Records    uint64 // of any kind, accepted
	Frames     uint64 // stored
	Samples    uint64 // in them
	Bytes      uint64 // of accepted records, as encoded
	Events     uint64 // accepted
	Duplicates uint64 // records that had been received before
	Missing    uint64 // sequence numbers that were passed over
	Ends       uint64 // end records
	// Refused counts refusals and frames that were left out by cause; only causes
	// that occurred.
	Refused map[Cause]uint64

	Workers   int // in memory
	Sessions  int // open
	Lanes     int
	Series    int    // columns of the newest rows of lanes that have not ended
	Groups    int    // open, those of a pass under way included
	Rows      uint64 // in them
	OpenBytes int64  // about how much memory open groups and newest rows take
}

// Stats returns the figures now.
func (h *Head) Stats() Stats {
	s := Stats{Refused: map[Cause]uint64{}}
	h.mu.RLock()
	defer h.mu.RUnlock()
	h.gone.addTo(&s)
	s.Workers, s.Lanes = len(h.workers), len(h.lanes)
	for _, w := range h.workers {
		w.figures.addTo(&s)
		s.Sessions += int(w.sessions.Load())
	}
	for _, l := range h.lanes {
		l.addTo(&s)
	}
	return s
}

// groupBytes is about how much a group takes besides its rows.
const groupBytes = 112

func (l *lane) addTo(s *Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newest.isLive() {
		s.Series += l.newest.schema.columns
	}
	s.OpenBytes += int64(8 * cap(l.newest.row))
	for _, groups := range [][]*group{l.groups, l.sealing} {
		s.Groups += len(groups)
		for _, g := range groups {
			s.Rows += uint64(g.rows)
			s.OpenBytes += int64(groupBytes + cap(g.packed))
		}
	}
}
