package audit

import (
	"errors"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config bounds the log. It takes at most max_bytes times keep+1 of disk.
type Config struct {
	// MaxBytes is the size at which a file is put aside and a new one begun, about
	// 300 bytes an entry. Small files let the oldest entries go in small pieces.
	MaxBytes model.Bytes `toml:"max_bytes"`
	// Keep is the number of files put aside that are kept. More of them reach
	// further back and take more disk; what drops out is gone.
	Keep int `toml:"keep"`
	// Daemon is what entries without one get: the name of this daemon.
	Daemon string `toml:"-"`
}

// DefaultConfig takes at most 144 MiB, about 500,000 entries.
func DefaultConfig() Config { return Config{MaxBytes: 16 * model.MiB, Keep: 8} }

// Validate names every key that is wrong.
func (c Config) Validate() error {
	return errors.Join(
		model.FieldWithin("max_bytes", c.MaxBytes, 64*model.KiB, model.GiB),
		model.FieldWithin("keep", c.Keep, 1, 1000))
}
