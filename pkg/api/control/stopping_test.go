package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

// waited tells when a poll has begun to wait.
type waited struct {
	*registry
	begun chan struct{}
}

func (w waited) Changes(ctx context.Context, since uint64) (api.WorkerChanges, error) {
	close(w.begun)
	return w.registry.Changes(ctx, since)
}

func TestALongPollIsToldThatTheCoordinatorStops(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		ctx, stop := context.WithCancel(t.Context())
		r := waited{newRegistry(), make(chan struct{})}
		server := httptest.NewUnstartedServer(muxOf(r))
		server.Config.BaseContext = func(net.Listener) context.Context { return Stopping(ctx) }
		server.EnableHTTP2 = http2
		server.StartTLS()
		t.Cleanup(server.Close)
		client, err := api.NewControlClient(server.URL, &http.Client{Transport: asCollector{server.Client().Transport}})
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := client.Workers(t.Context(), 7, api.MaxWait)
			failed <- err
		}()
		<-r.begun
		stop()
		var refused *api.Error
		if err := <-failed; !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable ||
			refused.Error() != "unavailable: coordinator is stopping" {
			t.Errorf("HTTP/2 %v: got %v, want 503 unavailable: coordinator is stopping", http2, err)
		}
	}
}

func TestWhyAPollEndsEarly(t *testing.T) {
	f := func(end func(context.Context) (context.Context, context.CancelFunc), status int, text string) {
		t.Helper()
		ctx, cancel := end(t.Context())
		defer cancel()
		w := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, api.PathControlWorkers+"?since=7&wait=20s", nil)
		request.Header.Set("X-Who", "collector")
		muxOf(newRegistry()).ServeHTTP(w, request)
		if w.Code != status || !strings.Contains(w.Body.String(), text) {
			t.Errorf("got %d %s, want %d with %q", w.Code, w.Body, status, text)
		}
	}
	f(func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, cancel
	}, 499, "the caller has gone")
	f(func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Millisecond) // the server's limit for a request
	}, http.StatusServiceUnavailable, "timeout")
	f(func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		base := Stopping(ctx)
		cancel()
		<-base.Done()
		return base, cancel
	}, http.StatusServiceUnavailable, "coordinator is stopping")
}

// TestWhatHasChangedIsToldEvenAtTheEnd: the caller need not ask the next
// coordinator for it.
func TestWhatHasChangedIsToldEvenAtTheEnd(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	base := Stopping(ctx)
	stop()
	<-base.Done()
	w := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(base, http.MethodGet, api.PathControlWorkers+"?since=6&wait=20s", nil)
	request.Header.Set("X-Who", "collector")
	muxOf(newRegistry()).ServeHTTP(w, request)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"version":7`) {
		t.Errorf("got %d %s, want the change", w.Code, w.Body)
	}
}

func muxOf(r Registry) *http.ServeMux {
	mux := http.NewServeMux()
	New(r, all(byHeader), slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now).Register(mux,
		func(_ string, next http.Handler) http.Handler { return next })
	return mux
}
