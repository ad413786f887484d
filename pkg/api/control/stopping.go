package control

import (
	"context"
	"errors"
	"net/http"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
)

// ErrStopping is the cause (context.Cause) with which the server's base context
// ends when the daemon stops: a long poll that it cuts short is answered with
// it. See Stopping.
var ErrStopping = errors.New("coordinator is stopping")

// Stopping returns the base context of an http.Server that stops with ctx.
// Requests under way end with it, for the cause ErrStopping, which tells them
// from requests whose caller has gone.
func Stopping(ctx context.Context) context.Context {
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { cancel(ErrStopping) })
	return base
}

// replyEnded answers a poll whose request ended before anything had changed.
func replyEnded(w http.ResponseWriter, request context.Context) {
	switch cause := context.Cause(request); {
	case errors.Is(cause, ErrStopping):
		reply.Error(w, reply.Unavailable, ErrStopping.Error())
	case errors.Is(cause, context.DeadlineExceeded):
		reply.Error(w, reply.Timeout, "a request may not take longer here; poll with a shorter wait")
	default:
		reply.Error(w, reply.Canceled, "the caller has gone")
	}
}
