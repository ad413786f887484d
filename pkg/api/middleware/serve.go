package middleware

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// serveGrace is how long requests under way may take when the server stops.
const serveGrace = 3 * time.Second

// Serve serves HTTP on listener until ctx ends; then requests under way have a
// few seconds to finish, and it returns nil.
func Serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveGrace)
		defer cancel()
		if server.Shutdown(bounded) == nil {
			stopped <- nil
			return
		}
		stopped <- server.Close()
	})
	err := server.Serve(listener)
	if stop() {
		return err // ctx has not ended: the listener broke
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, <-stopped)
}
