package collector

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// fleetView is the collector's copy of the coordinator's register, kept fresh
// by long polls. It outlives the coordinator's absence: streams of known
// workers go on, and the figures say how old they are.
type fleetView struct {
	client *api.ControlClient
	// ended is called, without a lock, when a worker expired, left or was
	// forgotten.
	ended func(api.RegisteredWorker)
	log   *slog.Logger
	now   func() time.Time

	// refreshing is held by the one who fetches everything anew.
	refreshing sync.Mutex

	mu      sync.Mutex // guards what follows
	version uint64
	workers map[model.WorkerID]seenWorker
	asked   time.Time // of the last refresh
	polls   uint64
	errors  uint64
	failing bool
}

// seenWorker is a row and when it arrived, by our clock: leases go on being
// spent after that.
type seenWorker struct {
	api.RegisteredWorker
	at time.Time
	// provisional: found by a refresh, not yet told by a poll.
	provisional bool
}

const (
	pollWait  = 20 * time.Second
	pollRetry = time.Second
	// refreshAfter is how old the leases shown to people may be.
	refreshAfter = time.Second
)

func newFleetView(client *api.ControlClient, ended func(api.RegisteredWorker), log *slog.Logger, now func() time.Time) *fleetView {
	return &fleetView{client: client, ended: ended, log: log, now: now, workers: map[model.WorkerID]seenWorker{}}
}

// run follows the coordinator until ctx ends.
func (v *fleetView) run(ctx context.Context) error {
	for ctx.Err() == nil {
		changes, err := v.client.Workers(ctx, v.since(), pollWait)
		if ctx.Err() != nil {
			return nil
		}
		v.polled(err)
		if err == nil {
			v.take(changes)
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollRetry):
		}
	}
	return nil
}

func (v *fleetView) since() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.version
}

// polled counts the outcome of a request and logs when it is another one than
// before.
func (v *fleetView) polled(err error) {
	v.mu.Lock()
	v.polls++
	changed := v.failing != (err != nil)
	v.failing = err != nil
	if err != nil {
		v.errors++
	}
	v.mu.Unlock()
	switch {
	case changed && err != nil:
		v.log.Warn("coordinator does not answer, the view of the fleet grows old", logkey.Err, err)
	case changed:
		v.log.Info("coordinator answers again")
	}
}

// take merges an answer into the view and reports the workers that ended.
func (v *fleetView) take(changes api.WorkerChanges) {
	now := v.now()
	v.mu.Lock()
	v.version = changes.Version
	before := v.workers
	if changes.Full {
		v.workers = make(map[model.WorkerID]seenWorker, len(changes.Workers))
	}
	var ended []api.RegisteredWorker
	for _, row := range changes.Workers {
		if was, known := before[row.ID]; known && !over(was.State) && over(row.State) {
			ended = append(ended, row)
		}
		v.workers[row.ID] = seenWorker{RegisteredWorker: row, at: now}
	}
	if changes.Full {
		for id, was := range before {
			if _, still := v.workers[id]; !still && !over(was.State) {
				ended = append(ended, was.RegisteredWorker)
			}
		}
	}
	for _, id := range changes.Removed {
		if was, known := v.workers[id]; known && !over(was.State) {
			ended = append(ended, was.RegisteredWorker)
		}
		delete(v.workers, id)
	}
	v.mu.Unlock()
	for _, row := range ended {
		v.ended(row)
	}
}

// over says that nothing is expected of a worker in this state.
func over(state model.WorkerState) bool { return state == model.Expired || state == model.Left }

// find returns a worker of the fleet. One that is not known is asked for
// before the answer is no: it may have registered just now.
func (v *fleetView) find(ctx context.Context, id model.WorkerID) (api.RegisteredWorker, bool) {
	if row, known := v.get(id); known {
		return row.RegisteredWorker, true
	}
	v.refresh(ctx, v.now())
	row, known := v.get(id)
	return row.RegisteredWorker, known
}

func (v *fleetView) get(id model.WorkerID) (seenWorker, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	row, known := v.workers[id]
	return row, known
}

// all returns every worker with leases at most refreshAfter old, or as old as
// they are when the coordinator does not answer.
func (v *fleetView) all(ctx context.Context) []seenWorker {
	v.refresh(ctx, v.now().Add(-refreshAfter))
	v.mu.Lock()
	defer v.mu.Unlock()
	rows := make([]seenWorker, 0, len(v.workers))
	for _, row := range v.workers {
		rows = append(rows, row)
	}
	return rows
}

// refresh fetches everything unless that was done after the given time. Many
// callers at once cause one request.
func (v *fleetView) refresh(ctx context.Context, after time.Time) {
	v.refreshing.Lock()
	defer v.refreshing.Unlock()
	v.mu.Lock()
	fresh := v.asked.After(after)
	v.mu.Unlock()
	if fresh {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	changes, err := v.client.Workers(ctx, 0, 0)
	if err != nil {
		v.polled(err)
		return
	}
	v.renew(changes.Workers)
}

// renew takes over leases, which polls do not tell, and workers that no poll
// has told yet. States come from polls only: a poll and a refresh overtake each
// other, and the older of the two must not bring back what was.
func (v *fleetView) renew(rows []api.RegisteredWorker) {
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = now
	listed := make(map[model.WorkerID]bool, len(rows))
	for _, row := range rows {
		listed[row.ID] = true
		was, known := v.workers[row.ID]
		if !known || was.provisional || was.State == row.State {
			v.workers[row.ID] = seenWorker{row, now, !known || was.provisional}
		}
	}
	for id, row := range v.workers {
		if row.provisional && !listed[id] {
			delete(v.workers, id)
		}
	}
}

// size is how many workers are known.
func (v *fleetView) size() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.workers)
}

// viewStats are figures of the view.
type viewStats struct {
	Workers       map[model.WorkerState]int
	Polls, Errors uint64
	Failing       bool
}

func (v *fleetView) stats() viewStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := viewStats{Workers: map[model.WorkerState]int{}, Polls: v.polls, Errors: v.errors, Failing: v.failing}
	for _, row := range v.workers {
		s.Workers[row.State]++
	}
	return s
}
