package collector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
)

const (
	// endingRetry is how often the store is asked again.
	endingRetry = 2 * time.Second
	// maxEndings bounds what waits. One more is lost: queries see its series
	// for another lookback.
	maxEndings = 100_000
)

// endings puts an end to the series of workers that are gone, on a goroutine of
// its own: it writes, and a fleet may end at once. When the store refuses, for
// want of disk space for instance, it is asked again until it agrees, the worker
// is back, or no query sees the series any more.
type endings struct {
	mark     func(model.WorkerID, time.Time) error // store.Store.MarkStale
	expected func(model.WorkerID) bool             // the worker lives
	log      *slog.Logger
	now      func() time.Time
	wake     chan struct{} // something was added; holds one

	mu      sync.Mutex // guards what follows
	waiting map[model.WorkerID]ending
	stat    endingStats // but for Waiting
}

// ending is a worker that is gone.
type ending struct {
	row     api.RegisteredWorker
	at      time.Time
	refused bool // once at least
}

func newEndings(mark func(model.WorkerID, time.Time) error, expected func(model.WorkerID) bool, log *slog.Logger, now func() time.Time) *endings {
	return &endings{mark: mark, expected: expected, log: log, now: now, wake: make(chan struct{}, 1),
		waiting: map[model.WorkerID]ending{}}
}

// add notes that a worker was gone at the given time. It does not block.
func (e *endings) add(row api.RegisteredWorker, at time.Time) {
	e.mu.Lock()
	_, known := e.waiting[row.ID]
	full := !known && len(e.waiting) >= maxEndings
	if full {
		e.stat.Lost++
	} else {
		e.waiting[row.ID] = ending{row: row, at: at}
	}
	e.mu.Unlock()
	e.log.Info("worker is gone", logkey.Worker, row.ID, logkey.Instance, row.Instance, logkey.State, row.State.String())
	if full {
		e.log.Warn("too many workers ended at once, the series of some go on for minutes", logkey.Count, maxEndings)
	}
	select {
	case e.wake <- struct{}{}:
	default: // it is awake already
	}
}

// run asks the store until ctx ends, and once more then.
func (e *endings) run(ctx context.Context) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			e.round()
			return nil
		case <-retry.C:
		case <-e.wake:
		}
		if e.round() {
			retry.Reset(endingRetry)
		}
	}
}

// round tries everything that waits, and says whether something still does.
func (e *endings) round() (again bool) {
	for _, one := range e.all() {
		if e.expected(one.row.ID) {
			e.done(one, func(*endingStats) {}) // it is back
			continue
		}
		switch err := e.mark(one.row.ID, one.at); {
		case err == nil:
			e.done(one, func(s *endingStats) { s.Ended++ })
		case !mayPass(err) || e.now().Sub(one.at) > lookback:
			e.done(one, func(s *endingStats) { s.Lost++ })
			e.log.Warn("series of a worker that is gone were not ended", logkey.Worker, one.row.ID, logkey.Err, err)
		default:
			e.keep(one)
			again = true
			if !one.refused {
				e.log.Warn("series of a worker that is gone are not ended yet", logkey.Worker, one.row.ID, logkey.Err, err)
			}
		}
	}
	return again
}

// mayPass says that what the store refused it may take later.
func mayPass(err error) bool {
	refusal, ok := errors.AsType[*store.Refusal](err)
	return ok && refusal.Temporary
}

func (e *endings) all() []ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]ending, 0, len(e.waiting))
	for _, one := range e.waiting {
		all = append(all, one)
	}
	return all
}

// done forgets an ending, unless the worker came back meanwhile and is gone
// again.
func (e *endings) done(one ending, count func(*endingStats)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	count(&e.stat)
	if e.waiting[one.row.ID].at.Equal(one.at) {
		delete(e.waiting, one.row.ID)
	}
}

// keep notes that an ending was refused.
func (e *endings) keep(one ending) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now, waits := e.waiting[one.row.ID]; waits && now.at.Equal(one.at) {
		one.refused = true
		e.waiting[one.row.ID] = one
	}
}

// endingStats are figures of endings.
type endingStats struct {
	Ended   uint64 // workers whose series were ended, counter
	Lost    uint64 // workers whose series were not, counter
	Waiting int    // workers whose series are to be ended
}

func (e *endings) stats() endingStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stat
	s.Waiting = len(e.waiting)
	return s
}
