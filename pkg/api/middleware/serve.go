package middleware

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// serveGrace is how long requests under way may take when the server stops.
const serveGrace = 3 * time.Second

// Serve serves HTTP on listener until ctx ends; then requests under way have a
// few seconds to finish, those that take longer are cut off, and it returns
// nil. When the listener fails, all are cut off and it returns why. In both
// cases no handler runs any more, so that what handlers use can be closed. It
// takes the server over: nobody else may use it.
func Serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	handlers := &gate{next: server.Handler}
	server.Handler = handlers
	defer handlers.close()
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { stopped <- shutdown(ctx, server) })
	err := server.Serve(listener)
	if stop() { // ctx has not ended: the listener broke
		return errors.Join(err, server.Close())
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		err = nil // by us, or by whoever ends with us
	}
	return errors.Join(err, <-stopped)
}

// shutdown lets requests finish, and cuts off those that take too long.
func shutdown(ctx context.Context, server *http.Server) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveGrace)
	defer cancel()
	if server.Shutdown(bounded) == nil {
		return nil
	}
	return server.Close()
}

// gate lets requests through until it is closed. The server does not wait for
// handlers whose connections it has cut off; closing the gate does.
type gate struct {
	next http.Handler

	running sync.RWMutex // held for reading by each handler; guards closed
	closed  bool
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.running.RLock()
	defer g.running.RUnlock()
	if g.closed {
		panic(http.ErrAbortHandler) // the connection is gone, or about to go
	}
	g.next.ServeHTTP(w, r)
}

// close returns when no handler runs, and none will.
func (g *gate) close() {
	g.running.Lock()
	defer g.running.Unlock()
	g.closed = true
}
