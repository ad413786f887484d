package spool

import (
	"maps"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Loss counts what was lost before the collector had it.
type Loss struct{ Frames, Samples uint64 }

// Stats are the figures of a Spool at one moment. Counters begin with zero at every
// start.
type Stats struct {
	Bytes           uint64 // of records on disk, acknowledged ones that are not dropped yet included
	MaxBytes        uint64
	DefinitionBytes uint64 // of parts and schemas in use
	MemoryBytes     uint64 // of records that the disk has not taken
	MemoryRecords   uint64
	DiskError       string // why it does not take them; "" if it does
	Unsynced        uint64 // bytes that a power cut may take

	Unacked      uint64        // records that the collector does not have
	UnackedBytes uint64        // about how many bytes they take
	UnackedAge   time.Duration // age of the oldest of them; 0 if there is none
	Stretches    int           // in so many stretches
	FormerBoots  int           // of so many processes before this one
	Next         uint64        // number of the next record
	Newest       model.Millis  // time of the newest frame, of former processes too; 0 if there was none

	Appended      uint64 // records, counter
	AppendedBytes uint64 // encoded, counter
	Refused       uint64 // calls of Append that ended in another error than ErrKeyNeeded, counter
	Rejected      uint64 // records that the collector gave up, counter
	Damaged       uint64 // times that something could not be read back, counter
	DiskErrors    uint64 // times that the disk did not do what it should, counter
	SyncErrors    uint64 // of them failed syncs, counter
	Syncs         uint64 // counter
	// Dropped is what was lost before the collector had it, by cause: SpoolFull,
	// SpoolOld, SpoolDamaged, IdentityChanged. Counters.
	Dropped map[event.Cause]Loss

	cursorChanged bool // something was acknowledged since the cursor was written
	cursorAt      time.Time
}

// DropCauses lists the keys that Stats.Dropped may have.
func DropCauses() []event.Cause {
	return []event.Cause{event.SpoolFull, event.SpoolOld, event.SpoolDamaged, event.IdentityChanged}
}

// Stats returns the present figures.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Dropped = maps.Clone(stats.Dropped)
	stats.MaxBytes, stats.DefinitionBytes = uint64(s.config.MaxBytes), s.defs.bytes
	stats.MemoryBytes, stats.MemoryRecords = s.pending.bytes, uint64(len(s.pending.items))
	if s.records != nil {
		disk := s.records.Stats()
		stats.Bytes, stats.Unsynced = uint64(disk.Bytes), uint64(disk.Unsynced)
		stats.Syncs, stats.SyncErrors = disk.Syncs, disk.SyncErrors
	}
	stats.Next, stats.FormerBoots = s.cur.next, 0
	oldest := model.Millis(0)
	for _, b := range s.boots {
		left := false
		b.done.gaps(1, b.next-1, func(from, to uint64) bool {
			if _, some := s.nextLocked(b, from-1, to+1); !some {
				return true
			}
			left = true
			stats.Stretches++
			stats.Unacked += to - from + 1
			stats.UnackedBytes += b.size(from, to)
			if at := b.timeOf(from); at > 0 && (oldest == 0 || at < oldest) {
				oldest = at
			}
			return true
		})
		if left && b != s.cur {
			stats.FormerBoots++
		}
	}
	if oldest > 0 {
		stats.UnackedAge = max(0, s.now().Sub(time.UnixMilli(int64(oldest))))
	}
	return stats
}

// timeOf is about when a record was made.
func (b *boot) timeOf(seq uint64) model.Millis {
	if len(b.chunks) == 0 {
		return b.newest
	}
	i := b.chunkOf(seq)
	begin, end := b.chunks[i], chunk{seq: b.next, at: b.newest}
	if i+1 < len(b.chunks) {
		end = b.chunks[i+1]
	}
	if begin.at == 0 {
		return end.at // it began with definitions, which have no time
	}
	if end.seq <= begin.seq || seq <= begin.seq {
		return begin.at
	}
	return begin.at + model.Millis(float64(end.at-begin.at)*float64(seq-begin.seq)/float64(end.seq-begin.seq))
}
