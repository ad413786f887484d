package ledger

import (
	"maps"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
)

// Stats are figures of the ledger, for its owner's metrics.
type Stats struct {
	Workers int
	Entries int   // those that were merged are not counted
	Bytes   int64 // of all entries, written once
	Log     durable.Stats
	Damaged int // found when it was opened
	// Since the ledger was opened:
	Noted      map[event.Cause]Count // every cause that this release knows; others are CauseOther
	Repeated   uint64                // records that came again
	Others     uint64                // events that tell of something else
	Malformed  uint64                // events that cannot be read
	Merged     uint64                // entries that became part of an earlier one's sums
	Expired    uint64
	Rewrites   uint64 // of the log, those that failed included
	SyncErrors uint64
}

// Count is how much was noted as missing.
type Count struct{ Records, Frames, Samples uint64 }

// Stats returns the figures as they are now.
func (l *Ledger) Stats() Stats {
	log := l.disk.Stats()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Workers, s.Entries, s.Bytes, s.Log = len(l.workers), l.count, l.bytes, log
	s.Noted = maps.Clone(s.Noted)
	return s
}

func (l *Ledger) countLocked(cause event.Cause, frames, samples uint64) {
	count, is := l.stats.Noted[cause]
	if !is {
		cause = event.CauseOther
		count = l.stats.Noted[cause]
	}
	count.Records++
	count.Frames = plus(count.Frames, frames)
	count.Samples = plus(count.Samples, samples)
	l.stats.Noted[cause] = count
}
