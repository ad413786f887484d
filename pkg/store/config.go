package store

import (
	"cmp"
	"errors"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// Config says where and how much is kept.
type Config struct {
	// Dir holds everything the store writes. It belongs to one process at a time.
	Dir string `toml:"dir"`
	// Snapshots is the folder of the snapshots that are made by name; empty: snapshots in
	// Dir. On the same disk a snapshot takes next to no room until the retention
	// takes what it holds; on another one it is a copy, and a backup.
	Snapshots string `toml:"snapshots"`
	// Retention is for how long samples are kept. Longer: more history, more disk.
	// Shorter: the reverse. Whole volumes go, so a little more than this is there.
	Retention time.Duration `toml:"retention"`
	// MinuteRetention is for how long the rollups of one minute are kept; 0 makes
	// none. Longer: long graphs stay quick, and have something to show when the
	// samples are gone. Shorter: less disk, some 0.2 bytes a sample at one second.
	MinuteRetention time.Duration `toml:"minute_retention"`
	// HourRetention is for how long the rollups of one hour are kept; 0 makes none.
	// They take next to nothing.
	HourRetention time.Duration `toml:"hour_retention"`
	// RetentionSize is how large everything sealed may grow before the oldest
	// goes, even within the retention; 0 is no limit. The journal comes on top.
	// Larger: more history. Smaller: the disk is safe.
	RetentionSize model.Bytes `toml:"retention_size"`
	// SyncInterval is how long accepted records may wait for the fsync that
	// acknowledges them; at most 200ms. Longer: fewer fsyncs. Shorter: earlier
	// acknowledgements, smaller spools on the workers.
	SyncInterval time.Duration `toml:"sync_interval"`
	// SyncBytes is how much may be accepted before the fsync comes early.
	// More: fewer fsyncs under load. Less: workers' windows open sooner.
	SyncBytes model.Bytes `toml:"sync_bytes"`
	// SealAfter is how long records stay in the journal before they are sealed
	// into columns. Longer: blocks of more rows, which are smaller and quicker to
	// read. Shorter: less journal, and a quicker start.
	SealAfter time.Duration `toml:"seal_after"`
	// JournalBytes is how large the journal may grow before it is sealed early.
	// More: better blocks for large fleets. Less: less disk, and a quicker start.
	JournalBytes model.Bytes `toml:"journal_bytes"`
	// MaxSeries is how many series one worker may have. More: larger hosts fit.
	// Fewer: a broken or hostile worker costs less memory.
	MaxSeries int `toml:"max_series"`
	// MaxNewSeries is how many series one worker may bring that it did not have
	// before, per hour. More: hosts with many short-lived devices fit. Fewer:
	// the same protection over time, since their names are kept as long as samples.
	MaxNewSeries int `toml:"max_new_series"`
	// MaxFeedSeries is how many series each source of single samples may have, such
	// as a gateway or the results of rules. More: a larger one fits, for some 500
	// bytes a series. Fewer: one gone mad takes less memory.
	MaxFeedSeries int `toml:"max_feed_series"`
	// MaxWorkers is how many workers may have state in memory. More: larger
	// fleets. Fewer: less memory.
	MaxWorkers int `toml:"max_workers"`
	// SchemaBytes is how much memory names and labels of all series may take. More:
	// more kinds of hosts and more changes within the retention. Less: a worker
	// that changes its series all the time is refused sooner.
	SchemaBytes model.Bytes `toml:"schema_bytes"`
	// MinFree is how much of the disk must stay free for new data to be
	// accepted. More: sealing and the rest of the machine keep working.
	// Less: the disk is used further.
	MinFree model.Bytes `toml:"min_free"`
	// QueryBytes is how much memory the samples of one query may take. More:
	// larger questions are answered. Less: one of them harms the others less.
	QueryBytes model.Bytes `toml:"query_bytes"`
}

// maxSyncInterval is what the protocol promises for acknowledgements.
const maxSyncInterval = 200 * time.Millisecond

// DefaultConfig returns the configuration of a small collector; Dir is empty.
func DefaultConfig() Config {
	return Config{
		Retention:       30 * 24 * time.Hour,
		MinuteRetention: 90 * 24 * time.Hour,
		HourRetention:   2 * 365 * 24 * time.Hour,
		SyncInterval:    maxSyncInterval,
		SyncBytes:       4 * model.MiB,
		SealAfter:       2 * time.Hour,
		JournalBytes:    2 * model.GiB,
		MaxSeries:       20_000,
		MaxNewSeries:    100_000,
		MaxFeedSeries:   200_000,
		MaxWorkers:      20_000,
		SchemaBytes:     model.GiB,
		MinFree:         256 * model.MiB,
		QueryBytes:      128 * model.MiB,
	}
}

// Validate names every value that cannot work (model.FieldError).
func (c Config) Validate() error {
	var dir error
	if c.Dir == "" {
		dir = model.Fieldf("dir", "want a folder")
	}
	var snapshots error
	if c.Dir != "" && filepath.Clean(c.SnapshotFolder()) == filepath.Clean(c.Dir) {
		snapshots = model.Fieldf("snapshots", "want another folder than that of the store")
	}
	tier := func(key string, d time.Duration) error {
		if d == 0 {
			return nil
		}
		return model.FieldAtLeast(key, d, c.Retention, "retention or more, or 0 for none")
	}
	return errors.Join(dir, snapshots,
		model.FieldAtLeast("retention", c.Retention, 2*time.Hour),
		tier("minute_retention", c.MinuteRetention),
		tier("hour_retention", c.HourRetention),
		model.FieldWithin("sync_interval", c.SyncInterval, time.Millisecond, maxSyncInterval),
		model.FieldAtLeast("sync_bytes", c.SyncBytes, 64*model.KiB),
		model.FieldWithin("seal_after", c.SealAfter, time.Minute, 24*time.Hour),
		model.FieldAtLeast("journal_bytes", c.JournalBytes, 64*model.MiB),
		model.FieldAtLeast("max_series", c.MaxSeries, 1),
		model.FieldAtLeast("max_new_series", c.MaxNewSeries, max(1, c.MaxSeries), "max_series or more"),
		model.FieldWithin("max_feed_series", c.MaxFeedSeries, 1, 10_000_000),
		model.FieldAtLeast("max_workers", c.MaxWorkers, 1),
		model.FieldAtLeast("schema_bytes", c.SchemaBytes, 4*model.MiB),
		model.FieldAtLeast("query_bytes", c.QueryBytes, 4*model.MiB))
}

// SnapshotFolder is where snapshots are kept that are made by name.
func (c Config) SnapshotFolder() string {
	return cmp.Or(c.Snapshots, filepath.Join(c.Dir, "snapshots"))
}

// schemas is the dictionary's configuration.
func (c Config) schemas() schemas.Config {
	config := schemas.DefaultConfig()
	config.Bytes = c.SchemaBytes
	config.Sources = max(config.Sources, 2*c.MaxWorkers)
	return config
}

// ledger is the ledger's configuration.
func (c Config) ledger() ledger.Config {
	config := ledger.DefaultConfig()
	config.Retention = c.Retention
	return config
}

// limits are the head's.
func (c Config) limits() head.Limits {
	limits := head.DefaultLimits()
	limits.MaxSeries, limits.MaxNewSeries, limits.MaxWorkers, limits.Retention = c.MaxSeries, c.MaxNewSeries, c.MaxWorkers, c.Retention
	return limits
}

// query is what a query may take.
func (c Config) query() query.Options {
	options := query.DefaultOptions()
	options.Memory = c.QueryBytes
	options.Parallel = runtime.GOMAXPROCS(0)
	return options
}
