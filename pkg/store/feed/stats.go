package feed

import "sync/atomic"

// figures are counters of a feed.
type figures struct {
	commits, failed, samples, frames                atomic.Uint64
	tooMany, times, duplicates, invalid, histograms atomic.Uint64
}

// Stats are counters since the feed was made, and its present state.
type Stats struct {
	Series  int // that it has now
	Streams int // that have series now

	Commits uint64
	Failed  uint64 // commits
	Samples uint64 // that were stored
	Frames  uint64 // that hold them

	// What Append did not take:
	TooMany    uint64 // of series that would be too many
	Times      uint64 // too old, too far ahead, or out of order where that was to be refused
	Duplicates uint64 // another value for the newest time of a series
	Invalid    uint64 // labels or values
	Histograms uint64
}

// Stats returns the figures now.
func (f *Feed) Stats() Stats {
	n := &f.figures
	stats := Stats{
		Commits: n.commits.Load(), Failed: n.failed.Load(), Samples: n.samples.Load(), Frames: n.frames.Load(),
		TooMany: n.tooMany.Load(), Times: n.times.Load(), Duplicates: n.duplicates.Load(), Invalid: n.invalid.Load(),
		Histograms: n.histograms.Load(),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	stats.Series = f.table.count
	for _, st := range f.streams {
		if st.columns > 0 {
			stats.Streams++
		}
	}
	return stats
}
