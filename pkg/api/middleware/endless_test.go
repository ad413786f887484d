package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnEndlessAnswerOutlastsTheLimitAndEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stack := New(Config{MaxBody: 1024, Timeout: time.Second, Compress: true}, slog.New(slog.DiscardHandler), time.Now)
		errGone := errors.New("gone")
		request, hangUp := context.WithCancelCause(t.Context())
		began := time.Now()
		var cause error
		var lasted time.Duration
		handler := stack.Wrap("endless", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, release := Endless(w, r)
			defer release()
			<-r.Context().Done()
			cause, lasted = context.Cause(r.Context()), time.Since(began)
		}))
		time.AfterFunc(time.Hour, func() { hangUp(errGone) })
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(request, http.MethodPost, "/", nil))
		if lasted != time.Hour || !errors.Is(cause, errGone) {
			t.Errorf("ended after %s for %v, want 1h and the request's own cause", lasted, cause)
		}
	})
}

func TestReleaseEndsAnEndlessContext(t *testing.T) {
	r, release := Endless(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))
	if r.Context().Err() != nil {
		t.Fatal("ended at once")
	}
	release()
	if r.Context().Err() == nil {
		t.Error("goes on after its release")
	}
}
