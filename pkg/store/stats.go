package store

import (
	"sync/atomic"
	"time"
)

// figures are the store's counters. Safe for concurrent use.
type figures struct {
	records, frames, samples, bytes atomic.Uint64
	events, duplicates, markers     atomic.Uint64
	refused                         [causes]atomic.Uint64
	syncs, syncErrors               atomic.Uint64
	syncNanos, lastSync, worstSync  atomic.Int64
	diskBytes, freeBytes            atomic.Int64
}

func (f *figures) synced(took time.Duration) {
	f.syncs.Add(1)
	f.syncNanos.Add(int64(took))
	f.lastSync.Store(int64(took))
	if int64(took) > f.worstSync.Load() {
		f.worstSync.Store(int64(took)) // one writer: the group commit
	}
}

// Stats are counters since the store was opened, and its present state.
type Stats struct {
	Records    uint64 // of any kind, accepted
	Frames     uint64 // stored
	Samples    uint64 // appended, markers not counted
	Markers    uint64 // staleness markers appended
	Bytes      uint64 // of accepted records, as encoded
	Events     uint64 // accepted
	Duplicates uint64 // records that had been processed before
	// Refused counts records, frames and samples by cause; only causes that
	// occurred.
	Refused map[Cause]uint64

	Syncs      uint64 // group commits that reached the disk
	SyncErrors uint64
	SyncTime   time.Duration // sum over all group commits
	LastSync   time.Duration
	WorstSync  time.Duration

	HeadSeries         uint64 // series in memory
	Workers            int    // with state in memory
	Sessions           int    // open
	Parts              int
	PartBytes          int64
	DiskBytes          int64 // of the whole directory, at most a minute old
	FreeBytes          int64 // of its disk, at most some seconds old
	DiskFull           bool  // new data is refused for want of space
	CompactionFailures uint64
	Failed             bool // nothing is written any more; see Run
}

// Stats returns the figures now.
func (s *Store) Stats() Stats {
	f := &s.figures
	stats := Stats{
		Records: f.records.Load(), Frames: f.frames.Load(), Samples: f.samples.Load(), Markers: f.markers.Load(),
		Bytes: f.bytes.Load(), Events: f.events.Load(), Duplicates: f.duplicates.Load(),
		Refused: map[Cause]uint64{},
		Syncs:   f.syncs.Load(), SyncErrors: f.syncErrors.Load(), SyncTime: time.Duration(f.syncNanos.Load()),
		LastSync: time.Duration(f.lastSync.Load()), WorstSync: time.Duration(f.worstSync.Load()),
		HeadSeries: s.db.Head().NumSeries(), DiskBytes: f.diskBytes.Load(), FreeBytes: f.freeBytes.Load(),
		DiskFull: !s.free.Load(), CompactionFailures: uint64(s.probe.compactionFailures()),
		Failed: s.broken.get() != nil,
	}
	for c := range f.refused {
		if n := f.refused[c].Load(); n > 0 {
			stats.Refused[Cause(c)] = n
		}
	}
	stats.Parts, stats.PartBytes = s.catalog.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Workers = len(s.workers)
	for _, w := range s.workers {
		if w.hasSession() {
			stats.Sessions++
		}
	}
	return stats
}

// refused counts one refusal and returns it.
func (s *Store) refused(r *Refusal) *Refusal {
	s.figures.refused[r.Cause].Add(1)
	return r
}
