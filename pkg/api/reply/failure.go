package reply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// What an implementation behind a handler wraps to say which kind of answer its
// error is. Anything else is a fault of the daemon.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")
	ErrInvalid     = errors.New("invalid")
	ErrForbidden   = errors.New("forbidden")
	ErrBusy        = errors.New("busy")
	ErrUnavailable = errors.New("unavailable")
)

// Because returns an error that reads as the text and wraps kind, one of the
// above.
func Because(kind error, format string, args ...any) error {
	return &because{kind: kind, text: fmt.Sprintf(format, args...)}
}

type because struct {
	kind error
	text string
}

func (b *because) Error() string { return b.text }
func (b *because) Unwrap() error { return b.kind }

// KindOf says which kind of answer an error is: Internal when nothing tells.
func KindOf(err error) Kind {
	for _, known := range []struct {
		err  error
		kind Kind
	}{
		{ErrNotFound, NotFound}, {ErrConflict, Conflict}, {ErrInvalid, BadData}, {ErrForbidden, Forbidden},
		{ErrBusy, Busy}, {ErrUnavailable, Unavailable}, {context.Canceled, Canceled}, {context.DeadlineExceeded, Timeout},
	} {
		if errors.Is(err, known.err) {
			return known.kind
		}
	}
	return Internal
}

// Failure answers with an error of an implementation.
func Failure(w http.ResponseWriter, err error) { Error(w, KindOf(err), err.Error()) }
