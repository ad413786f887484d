package query

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Options bound what one query may take.
type Options struct {
	// Memory is how many bytes of decoded samples a query may keep. What is beyond is
	// decoded twice: once to find damage, and once for each series when its turn
	// comes. More: long ranges of many series are faster. Less: many of them at the same time
	// fit into the machine.
	Memory model.Bytes `toml:"memory"`
	// Samples is how many samples a query may decode; one that needs more fails, and
	// says what to narrow. More: year-long ranges of a whole fleet are answered, in
	// minutes. Less: one careless query does not keep a core busy for long.
	Samples int64 `toml:"samples"`
	// Lookback is the engine's: how old the newest sample of a series may be to still
	// count.
	Lookback time.Duration `toml:"-"`
	// Parallel is how many goroutines may decode for one query; below 1 means 1.
	Parallel int `toml:"-"`
}

// DefaultOptions are for a small collector, on which few large queries run at a time.
func DefaultOptions() Options {
	return Options{Memory: 128 * model.MiB, Samples: 500_000_000, Lookback: 5 * time.Minute, Parallel: 2}
}

// Validate names every value that cannot work (model.FieldError).
func (o Options) Validate() error {
	return errors.Join(
		model.FieldWithin("memory", o.Memory, model.MiB, 1<<40),
		model.FieldWithin("samples", o.Samples, 1_000_000, 1<<50))
}
