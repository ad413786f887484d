package volume

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

var (
	// ErrNewerFormat: a newer release wrote the volume. It is left as it is.
	ErrNewerFormat = errors.New("written by a newer release")
	// ErrInvalid: what was given to the writer makes no volume.
	ErrInvalid = errors.New("invalid")
	// ErrEmpty: a volume without an entry is not written.
	ErrEmpty = errors.New("volume without an entry")
	// ErrNoBlock: the entry is one without a block.
	ErrNoBlock = errors.New("entry without a block")
	// ErrClosed: the set was closed, the file was let go, or the writer has ended.
	ErrClosed = errors.New("closed")
)

// Damage is a stretch of a volume that is not what was written, or cannot be
// read.
type Damage struct {
	// File is the path of the volume.
	File string
	// Offset is where the piece begins that does not fit its checksum, and Length
	// how many bytes that piece has.
	Offset, Length int64
	// Why says what is wrong there.
	Why string
	// Aside is the path to which the file was moved, "" when it is still in use.
	Aside string
	// Err is what was found inside of a block, a *block.Damage or a *Fault, or nil.
	Err error
}

func (d *Damage) Error() string {
	text := fmt.Sprintf("%q, offset %d: %s", d.File, d.Offset, d.Why)
	if d.Aside != "" {
		text += fmt.Sprintf("; set aside as %q", d.Aside)
	}
	return text
}

func (d *Damage) Unwrap() error { return d.Err }

// diskError says what was attempted, on what, and marks the error with
// durable.ErrFull or durable.ErrDisk.
func diskError(what, name string, err error) error {
	kind := durable.ErrDisk
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		kind = durable.ErrFull
	}
	return fmt.Errorf("%s %q: %w: %w", what, name, kind, err)
}
