package registry

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config is the [registry] table of coordinatord.toml.
type Config struct {
	// KeepAlive is the lease of a worker that declares none. Shorter: silence is
	// noticed sooner, and a lost packet or two already makes a worker suspect.
	// Longer: a dead machine looks alive for longer.
	KeepAlive time.Duration `toml:"keep_alive"`
	// KeepAliveMin bounds what a worker may declare. Lower: a worker may ask for
	// many timer events and state changes. Higher: no worker can be watched
	// more closely than that.
	KeepAliveMin time.Duration `toml:"keep_alive_min"`
	// KeepAliveMax bounds what a worker may declare. Higher: a worker may be
	// silent for that long before anyone is told. Lower: workers that report
	// seldom, by intent, expire.
	KeepAliveMax time.Duration `toml:"keep_alive_max"`
	// RetryLimit is the number of refusals after which a worker is told to give
	// up for a while. Higher: more fruitless packets. Lower: a passing refusal
	// costs the worker a cool-down sooner.
	RetryLimit int `toml:"retry_limit"`
	// CoolDown is for how long a worker that has used up its retries is turned
	// away. Longer: fewer fruitless packets. Shorter: it is in sooner once the
	// cause is gone.
	CoolDown time.Duration `toml:"cool_down"`
	// ForgetAfter drops workers that have been expired or left for that long,
	// with their instance names, which others may then get. "0s" keeps them for
	// ever: names stay unique through all history, but in a fleet whose machines
	// come and go max_workers is reached one day.
	ForgetAfter time.Duration `toml:"forget_after"`
	// MaxWorkers bounds the workers ever admitted and not forgotten; beyond it new
	// ones are refused with "fleet is full". Each costs about 1 KiB of memory and
	// as much of disk.
	MaxWorkers int `toml:"max_workers"`
	// MaxCandidates bounds the remembered workers that are not admitted; the one
	// silent for longest makes room. Lower: in a flood of strangers a refused
	// worker gets its retry budget back too early. Each costs about 1 KiB.
	MaxCandidates int `toml:"max_candidates"`
	// PersistInterval is for how long changes are gathered before one write with
	// one fsync. Longer: fewer writes. Shorter: less is forgotten in a power
	// cut; a worker forgotten so registers again within a probe interval.
	PersistInterval time.Duration `toml:"persist_interval"`
	// LockTimeout is for how long to wait for another process to release the file
	// at start. Longer: survives a slow predecessor. Shorter: a second daemon
	// started by mistake says so sooner.
	LockTimeout time.Duration `toml:"lock_timeout"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		KeepAlive:       30 * time.Second,
		KeepAliveMin:    time.Second,
		KeepAliveMax:    time.Hour,
		RetryLimit:      3,
		CoolDown:        time.Minute,
		ForgetAfter:     0,
		MaxWorkers:      20_000,
		MaxCandidates:   4096,
		PersistInterval: 200 * time.Millisecond,
		LockTimeout:     5 * time.Second,
	}
}

// Bounds of the configuration. The number of workers is bounded so that a slip
// of the finger does not promise memory that is not there.
const (
	maxWorkersLimit  = 1_000_000
	maxRetryLimit    = 1000
	longestKeepAlive = 24 * time.Hour
)

// Validate names every field that is out of bounds (model.FieldError).
func (c Config) Validate() error {
	var keepAlive, forget error
	if c.KeepAliveMin <= c.KeepAliveMax { // otherwise one complaint about the bounds is enough
		keepAlive = model.FieldWithin("keep_alive", c.KeepAlive, c.KeepAliveMin, c.KeepAliveMax, "keep_alive_min to keep_alive_max")
	}
	if c.ForgetAfter < 0 || c.ForgetAfter > 0 && c.ForgetAfter < time.Minute {
		forget = model.Fieldf("forget_after", "%s: want 0s (never) or at least 1m", model.FormatDuration(c.ForgetAfter))
	}
	return errors.Join(
		keepAlive,
		model.FieldWithin("keep_alive_min", c.KeepAliveMin, 100*time.Millisecond, longestKeepAlive),
		model.FieldWithin("keep_alive_max", c.KeepAliveMax, max(c.KeepAliveMin, 100*time.Millisecond), longestKeepAlive, "keep_alive_min or more"),
		model.FieldWithin("retry_limit", c.RetryLimit, 1, maxRetryLimit),
		model.FieldWithin("cool_down", c.CoolDown, 0, longestKeepAlive),
		forget,
		model.FieldWithin("max_workers", c.MaxWorkers, 1, maxWorkersLimit),
		model.FieldWithin("max_candidates", c.MaxCandidates, 1, maxWorkersLimit),
		model.FieldWithin("persist_interval", c.PersistInterval, time.Millisecond, time.Minute),
		model.FieldWithin("lock_timeout", c.LockTimeout, time.Millisecond, time.Minute))
}

// Policy is the part of the configuration that Next goes by.
func (c Config) Policy() Policy {
	return Policy{
		KeepAlive:    c.KeepAlive,
		KeepAliveMin: c.KeepAliveMin,
		KeepAliveMax: c.KeepAliveMax,
		RetryLimit:   c.RetryLimit,
		CoolDown:     c.CoolDown,
		ForgetAfter:  c.ForgetAfter,
	}
}
