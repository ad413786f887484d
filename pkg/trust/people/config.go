package people

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config bounds sessions and guesses.
type Config struct {
	// SessionIdle ends a session that nobody has used for so long. Shorter: whoever
	// finds an unlocked screen has less time; longer: fewer logins.
	SessionIdle time.Duration `toml:"session_idle"`
	// SessionMax ends every session at that age, used or not: the longest time for
	// which a stolen cookie is good.
	SessionMax time.Duration `toml:"session_max"`
	// MaxSessions is how many there are at a time; beyond, the one that was idle for
	// longest ends. Each takes about 300 bytes.
	MaxSessions int `toml:"max_sessions"`
	// MaxSessionsPerUser does the same for one user: his browsers.
	MaxSessionsPerUser int `toml:"max_sessions_per_user"`
	// LockAfter is the number of wrong passwords in a row after which a user is
	// locked; an address, from which several people may come, after four times as
	// many. Few lock out those who mistype, many help those who guess.
	LockAfter int `toml:"lock_after"`
	// LockFor is how long the first lock lasts. It doubles with each further
	// failure, up to an hour or this, whichever is longer.
	LockFor time.Duration `toml:"lock_for"`
}

// DefaultConfig returns what an empty file means.
func DefaultConfig() Config {
	return Config{SessionIdle: 2 * time.Hour, SessionMax: 24 * time.Hour, MaxSessions: 1000, MaxSessionsPerUser: 20,
		LockAfter: 5, LockFor: time.Minute}
}

// Validate names every key that is wrong.
func (c Config) Validate() error {
	return errors.Join(
		model.FieldWithin("session_idle", c.SessionIdle, time.Minute, 30*24*time.Hour),
		model.FieldWithin("session_max", c.SessionMax, time.Minute, 90*24*time.Hour),
		model.FieldWithin("max_sessions", c.MaxSessions, 1, 100_000),
		model.FieldWithin("max_sessions_per_user", c.MaxSessionsPerUser, 1, 1000),
		model.FieldWithin("lock_after", c.LockAfter, 1, 1000),
		model.FieldWithin("lock_for", c.LockFor, time.Second, 24*time.Hour))
}
