package spool

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config bounds the spool and says in which order it is emptied.
type Config struct {
	// MaxBytes is the disk space that records may take. More bridges a longer
	// outage of the collector (a host of 500 series at 1 s makes about 1 MiB an
	// hour), less leaves more of the disk to others. Definitions take up to 16 MiB
	// besides.
	MaxBytes model.Bytes `toml:"max_bytes"`
	// MaxAge is for how long records wait for the collector. More keeps more of a
	// long outage, less sends fewer old records when it is over.
	MaxAge time.Duration `toml:"max_age"`
	// SyncInterval is for how long a record that the collector does not have may be
	// lost by a power cut. Less loses less, more spares the disk: while the collector
	// acknowledges in time, hardly anything is synced.
	SyncInterval time.Duration `toml:"sync_interval"`
	// Order is NewestFirst or OldestFirst.
	Order Order `toml:"order"`
	// LiveBacklog is how many bytes are simply sent in order before the newest
	// values when the collector is back. More keeps them waiting for longer, less
	// makes a second connection for shorter breaks.
	LiveBacklog model.Bytes `toml:"live_backlog"`
}

// Order says what goes first when the collector is back.
type Order string

const (
	// NewestFirst: what is measured now goes out at once, and what was left
	// behind follows beside it, the newest of it first.
	NewestFirst Order = "newest-first"
	// OldestFirst: everything goes out in the order in which it was measured.
	OldestFirst Order = "oldest-first"
)

// The bounds of MaxBytes. In the least of it the largest record fits.
const (
	smallest = 4 * model.MiB
	largest  = model.TiB
)

// DefaultConfig returns 256 MiB and one day, newest first.
func DefaultConfig() Config {
	return Config{MaxBytes: 256 * model.MiB, MaxAge: 24 * time.Hour, SyncInterval: 10 * time.Second,
		Order: NewestFirst, LiveBacklog: model.MiB}
}

// Validate names every field that is wrong (model.FieldError).
func (c Config) Validate() error {
	var order error
	if c.Order != NewestFirst && c.Order != OldestFirst {
		order = model.Fieldf("order", "is %q; want %q or %q", string(c.Order), NewestFirst, OldestFirst)
	}
	return errors.Join(
		model.FieldWithin("max_bytes", c.MaxBytes, smallest, largest),
		model.FieldAtLeast("max_age", c.MaxAge, time.Second),
		model.FieldWithin("sync_interval", c.SyncInterval, 100*time.Millisecond, time.Hour),
		order,
		model.FieldWithin("live_backlog", c.LiveBacklog, 0, model.GiB))
}

// segment is the size of the pieces in which records leave the disk.
func (c Config) segment() model.Bytes { return min(max(c.MaxBytes/64, 4*model.KiB), 4*model.MiB) }

// Sizes that no configuration changes.
const (
	// maxUnsynced is how much the log keeps in memory until it is synced, in bytes:
	// it syncs by itself beyond.
	maxUnsynced = 512 * model.KiB
	// maxMemory bounds what waits in memory while the disk does not take it.
	maxMemory = 8 * model.MiB
	// maxDefinitions bounds parts and schemas that are in use.
	maxDefinitions = 16 * model.MiB
	// maxGroup bounds the frames that follow a key frame, so that what brings a
	// decoder up to date stays small.
	maxGroup = model.MiB
	// chunkBytes is how far apart the places are from which reading can start.
	chunkBytes = 64 * model.KiB
	// idleBytes is how many bytes of other records make a stream count as ended: its
	// next frame has to be a key frame.
	idleBytes = 4 * model.MiB
	// maxStreams bounds the streams of one worker.
	maxStreams = 1024
	// maxHoles bounds the stretches that are left behind; beyond, the live stretch
	// begins with the newest of them.
	maxHoles = 16
)

// limits are these sizes as a Spool has them; tests make them small.
type limits struct {
	segment, unsynced, memory, definitions, group, chunk, idle model.Bytes
	// gaps and told bound the gap events of one drop: those that are new, and those that
	// are told again. All of them are smaller than what is dropped.
	gaps, told int
}

func (c Config) limits() limits {
	return limits{segment: c.segment(), unsynced: maxUnsynced, memory: maxMemory, definitions: maxDefinitions,
		group: maxGroup, chunk: chunkBytes, idle: idleBytes,
		gaps: int(min(max(1, c.segment()/(8*model.KiB)), maxGaps)), told: int(min(max(4, c.segment()/(2*model.KiB)), maxTold))}
}
