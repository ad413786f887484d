package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ServerConfig bounds what workers may take of a collector.
type ServerConfig struct {
	// MaxConnections is how many connections workers may have at once: each one,
	// and a second one while it has a backlog. One more is told to come back
	// later. At most a quarter of them are for backlogs, so that these do not
	// keep out what happens now. Each costs about 40 KiB.
	MaxConnections int `toml:"max_connections"`
	// HelloTimeout is how long a connection may take to say hello and to be
	// opened by the store.
	HelloTimeout time.Duration `toml:"hello_timeout"`
	// PingInterval is how often each worker is asked for a sign of life and its
	// clock. More often measures clocks better and costs a packet each way.
	PingInterval time.Duration `toml:"ping_interval"`
	// IdleTimeout is how long a worker may be silent, or take nothing of what is
	// sent to it, before its connection is given up. At least two ping
	// intervals.
	IdleTimeout time.Duration `toml:"idle_timeout"`
	// Window is how many bytes of records a worker may have sent that are not
	// yet stored durably. More lets a backlog come in faster over long ways,
	// less bounds what a worker makes the store hold in memory.
	Window model.Bytes `toml:"window"`
	// WindowTotal bounds the sum of all windows: with many workers each gets
	// less than Window, but never less than 64 KiB.
	WindowTotal model.Bytes `toml:"window_total"`
}

// leastWindow is what every connection is granted.
const leastWindow = 64 * model.KiB

// DefaultServerConfig returns what suits a fleet of ten thousand.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{
		MaxConnections: 16384,
		HelloTimeout:   10 * time.Second,
		PingInterval:   15 * time.Second,
		IdleTimeout:    45 * time.Second,
		Window:         model.MiB,
		WindowTotal:    256 * model.MiB,
	}
}

// Validate names the fields that are wrong (model.FieldError).
func (c ServerConfig) Validate() error {
	return errors.Join(
		model.FieldWithin("max_connections", c.MaxConnections, 1, maxConnections),
		model.FieldWithin("hello_timeout", c.HelloTimeout, time.Millisecond, time.Hour),
		model.FieldWithin("ping_interval", c.PingInterval, time.Millisecond, time.Hour),
		model.FieldWithin("idle_timeout", c.IdleTimeout, 2*c.PingInterval, 24*time.Hour, "twice ping_interval or more"),
		model.FieldWithin("window", c.Window, leastWindow, model.GiB),
		model.FieldWithin("window_total", c.WindowTotal, c.Window, model.TiB, "window or more"),
	)
}

// maxBackfills is how many of the connections may be for backlogs.
func (c ServerConfig) maxBackfills() int { return max(1, c.MaxConnections/4) }

// ServerDeps is what a Server works with. All but Admit and Log are required.
type ServerDeps struct {
	Sink Sink
	// Admit says whether a worker that has said hello may take the place of its
	// connection before of the same kind; nil: it always may. Errors are those of Sink.Open, which
	// is asked afterwards. Whoever is not admitted leaves the connection before
	// as it was: a second machine with a copy of a worker's key must not be able
	// to throw the first one out. Several goroutines ask at once; ctx bounds how
	// long that may take.
	Admit func(ctx context.Context, p Peer) error
	// Now is the clock from which workers' clocks are said to differ.
	Now func() time.Time
	Log *slog.Logger
}
