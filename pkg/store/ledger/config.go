package ledger

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config says how much is kept.
type Config struct {
	// MaxBytes is how large the ledger's folder may grow. More: more single entries
	// before old ones are merged, and up to as much memory. Less: the reverse. A
	// fleet in order writes some 100 bytes for each restart of a worker.
	MaxBytes model.Bytes `toml:"max_bytes"`
	// Retention is for how long entries are kept. Longer than samples are kept:
	// figures about what is gone anyway. Shorter: holes in the data without a
	// cause.
	Retention time.Duration `toml:"retention"`
	// MaxPerWorker is how many entries a worker may have before its oldest ones
	// are merged. More: more detail about workers in trouble. Fewer: they take less
	// memory (some 250 bytes an entry).
	MaxPerWorker int `toml:"max_per_worker"`
}

// DefaultConfig returns the configuration of a small collector.
func DefaultConfig() Config {
	return Config{MaxBytes: 64 * model.MiB, Retention: 30 * 24 * time.Hour, MaxPerWorker: 10_000}
}

// Validate names every value that cannot work (model.FieldError).
func (c Config) Validate() error {
	return errors.Join(
		model.FieldWithin("max_bytes", c.MaxBytes, model.MiB, 64*model.GiB),
		model.FieldAtLeast("retention", c.Retention, time.Hour),
		model.FieldWithin("max_per_worker", c.MaxPerWorker, 16, 1_000_000))
}

// mostLive is how many bytes entries may have, written once. The log holds some of
// them several times.
func (c Config) mostLive() int64 { return int64(c.MaxBytes / 4) }

// slack is by how much the log may be longer than it need be before it is written
// anew: besides twice what is live.
func (c Config) slack() int64 { return int64(c.MaxBytes / 8) }

func (c Config) segmentBytes() model.Bytes { return max(16*model.KiB, min(4*model.MiB, c.MaxBytes/64)) }

// Deps are what a ledger needs of others. Fields that are nil have the defaults that are
// named here.
type Deps struct {
	FS     durable.FS       // durable.OS()
	Now    func() time.Time // time.Now
	Random io.Reader        // crypto/rand
	Log    *slog.Logger     // slog.DiscardHandler
}

func (d Deps) withDefaults() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}
