package people

import (
	"errors"
	"fmt"
	"time"
)

// Errors that a caller decides on. None holds a secret.
var (
	// ErrWrong: no such user, or not his password; it does not say which.
	ErrWrong = errors.New("wrong name or password")
	// ErrLocked is what a *LockedError is.
	ErrLocked = errors.New("locked after repeated failures")
	// ErrBusy: others are logging in, or the context has ended; nothing was tried.
	ErrBusy = errors.New("too many logins at once, try again")
	// ErrNoUser: there is none of that name.
	ErrNoUser = errors.New("no such user")
	// ErrNoToken: there is none with that id, or it is not the asker's.
	ErrNoToken = errors.New("no such API token")
	// ErrFull: MaxUsers, MaxTokens or MaxTokensPerOwner is reached.
	ErrFull = errors.New("no room for another one, remove one first")
	// ErrScope: a token must not be able to do more than its owner.
	ErrScope = errors.New("a reader cannot make a token for administration")
	// ErrInput is what every error about a name, a password or a label is.
	ErrInput = errors.New("not acceptable")
)

// LockedError says until when; errors.Is finds ErrLocked.
type LockedError struct {
	Until time.Time
	// Source says that it is the address which is locked, not the name.
	Source bool
}

func (e *LockedError) Error() string {
	whom := "this user is"
	if e.Source {
		whom = "this address is"
	}
	return fmt.Sprintf("%s locked after repeated failures, until %s", whom, e.Until.UTC().Format(time.RFC3339))
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// inputError is an ErrInput with its own words.
type inputError string

func (e inputError) Error() string        { return string(e) }
func (e inputError) Is(target error) bool { return target == ErrInput }
