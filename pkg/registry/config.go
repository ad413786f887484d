package registry

import (
	"fmt"
	"time"
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

// Validate reports the first field that is out of bounds, by its TOML name.
func (c Config) Validate() error {
	switch {
	case c.KeepAliveMin < 100*time.Millisecond:
		return fmt.Errorf("keep_alive_min = %q: want at least 100ms", c.KeepAliveMin)
	case c.KeepAliveMax < c.KeepAliveMin || c.KeepAliveMax > longestKeepAlive:
		return fmt.Errorf("keep_alive_max = %q: want keep_alive_min (%v) to %v", c.KeepAliveMax, c.KeepAliveMin, longestKeepAlive)
	case c.KeepAlive < c.KeepAliveMin || c.KeepAlive > c.KeepAliveMax:
		return fmt.Errorf("keep_alive = %q: want keep_alive_min (%v) to keep_alive_max (%v)", c.KeepAlive, c.KeepAliveMin, c.KeepAliveMax)
	case c.RetryLimit < 1 || c.RetryLimit > maxRetryLimit:
		return fmt.Errorf("retry_limit = %d: want 1 to %d", c.RetryLimit, maxRetryLimit)
	case c.CoolDown < 0 || c.CoolDown > longestKeepAlive:
		return fmt.Errorf("cool_down = %q: want 0s to %v", c.CoolDown, longestKeepAlive)
	case c.ForgetAfter < 0 || c.ForgetAfter > 0 && c.ForgetAfter < time.Minute:
		return fmt.Errorf("forget_after = %q: want 0s (never) or at least 1m", c.ForgetAfter)
	case c.MaxWorkers < 1 || c.MaxWorkers > maxWorkersLimit:
		return fmt.Errorf("max_workers = %d: want 1 to %d", c.MaxWorkers, maxWorkersLimit)
	case c.MaxCandidates < 1 || c.MaxCandidates > maxWorkersLimit:
		return fmt.Errorf("max_candidates = %d: want 1 to %d", c.MaxCandidates, maxWorkersLimit)
	case c.PersistInterval <= 0 || c.PersistInterval > time.Minute:
		return fmt.Errorf("persist_interval = %q: want more than 0s and at most 1m", c.PersistInterval)
	case c.LockTimeout <= 0 || c.LockTimeout > time.Minute:
		return fmt.Errorf("lock_timeout = %q: want more than 0s and at most 1m", c.LockTimeout)
	}
	return nil
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
