package store

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config says where and how much is kept.
type Config struct {
	// Dir holds everything the store writes. It belongs to one process at a time.
	Dir string `toml:"dir"`
	// Retention is for how long samples are kept. Longer: more history, more disk.
	// Shorter: the reverse. Whole blocks go, so a little more than this is there.
	Retention time.Duration `toml:"retention"`
	// RetentionSize is how large the blocks may grow before the oldest go, even
	// within the retention; 0 is no limit. The head and its log (the last two
	// to three hours) come on top. Larger: more history. Smaller: the disk is safe.
	RetentionSize model.Bytes `toml:"retention_size"`
	// OutOfOrder is how far behind the newest sample of the fleet a frame may
	// lie and still be stored. Longer: workers that were cut off can deliver
	// more of their spool. Shorter: less disk and merging for late data.
	OutOfOrder time.Duration `toml:"out_of_order"`
	// SyncInterval is how long accepted records may wait for the fsync that
	// acknowledges them; at most 200ms. Longer: fewer fsyncs. Shorter: earlier
	// acknowledgements, smaller spools on the workers.
	SyncInterval time.Duration `toml:"sync_interval"`
	// SyncBytes is how much may be accepted before the fsync comes early.
	// More: fewer fsyncs under load. Less: workers' windows open sooner.
	SyncBytes model.Bytes `toml:"sync_bytes"`
	// MaxSeries is how many series one worker may have. More: larger hosts fit.
	// Fewer: a broken or hostile worker costs less memory (some 2 KiB a series).
	MaxSeries int `toml:"max_series"`
	// MaxNewSeries is how many series one worker may bring that it did not have
	// before, per hour. More: hosts with many short-lived devices fit. Fewer:
	// the same protection over time, since series live on in memory for hours.
	MaxNewSeries int `toml:"max_new_series"`
	// MaxWorkers is how many workers may have state in memory. More: larger
	// fleets. Fewer: less memory (some 20 KiB a worker of 600 series, besides
	// its series).
	MaxWorkers int `toml:"max_workers"`
	// PartBytes is how large the dictionary of parts may grow on disk before
	// the parts unused for longest go. Larger: fewer parts are sent again.
	// Smaller: less disk, and a quicker start.
	PartBytes model.Bytes `toml:"part_bytes"`
	// MinFree is how much of the disk must stay free for new data to be
	// accepted. More: compaction and the rest of the machine keep working.
	// Less: the disk is used further.
	MinFree model.Bytes `toml:"min_free"`
}

// maxSyncInterval is what the protocol promises for acknowledgements.
const maxSyncInterval = 200 * time.Millisecond

// DefaultConfig returns the configuration of a small collector; Dir is empty.
func DefaultConfig() Config {
	return Config{
		Retention:     30 * 24 * time.Hour,
		RetentionSize: 0,
		// A worker's spool may be told to keep a day, and a fleet's newest
		// sample may be an hour ahead.
		OutOfOrder:   25 * time.Hour,
		SyncInterval: maxSyncInterval,
		SyncBytes:    4 * model.MiB,
		MaxSeries:    20_000,
		MaxNewSeries: 100_000,
		MaxWorkers:   20_000,
		PartBytes:    256 * model.MiB,
		MinFree:      256 * model.MiB,
	}
}

// Validate names every value that cannot work (model.FieldError).
func (c Config) Validate() error {
	const least = 2 * time.Hour // the database cuts its blocks at two hours
	var dir, outOfOrder error
	if c.Dir == "" {
		dir = model.Fieldf("dir", "want a folder")
	}
	if c.Retention >= least {
		outOfOrder = model.FieldWithin("out_of_order", c.OutOfOrder, least, c.Retention, "retention or less")
	}
	return errors.Join(dir,
		model.FieldAtLeast("retention", c.Retention, least),
		outOfOrder,
		model.FieldWithin("sync_interval", c.SyncInterval, time.Millisecond, maxSyncInterval),
		model.FieldAtLeast("sync_bytes", c.SyncBytes, 64*model.KiB),
		model.FieldAtLeast("max_series", c.MaxSeries, 1),
		model.FieldAtLeast("max_new_series", c.MaxNewSeries, max(1, c.MaxSeries), "max_series or more"),
		model.FieldAtLeast("max_workers", c.MaxWorkers, 1),
		model.FieldAtLeast("part_bytes", c.PartBytes, 4*model.MiB))
}
