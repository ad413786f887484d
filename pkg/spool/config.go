package spool

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config bounds the log.
type Config struct {
	// MaxBytes is the memory that records may take, bookkeeping included. More
	// bridges a longer outage of the collector (a host of 500 series at 1 s makes
	// about 1 MiB an hour), less leaves more of the host to its work.
	MaxBytes model.Bytes `toml:"max_bytes"`
	// MaxAge is for how long records wait for the collector. More keeps more of a
	// long outage, less delivers fewer old frames before the newest ones when
	// it is over.
	MaxAge time.Duration `toml:"max_age"`
}

// The bounds of MaxBytes. In the least of it the largest record and its
// definitions fit.
const (
	smallest = 4 * model.MiB
	largest  = model.TiB
)

// DefaultConfig returns 64 MiB and one day.
func DefaultConfig() Config {
	return Config{MaxBytes: 64 * model.MiB, MaxAge: 24 * time.Hour}
}

// Validate names every field that is wrong (model.FieldError).
func (c Config) Validate() error {
	return errors.Join(
		model.FieldWithin("max_bytes", c.MaxBytes, smallest, largest),
		model.FieldAtLeast("max_age", c.MaxAge, time.Second))
}
