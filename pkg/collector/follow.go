package collector

import (
	"context"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	pollWait  = 20 * time.Second
	pollRetry = time.Second
	// refreshAfter is how old the leases shown to people may be.
	refreshAfter = time.Second
	// refreshTimeout is how long the whole register may take to come.
	refreshTimeout = 2 * time.Second
	// refreshGap is the least time between two refreshes: the whole register of
	// a large fleet is megabytes, and whoever holds a certificate can ask for
	// one by connecting.
	refreshGap = 250 * time.Millisecond
)

// run follows the coordinator until ctx ends.
func (v *fleetView) run(ctx context.Context) error {
	for ctx.Err() == nil {
		since := v.since()
		changes, err := v.client.Workers(ctx, since, pollWait)
		if ctx.Err() != nil {
			return nil
		}
		v.outcome(err)
		if err == nil {
			v.polled(since, changes)
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

// outcome counts a poll, and logs when it went another way than the one before.
func (v *fleetView) outcome(err error) {
	v.count(err)
	v.mu.Lock()
	changed := v.stat.Failing != (err != nil)
	v.stat.Failing = err != nil
	v.mu.Unlock()
	switch {
	case changed && err != nil:
		v.log.Warn("coordinator does not answer, the view of the fleet grows old", logkey.Err, err)
	case changed:
		v.log.Info("coordinator answers again")
	}
}

func (v *fleetView) count(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stat.Polls++
	if err != nil {
		v.stat.Errors++
	}
}

// find returns a worker of the fleet. One that is not known, or over, is asked
// for before the answer is that: it may have registered just now.
func (v *fleetView) find(ctx context.Context, id model.WorkerID) (seenWorker, bool) {
	if row, known := v.get(id); known && !over(row.State) {
		return row, true
	}
	v.refresh(ctx, v.now())
	return v.get(id)
}

// findProcess is find for one process of a worker: before the answer is that it
// is another one, or none, the coordinator is asked.
func (v *fleetView) findProcess(ctx context.Context, id model.WorkerID, boot model.BootID) (seenWorker, bool) {
	if row, known := v.get(id); known && !over(row.State) && row.Boot == boot {
		return row, true
	}
	v.refresh(ctx, v.now())
	return v.get(id)
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

// refresh fetches everything, unless that was done after the given time. Many
// callers at once cause one request, or two; when it fails, it has failed for
// all who waited for it. It ends early when ctx does.
func (v *fleetView) refresh(ctx context.Context, after time.Time) {
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return
	}
	if v.asked.After(after) || !pause(ctx, v.rested.Add(refreshGap).Sub(v.now())) {
		return
	}
	began := v.now()
	changes, err := v.fetch(ctx)
	v.rested = v.now()
	switch {
	case err == nil:
		v.asked = began
		v.refreshed(changes)
	case ctx.Err() == nil: // otherwise the caller has gone, which says nothing
		v.asked = v.rested
		v.log.Debug("register of the fleet not fetched", logkey.Err, err)
	}
}

func (v *fleetView) fetch(ctx context.Context) (api.WorkerChanges, error) {
	bounded, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	changes, err := v.client.Workers(bounded, 0, 0)
	if ctx.Err() == nil {
		v.count(err)
	}
	return changes, err
}

// pause waits for d, which may be less than nothing; false: ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
