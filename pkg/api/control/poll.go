package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
)

// maxPolls bounds the long polls held open at once: a fleet has a few
// collectors and operators. Beyond it a poll is refused as busy.
const maxPolls = 256

// poll waits by ask for what is newer than the version that the caller has, for as
// long as the caller wants to, and has it answered; news is nil when there is
// nothing new. Everything else that may come of it, poll answers itself.
func poll[T any](h *Handlers, w http.ResponseWriter, r *http.Request, ask func(ctx context.Context, since uint64) (T, error), answer func(since uint64, news *T)) {
	since, wait, err := pollOf(r)
	if err != nil {
		reply.Error(w, reply.BadData, err.Error())
		return
	}
	select {
	case h.polls <- struct{}{}:
		defer func() { <-h.polls }()
	default:
		reply.Error(w, reply.Busy, fmt.Sprintf("%d polls are open already", maxPolls))
		return
	}
	// Without a wait the context is done at once: what there is, or nothing.
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	news, err := ask(ctx, since)
	switch {
	case err == nil:
		answer(since, &news)
	case r.Context().Err() != nil:
		replyEnded(w, r.Context())
	case errors.Is(err, context.DeadlineExceeded):
		answer(since, nil)
	default:
		reply.Error(w, reply.Unavailable, err.Error())
	}
}

// pollOf reads since and wait. A wait longer than api.MaxWait is shortened.
func pollOf(r *http.Request) (since uint64, wait time.Duration, err error) {
	query := r.URL.Query()
	if text := query.Get("since"); text != "" {
		if since, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, 0, fmt.Errorf("invalid parameter %q: want a version number", "since")
		}
	}
	if text := query.Get("wait"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 {
			return 0, 0, fmt.Errorf("invalid parameter %q: want a duration like 10s", "wait")
		}
	}
	return since, min(wait, api.MaxWait), nil
}
