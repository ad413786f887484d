// Package fleet serves collectord's fleet API: which workers there are, how they
// do, and what is missing of them.
package fleet

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Source knows the fleet; the collector daemon implements it. Both methods may
// be called concurrently and must return quickly: they read memory.
type Source interface {
	// Workers returns all workers in any order; the caller owns the slice.
	Workers(ctx context.Context) ([]api.Worker, error)
	// Worker returns one, and whether it is known.
	Worker(ctx context.Context, id model.WorkerID) (api.Worker, bool, error)
}

// Handlers serve the fleet API.
type Handlers struct {
	source  Source
	missing Gaps // nil: that is not served
	now     func() time.Time
}

// New returns the handlers over source. now is the collector's clock.
func New(source Source, now func() time.Time) *Handlers {
	return &Handlers{source: source, now: now}
}

// Register adds the routes to mux, each wrapped by wrap under its own name.
func (h *Handlers) Register(mux *http.ServeMux, wrap func(name string, next http.Handler) http.Handler) {
	mux.Handle("GET "+api.PathFleetWorkers, wrap("fleet_workers", http.HandlerFunc(h.workers)))
	mux.Handle("GET "+api.PathFleetWorkers+"/{id}", wrap("fleet_worker", http.HandlerFunc(h.worker)))
	if h.missing != nil {
		mux.Handle("GET "+api.PathFleetGaps, wrap("fleet_gaps", http.HandlerFunc(h.gaps)))
	}
}

// workers lists the fleet; ?state= (repeatable) and ?instance= narrow it.
func (h *Handlers) workers(w http.ResponseWriter, r *http.Request) {
	keep, err := filterOf(r)
	if err != nil {
		reply.Error(w, reply.BadData, err.Error())
		return
	}
	workers, err := h.source.Workers(r.Context())
	if err != nil {
		reply.Error(w, reply.Unavailable, err.Error())
		return
	}
	workers = slices.DeleteFunc(workers, func(row api.Worker) bool { return !keep(row) })
	slices.SortFunc(workers, byInstance)
	for i := range workers {
		fill(&workers[i])
	}
	if workers == nil {
		workers = []api.Worker{}
	}
	reply.JSON(w, api.Fleet{Now: model.Millis(h.now().UnixMilli()), Workers: workers})
}

func (h *Handlers) worker(w http.ResponseWriter, r *http.Request) {
	id, err := model.ParseWorkerID(r.PathValue("id"))
	if err != nil {
		reply.Error(w, reply.BadData, err.Error())
		return
	}
	row, known, err := h.source.Worker(r.Context(), id)
	switch {
	case err != nil:
		reply.Error(w, reply.Unavailable, err.Error())
	case !known:
		reply.Error(w, reply.NotFound, fmt.Sprintf("no worker %s", id))
	default:
		fill(&row)
		reply.JSON(w, row)
	}
}

func filterOf(r *http.Request) (keep func(api.Worker) bool, err error) {
	query := r.URL.Query()
	states := make([]model.WorkerState, len(query["state"]))
	for i, name := range query["state"] {
		if err := states[i].UnmarshalText([]byte(name)); err != nil {
			return nil, err
		}
	}
	instances := query["instance"]
	return func(row api.Worker) bool {
		return (len(states) == 0 || slices.Contains(states, row.State)) &&
			(len(instances) == 0 || slices.Contains(instances, row.Instance))
	}, nil
}

func byInstance(a, b api.Worker) int {
	if c := strings.Compare(a.Instance, b.Instance); c != 0 {
		return c
	}
	return strings.Compare(string(a.ID[:]), string(b.ID[:]))
}

// fill turns nil lists into empty ones, which is what JSON readers expect.
func fill(row *api.Worker) {
	if row.Addresses == nil {
		row.Addresses = []netip.Addr{}
	}
	if row.Ports == nil {
		row.Ports = []api.Port{}
	}
}
