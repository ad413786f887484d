package middleware

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serving runs Serve on a free port. It returns the address, what ends it, and
// its outcome.
func serving(t *testing.T, handler http.HandlerFunc) (address string, listener net.Listener, stop func(), done <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	outcome := make(chan error, 1)
	go func() { outcome <- Serve(ctx, &http.Server{Handler: handler}, listener) }()
	return "http://" + listener.Addr().String(), listener, stop, outcome
}

// ask asks in the background. It gives the body, or the error.
func ask(t *testing.T, address string) <-chan string {
	got := make(chan string, 1)
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			got <- err.Error()
			return
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			got <- err.Error()
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- string(body)
	}()
	return got
}

func TestServeLetsRequestsFinish(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	address, _, stop, done := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-goOn
		_, _ = io.WriteString(w, "whole answer")
	})
	answer := ask(t, address)
	<-begun
	stop()
	select {
	case err := <-done:
		t.Fatalf("Serve returned %v while a request was under way", err)
	default:
	}
	close(goOn)
	if diff := cmp.Diff("whole answer", <-answer); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

// TestServeWaitsForHandlersItHasCutOff: a handler must not use what its daemon
// closes next.
func TestServeWaitsForHandlersItHasCutOff(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	address, _, stop, done := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done() // not before the grace is over
		close(over)
	})
	answer := ask(t, address)
	<-begun
	stop()
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil", err)
	}
	select {
	case <-over:
	default:
		t.Error("Serve returned while a handler ran")
	}
	<-answer
}

func TestServeAfterTheEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Serve(ctx, &http.Server{}, listener); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("close the listener: got %v, want that it is closed", err)
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	address, listener, _, done := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(over)
	})
	answer := ask(t, address)
	<-begun
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
	select {
	case <-over:
	default:
		t.Error("Serve returned while a handler ran")
	}
	<-answer
}

func TestAClosedGateLetsNobodyThrough(t *testing.T) {
	g := &gate{next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let through") })}
	g.close()
	defer func() {
		if r := recover(); r != http.ErrAbortHandler {
			t.Errorf("recovered %v, want %v", r, http.ErrAbortHandler)
		}
	}()
	g.ServeHTTP(nil, nil)
}
