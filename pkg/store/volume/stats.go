package volume

import (
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TierStats are figures of the volumes of a tier.
type TierStats struct {
	Files  int
	Blocks int // entries without a block included
	Rows   uint64
	Bytes  int64
	// First and Last are the times of the first and last entry; both 0 without files.
	First, Last model.Millis
}

// Stats are figures of a Set, for its owner's metrics.
type Stats struct {
	Tiers [Tiers]TierStats
	// Leaving is how many files, of how many bytes, are removed and still held: the disk
	// has their room back when they are let go.
	Leaving      int
	LeavingBytes int64
	// SetAside is how many files Open has renamed to *.damaged.
	SetAside int
	// Damages is how many Damage were reported, by Open and to OnDamage.
	Damages uint64
}

// Bytes is what all volumes of the set take together.
func (s Stats) Bytes() (sum int64) {
	for _, t := range s.Tiers {
		sum += t.Bytes
	}
	return sum
}

// Stats returns the figures as they are now.
func (s *Set) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{SetAside: s.aside, Damages: s.damages.Load()}
	for _, f := range s.files {
		t := &stats.Tiers[f.info.Tier]
		if t.Files == 0 {
			t.First, t.Last = f.info.First, f.info.Last
		}
		t.First, t.Last = min(t.First, f.info.First), max(t.Last, f.info.Last)
		t.Files++
		t.Blocks += f.info.Blocks
		t.Rows += f.info.Rows
		t.Bytes += f.info.Bytes
	}
	s.gone = slices.DeleteFunc(s.gone, (*File).unmapped)
	for _, f := range s.gone {
		stats.Leaving++
		stats.LeavingBytes += f.info.Bytes
	}
	return stats
}
