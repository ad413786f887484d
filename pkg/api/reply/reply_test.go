package reply

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestErrorsAreAnsweredByTheirKind(t *testing.T) {
	f := func(err error, status int, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		Failure(w, err)
		if w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%v: got %d %s, want %d with %s", err, w.Code, w.Body, status, want)
		}
	}
	f(fmt.Errorf("token 12: %w", ErrNotFound), 404, `"errorType":"not_found","error":"token 12: not found"`)
	f(Because(ErrNotFound, "no token %d", 12), 404, `"error":"no token 12"`)
	f(fmt.Errorf("approve: %w", Because(ErrConflict, "taken")), 409, `"errorType":"conflict","error":"approve: taken"`)
	f(ErrInvalid, 400, "bad_data")
	f(ErrForbidden, 403, "forbidden")
	f(ErrBusy, 429, "busy")
	f(ErrUnavailable, 503, "unavailable")
	f(context.Canceled, 499, "canceled")
	f(context.DeadlineExceeded, 503, "timeout")
	f(errors.New("disk on fire"), 500, "internal")
}
