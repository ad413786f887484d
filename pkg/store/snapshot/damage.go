package snapshot

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

var (
	// ErrExists says that something is where a snapshot or a store is to be.
	ErrExists = errors.New("is there already")
	// ErrNone says that a folder holds no snapshot.
	ErrNone = errors.New("no snapshot")
)

// Damage is a file of a snapshot that is not what was written.
type Damage struct {
	File string // path
	Why  string
}

func (d *Damage) Error() string { return fmt.Sprintf("%q: %s", d.File, d.Why) }

// diskError says what was attempted, on what, and marks the error with durable.ErrFull or
// durable.ErrDisk.
func diskError(what, name string, err error) error {
	kind := durable.ErrDisk
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		kind = durable.ErrFull
	}
	return fmt.Errorf("%s %q: %w: %w", what, name, kind, err)
}
