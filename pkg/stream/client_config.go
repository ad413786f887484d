package stream

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ClientConfig is how a worker keeps its stream.
type ClientConfig struct {
	// ConnectTimeout is how long a connection may take to be made, TLS and hello
	// included. Less finds a dead collector sooner, more gets through a slow
	// or crowded network.
	ConnectTimeout time.Duration `toml:"connect_timeout"`
	// PingInterval is how often the collector is asked for a sign of life and
	// its clock. More often measures clocks better and costs a packet each way.
	PingInterval time.Duration `toml:"ping_interval"`
	// IdleTimeout is how long the collector may be silent before the
	// connection is given up. Less notices a broken path sooner, more bears a
	// longer stall. At least two ping intervals.
	IdleTimeout time.Duration `toml:"idle_timeout"`
	// BackoffMin and BackoffMax bound the wait before connecting again: a random
	// part of BackoffMin after the first failure, twice as much after each
	// further one, up to BackoffMax. Less comes back sooner, more
	// spares a collector that is being overrun by its fleet.
	BackoffMin time.Duration `toml:"backoff_min"`
	BackoffMax time.Duration `toml:"backoff_max"`
	// RefusedRetry is the wait after a refusal that will not go away by itself.
	RefusedRetry time.Duration `toml:"refused_retry"`
	// Batch is the most that one message holds. More is cheaper when a backlog is
	// sent, less lets the stream react faster on slow lines.
	Batch model.Bytes `toml:"batch"`
	// StopTimeout is how long a stopping worker waits for the acknowledgement
	// of what it has sent. Less stops sooner, more loses less of what is not
	// kept over the stop.
	StopTimeout time.Duration `toml:"stop_timeout"`
	// BackfillRate is how many bytes of records a second the backfill connection
	// sends at most; 0: no limit. More has an outage made up for sooner, less
	// leaves more of the line, the collector and its disk to what happens now.
	BackfillRate model.Bytes `toml:"backfill_rate"`
}

// leastRate is the least BackfillRate besides 0: less would hold a record of
// maximal size for longer than anybody waits.
const leastRate = 16 * model.KiB

// DefaultClientConfig returns what suits a worker in a data centre.
func DefaultClientConfig() ClientConfig {
	return ClientConfig{
		ConnectTimeout: 10 * time.Second,
		PingInterval:   15 * time.Second,
		IdleTimeout:    45 * time.Second,
		BackoffMin:     500 * time.Millisecond,
		BackoffMax:     30 * time.Second,
		RefusedRetry:   5 * time.Minute,
		Batch:          128 * model.KiB,
		StopTimeout:    2 * time.Second,
		BackfillRate:   4 * model.MiB,
	}
}

// Validate names the fields that are wrong (model.FieldError).
func (c ClientConfig) Validate() error {
	var slow error
	if c.BackfillRate != 0 {
		slow = model.FieldWithin("backfill_rate", c.BackfillRate, leastRate, model.TiB, "or 0 for no limit")
	}
	return errors.Join(
		model.FieldWithin("connect_timeout", c.ConnectTimeout, time.Millisecond, time.Hour),
		model.FieldWithin("ping_interval", c.PingInterval, time.Millisecond, time.Hour),
		model.FieldWithin("idle_timeout", c.IdleTimeout, 2*c.PingInterval, 24*time.Hour, "twice ping_interval or more"),
		model.FieldWithin("backoff_min", c.BackoffMin, time.Millisecond, time.Hour),
		model.FieldWithin("backoff_max", c.BackoffMax, c.BackoffMin, time.Hour, "backoff_min or more"),
		model.FieldWithin("refused_retry", c.RefusedRetry, c.BackoffMin, 24*time.Hour, "backoff_min or more"),
		model.FieldWithin("batch", c.Batch, 4*model.KiB, maxBody),
		model.FieldWithin("stop_timeout", c.StopTimeout, time.Millisecond, time.Minute),
		slow,
	)
}

// ClientDeps is what a Client works with. All but Log are required.
type ClientDeps struct {
	// Supply says what there is to send.
	Supply Supply
	// Connect makes a secured connection to the collector at addr, host:port.
	// See TLSConnect.
	Connect func(ctx context.Context, addr string) (net.Conn, error)
	// Now is the clock whose offset from the collector's is measured.
	Now func() time.Time
	// Random returns numbers from 0 to below 1, for the jitter of waits. It is
	// called by one goroutine at a time.
	Random func() float64
	Log    *slog.Logger
}

func (d ClientDeps) check() error {
	if d.Supply == nil || d.Connect == nil || d.Now == nil || d.Random == nil {
		return errors.New("stream client: a dependency is missing")
	}
	return nil
}
