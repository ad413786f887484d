package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/event"
)

// Gaps knows what is missing; the collector daemon implements it. It may be called
// concurrently and must return quickly.
type Gaps interface {
	// Gaps returns what a query wants. Its Limit is between 1 and api.MaxGaps. The
	// error wraps reply.ErrNotFound if no worker has that name, reply.ErrConflict
	// if several have it.
	Gaps(ctx context.Context, q api.GapQuery) (api.Gaps, error)
}

// WithGaps adds the list of gaps. It is called before Register.
func (h *Handlers) WithGaps(gaps Gaps) *Handlers {
	h.missing = gaps
	return h
}

// gaps lists what is missing; ?worker=, ?from=, ?to=, ?cause= (repeatable) and
// ?limit= narrow it.
func (h *Handlers) gaps(w http.ResponseWriter, r *http.Request) {
	query, err := gapQuery(r)
	if err != nil {
		reply.Error(w, reply.BadData, err.Error())
		return
	}
	found, err := h.missing.Gaps(r.Context(), query)
	switch {
	case errors.Is(err, reply.ErrNotFound):
		reply.Error(w, reply.NotFound, err.Error())
	case errors.Is(err, reply.ErrConflict):
		reply.Error(w, reply.Conflict, err.Error())
	case err != nil:
		reply.Error(w, reply.Unavailable, err.Error())
	default:
		if found.Gaps == nil {
			found.Gaps = []api.Gap{}
		}
		if found.Totals == nil {
			found.Totals = []api.GapTotal{}
		}
		reply.JSON(w, found)
	}
}

func gapQuery(r *http.Request) (q api.GapQuery, err error) {
	form := r.URL.Query()
	q.Worker, q.Limit = form.Get("worker"), api.DefaultGaps
	if q.From, err = moment("from", form.Get("from")); err != nil {
		return q, err
	}
	if q.To, err = moment("to", form.Get("to")); err != nil {
		return q, err
	}
	if !q.To.IsZero() && q.To.Before(q.From) {
		return q, errors.New(`invalid parameter "to": it is before "from"`)
	}
	for _, name := range form["cause"] {
		cause := event.Cause(name)
		if !cause.Valid() {
			return q, fmt.Errorf(`invalid parameter "cause": want a cause like %s`, event.HostOff)
		}
		q.Causes = append(q.Causes, cause)
	}
	if text := form.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > api.MaxGaps {
			return q, fmt.Errorf(`invalid parameter "limit": want 1 to %d`, api.MaxGaps)
		}
	}
	return q, nil
}

// moment reads a time as the Prometheus API spells it; "" is the zero time.
func moment(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if most := float64(event.MaxTime) / 1000; err != nil || !(seconds >= 0 && seconds <= most) {
		return time.Time{}, fmt.Errorf("invalid parameter %q: want Unix seconds or a time like 2026-07-01T12:00:00Z", name)
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))), nil
}
