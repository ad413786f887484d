package schemas

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config bounds what strangers can make grow.
type Config struct {
	// Bytes is about how much memory all of it may take. More:
	// more kinds of hosts and more changes fit into the retention. Less: a
	// worker that changes its schema with every frame is refused sooner.
	Bytes model.Bytes `toml:"bytes"`
	// Sources is how many workers (each label set of one counts) may have data.
	// More: larger fleets. Fewer: less memory (some 0.5 KiB each).
	Sources int `toml:"sources"`
	// Spans is how many spans one source may have: about how many times its
	// streams may change their schema within the retention. More: hosts with many
	// short-lived devices. Fewer: one such host costs less (some 1 KiB a change).
	Spans int `toml:"spans"`
	// Pause is how long a stream may be without frames of a schema, or have
	// another one, before the next such frame begins a new span. Longer: fewer
	// spans of devices that come and go. Shorter: queries look for data in fewer
	// places where there is none.
	Pause time.Duration `toml:"pause"`
}

// maxShapes is how many different sets of host label names there may be: every
// selection goes through all of them.
const maxShapes = 256

// DefaultConfig fits the largest fleet of one collector.
func DefaultConfig() Config {
	return Config{Bytes: 1 << 30, Sources: 100_000, Spans: 65_536, Pause: time.Hour}
}

// Validate names every value that cannot work (model.FieldError).
func (c Config) Validate() error {
	return errors.Join(
		model.FieldAtLeast("bytes", c.Bytes, 4*model.MiB),
		model.FieldAtLeast("sources", c.Sources, 1),
		model.FieldAtLeast("spans", c.Spans, 1),
		model.FieldWithin("pause", c.Pause, 0, 30*24*time.Hour))
}
