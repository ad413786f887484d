package sampler

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Stats is what the sampler has done since it was made. Counters only grow.
type Stats struct {
	Rounds        uint64 // completed
	Skipped       uint64 // fell due while another was under way
	SchemaChanges uint64 // the first schema included
	SchemaErrors  uint64 // rounds lost because the parts do not fit together

	Frames      uint64 // handed to the output, key frames included
	KeyFrames   uint64
	Parts       uint64 // handed to the output
	FrameBytes  uint64 // payload of Frames
	OutputFails uint64 // rounds that the output did not take

	Series    int           // columns of the newest round
	LastRound time.Duration // how long it took
	LastAt    model.Millis  // its timestamp; 0 before the first
	// StatThreads is how many goroutines the filesystem collector holds, those
	// that hang on a mount included.
	StatThreads int

	// Collectors has one element for each enabled collector, in the order of
	// the table, then one for the daemon's own metrics when there are any.
	Collectors []CollectorStats
}

// CollectorStats is what one collector has done.
type CollectorStats struct {
	Name    string
	Rounds  uint64
	Errors  uint64        // rounds in which something could not be read
	Refused uint64        // rounds in which its series were left out
	Bytes   uint64        // read
	Took    time.Duration // in all rounds
	Last    time.Duration // in the newest round
	Series  int           // columns in the newest round
	Missing bool          // the host does not have it
	Err     string        // why it failed or was refused in the newest round, or ""
}

// Stats returns a copy. Safe for concurrent use; it does not wait for a round.
func (s *Sampler) Stats() Stats {
	s.public.Lock()
	defer s.public.Unlock()
	stats := s.stats
	stats.Collectors = make([]CollectorStats, len(s.counts))
	copy(stats.Collectors, s.counts)
	return stats
}

// publishStatsLocked copies the counters of the slots to where Stats finds them.
func (s *Sampler) publishStatsLocked() {
	for i, slot := range s.slots[:len(s.counts)] {
		c := slot.counts
		c.Name, c.Last, c.Missing = slot.name, slot.took, slot.outcome == missing
		if slot.granted() {
			c.Series = len(slot.sheet.values)
		}
		if slot.err != nil {
			c.Err = slot.err.Error()
		}
		s.counts[i] = c
	}
}
