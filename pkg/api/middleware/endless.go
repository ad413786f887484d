package middleware

import (
	"context"
	"net/http"
	"time"
)

// limited carries what a request had before the stack bounded its time.
type limited struct{}

// Endless takes the limits of time off a request whose answer lasts as long as
// the connection: those on reading and writing, and that of the context. The
// returned request's context ends when the connection or the server does, or
// with release, which the handler calls before it returns. Each write needs a
// deadline of its own (http.ResponseController), or a caller that reads nothing
// holds the handler for ever. Outside a stack it changes the deadlines only.
func Endless(w http.ResponseWriter, r *http.Request) (endless *http.Request, release func()) {
	control := http.NewResponseController(w)
	// Writers without a connection, as in tests, refuse deadlines.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	before, ok := r.Context().Value(limited{}).(context.Context)
	if !ok {
		before = r.Context()
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(before, func() { cancel(context.Cause(before)) })
	return r.WithContext(ctx), func() {
		stop()
		cancel(context.Canceled)
	}
}
