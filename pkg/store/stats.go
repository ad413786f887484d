package store

import (
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/store/head"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// figures are the store's own counters. Safe for concurrent use.
type figures struct {
	refused                        [64]atomic.Uint64 // by cause
	syncs, syncErrors              atomic.Uint64
	syncNanos, lastSync, worstSync atomic.Int64
	passes, passErrors, sealedRows atomic.Uint64
	passTime                       atomic.Int64
	damage                         atomic.Uint64
	diskBytes, freeBytes           atomic.Int64
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
	head.Stats // Refused counts what the store refused, too

	Syncs      uint64 // group commits that reached the disk
	SyncErrors uint64
	SyncTime   time.Duration // sum over all group commits
	LastSync   time.Duration
	WorstSync  time.Duration

	Passes     uint64 // that sealed what was in the journal
	PassErrors uint64 // passes and removals that failed
	PassTime   time.Duration
	SealedRows uint64

	Rolls      uint64 // volumes of rollups that were made
	RollErrors uint64
	RollTime   time.Duration

	Damage    uint64 // pieces of the store's files that were not what was written
	DiskBytes int64  // of the whole directory, at most a minute old
	FreeBytes int64  // of its disk, at most some seconds old
	DiskFull  bool   // new data is refused for want of space
	Failing   bool   // the last group commit failed: nothing is acknowledged

	Journal journal.Stats
	Volumes volume.Stats
	Schemas schemas.Stats
	Ledger  ledger.Stats
}

// Failing says that the last group commit did not succeed: nothing is acknowledged.
func (s *Store) Failing() bool { return s.syncFails.Load() }

// Stats returns the figures now.
func (s *Store) Stats() Stats {
	f := &s.figures
	stats := Stats{
		Stats: s.head.Stats(),
		Syncs: f.syncs.Load(), SyncErrors: f.syncErrors.Load(), SyncTime: time.Duration(f.syncNanos.Load()),
		LastSync: time.Duration(f.lastSync.Load()), WorstSync: time.Duration(f.worstSync.Load()),
		Passes: f.passes.Load(), PassErrors: f.passErrors.Load(), PassTime: time.Duration(f.passTime.Load()),
		SealedRows: f.sealedRows.Load(), Damage: f.damage.Load(),
		DiskBytes: f.diskBytes.Load(), FreeBytes: f.freeBytes.Load(), DiskFull: !s.free.Load(), Failing: s.syncFails.Load(),
		Rolls: s.rolls.made.Load(), RollErrors: s.rolls.errors.Load(), RollTime: time.Duration(s.rolls.time.Load()),
		Journal: s.journal.Stats(), Volumes: s.volumes.Stats(), Schemas: s.dictionary.Stats(), Ledger: s.ledger.Stats(),
	}
	for _, cause := range Causes() {
		if n := f.refused[cause].Load(); n > 0 {
			stats.Refused[cause] += n
		}
	}
	return stats
}
