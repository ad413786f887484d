package kernel

import (
	"errors"
	"fmt"
	iofs "io/fs"

	"golang.org/x/sys/unix"
)

// NotThere reports whether err says that this host does not have the thing:
// no such file, the device went away, or the feature is switched off. It is
// not a failure; anything else is.
func NotThere(err error) bool {
	// One by one, as errors.As allocates, and this is asked in every round.
	return errors.Is(err, iofs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) ||
		errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENXIO)
}

// FormatError says that a file does not look as the kernel prints it.
type FormatError struct {
	Format string // which parser: "diskstats"
	Line   int    // counted from 1; 0: the file as a whole
	Want   string // what the parser expected
	Text   string // the beginning of what it found
}

func (e *FormatError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: want %s", e.Format, e.Want)
	}
	return fmt.Sprintf("%s: line %d: want %s, got %q", e.Format, e.Line, e.Want, e.Text)
}

// formatError keeps at most the beginning of text: it may be a megabyte.
func formatError(format string, line int, want string, text []byte) error {
	const most = 60
	if len(text) > most {
		text = text[:most]
	}
	return &FormatError{Format: format, Line: line, Want: want, Text: string(text)}
}
