package collector

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// fleetView is the collector's copy of the coordinator's register. It outlives
// the coordinator's absence: streams of known workers go on, and the figures
// say how old they are. It is as large as the register.
//
// Two kinds of answers keep it fresh (follow.go): long polls, which tell of
// every change of state, and refreshes, which tell everything at once, leases
// included. They overtake each other; the register's version says which one is
// the newer.
type fleetView struct {
	client *api.ControlClient
	// ended is called, without a lock, when a worker expired, left or was
	// forgotten, once each time. It must not block.
	ended func(row api.RegisteredWorker, at time.Time)
	// rebooted, which may be nil, is called, without a lock, with workers of which
	// another process was admitted than before. It must not block.
	rebooted func([]model.WorkerID)
	log      *slog.Logger
	now      func() time.Time

	turn   chan struct{} // holds one while somebody refreshes; guards the next two
	asked  time.Time     // a refresh for what happened until then is done, or has failed
	rested time.Time     // when the last refresh ended

	mu      sync.Mutex // guards what follows
	version uint64     // of the register, 0 before the first answer
	workers map[model.WorkerID]seenWorker
	stat    viewStats // but for Workers
}

// seenWorker is a row and when it arrived, by our clock: leases go on being
// spent after that.
type seenWorker struct {
	api.RegisteredWorker
	at time.Time
}

func newFleetView(client *api.ControlClient, ended func(api.RegisteredWorker, time.Time), log *slog.Logger, now func() time.Time) *fleetView {
	return &fleetView{client: client, ended: ended, log: log, now: now, turn: make(chan struct{}, 1),
		workers: map[model.WorkerID]seenWorker{}}
}

// polled merges the answer to a poll for what changed after since.
func (v *fleetView) polled(since uint64, changes api.WorkerChanges) {
	v.mu.Lock()
	if changes.Version >= since && changes.Version < v.version {
		v.mu.Unlock()
		return // a refresh has overtaken it
	}
	// A version before the one asked for is another register's: its folder was
	// lost. It comes with everything that the new one knows.
	news := v.takeLocked(changes)
	v.mu.Unlock()
	v.tell(news)
}

// refreshed merges the whole register.
func (v *fleetView) refreshed(changes api.WorkerChanges) {
	v.mu.Lock()
	if changes.Version < v.version { // a poll has overtaken it
		v.renewLocked(changes.Workers)
		v.mu.Unlock()
		return
	}
	news := v.takeLocked(changes)
	v.mu.Unlock()
	v.tell(news)
}

// news is what an answer has changed.
type news struct {
	ended    []seenWorker
	rebooted []model.WorkerID
}

func (v *fleetView) tell(n news) {
	for _, row := range n.ended {
		v.ended(row.RegisteredWorker, row.at)
	}
	if len(n.rebooted) > 0 && v.rebooted != nil {
		v.rebooted(n.rebooted)
	}
}

// takeLocked takes over an answer that is not older than the view, and returns
// what is new by it.
func (v *fleetView) takeLocked(changes api.WorkerChanges) (n news) {
	now, before := v.now(), v.workers
	v.version = changes.Version
	if changes.Full {
		v.workers = make(map[model.WorkerID]seenWorker, len(changes.Workers))
	}
	for _, row := range changes.Workers {
		was, known := before[row.ID]
		v.workers[row.ID] = seenWorker{row, now}
		if over(row.State) && (known && !over(was.State) || !known && visible(row, changes.Now)) {
			n.ended = append(n.ended, seenWorker{row, now})
		}
		if known && row.Boot != was.Boot && !row.Boot.IsZero() {
			n.rebooted = append(n.rebooted, row.ID)
		}
	}
	gone := changes.Removed
	if changes.Full {
		for id := range before {
			if _, still := v.workers[id]; !still {
				gone = append(gone, id)
			}
		}
	}
	for _, id := range gone {
		if was, known := before[id]; known && !over(was.State) {
			n.ended = append(n.ended, seenWorker{was.RegisteredWorker, now})
		}
		delete(v.workers, id)
	}
	return n
}

// renewLocked takes over the leases, which versions do not count. Whatever else
// an old answer says was said anew since.
func (v *fleetView) renewLocked(rows []api.RegisteredWorker) {
	now := v.now()
	for _, row := range rows {
		if was, known := v.workers[row.ID]; known && was.State == row.State {
			was.LeaseRemaining, was.LastContact, was.at = row.LeaseRemaining, row.LastContact, now
			v.workers[row.ID] = was
		}
	}
}

// over says that nothing is expected of a worker in this state.
func over(state model.WorkerState) bool { return state == model.Expired || state == model.Left }

// lookback is for how long queries see a series after its last sample.
const lookback = 5 * time.Minute

// visible says that queries may see series of a worker that is over: it ended
// while nobody here looked.
func visible(row api.RegisteredWorker, now model.Millis) bool {
	return now-row.LastContact < model.Millis(lookback.Milliseconds())
}

func (v *fleetView) get(id model.WorkerID) (seenWorker, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	row, known := v.workers[id]
	return row, known
}

// boot is the process of a worker that is admitted; zero: none, as far as is
// known.
func (v *fleetView) boot(id model.WorkerID) model.BootID {
	row, _ := v.get(id)
	return row.Boot
}

// expected says that a worker lives, as far as is known.
func (v *fleetView) expected(id model.WorkerID) bool {
	row, known := v.get(id)
	return known && !over(row.State)
}

// isLoaded says that the register was seen at least once.
func (v *fleetView) isLoaded() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.version != 0
}

// size is how many workers are known. Those that are over count too: after a
// power cut they come back all at once.
func (v *fleetView) size() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.workers)
}

// viewStats are figures of the view.
type viewStats struct {
	Workers       map[model.WorkerState]int
	Polls, Errors uint64 // requests, and those that failed
	Failing       bool   // the last poll failed
}

func (v *fleetView) stats() viewStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.stat
	s.Workers = map[model.WorkerState]int{}
	for _, row := range v.workers {
		s.Workers[row.State]++
	}
	return s
}
