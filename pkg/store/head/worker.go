package head

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/coverage"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

const (
	// oldBootAfter is how long the streams of an earlier boot are shown. It is the
	// lookback of queries: later a series has vanished by itself.
	oldBootAfter = 5 * time.Minute
	// maxBoots is how many boots of a worker are remembered: a spool keeps a day.
	maxBoots = 256
	// lanesPerStream is how many lanes a worker may have for each stream it may have.
	lanesPerStream = 4
)

// worker is the state of one worker. It outlives sessions.
type worker struct {
	id      model.WorkerID
	head    *Head
	figures figures

	mu       sync.Mutex // guards what follows; held while a record is taken
	gone     bool       // forgotten: look it up again
	live     *Session
	backfill *Session
	boots    map[model.BootID]*boot
	lanes    map[laneKey]*lane // guarded by Head.mu as well: read with either, changed with both
	source   *schemas.Source   // of the session opened last
	quiet    time.Time         // since when there is no session
	budget   budget

	// What others look at without waiting for a record that is being taken:
	at, received atomic.Int64 // Newest, in milliseconds; 0: none
	sessions     atomic.Int32 // how many are open
	process      atomic.Pointer[process]
}

// process is the boot of the live session opened last, and when it was first seen.
type process struct {
	boot model.BootID
	at   time.Time
}

// boot is what was received of a boot. It is guarded by its worker's mu.
type boot struct {
	id       model.BootID
	coverage coverage.Set
	heard    time.Time
}

// role is where the worker's session of that role is kept.
func (w *worker) role(backfill bool) **Session {
	if backfill {
		return &w.backfill
	}
	return &w.live
}

func (w *worker) hasSession() bool { return w.live != nil || w.backfill != nil }

// lockWorker returns the state of a worker with its mu held, made if need be.
func (h *Head) lockWorker(id model.WorkerID) (*worker, *Refusal) {
	for {
		w, refusal := h.workerOf(id, true)
		if refusal != nil {
			return nil, refusal
		}
		w.mu.Lock()
		if !w.gone {
			return w, nil
		}
		w.mu.Unlock()
	}
}

// workerOf returns the state of a worker, made if need be; bounded says that limits
// count.
func (h *Head) workerOf(id model.WorkerID, bounded bool) (*worker, *Refusal) {
	if w := h.peek(id); w != nil {
		return w, nil
	}
	if bounded {
		h.mu.RLock()
		n := len(h.workers)
		h.mu.RUnlock()
		if n >= h.limits.MaxWorkers && !h.makeRoom() {
			return nil, later(CauseTooManyWorkers, "the store holds %d workers already (max_workers)", n)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.workers[id]; w != nil {
		return w, nil
	}
	w := &worker{id: id, head: h, boots: map[model.BootID]*boot{}, lanes: map[laneKey]*lane{}, quiet: h.deps.Now()}
	h.workers[id] = w
	return w, nil
}

// evictLocked ends the session of a role, if any, for cause.
func (w *worker) evictLocked(backfill bool, cause Cause) {
	at := w.role(backfill)
	s := *at
	if s == nil {
		return
	}
	s.endLocked(later(cause, "session of worker %s ended", w.id))
	w.leave(s)
}

// leave notes that a session is not open any more.
func (w *worker) leave(s *Session) {
	if at := w.role(s.backfill); *at == s {
		*at = nil
		w.sessions.Add(-1)
		w.quiet = w.head.deps.Now()
	}
}

// enter makes a session the one of its role.
func (w *worker) enter(s *Session) {
	*w.role(s.backfill) = s
	w.sessions.Add(1)
}

// follow notes which process of the worker is the present one.
func (w *worker) follow(boot model.BootID) {
	if now := w.process.Load(); now == nil || now.boot != boot {
		w.process.Store(&process{boot, w.head.deps.Now()})
	}
}

// bootOf returns what was received of a boot, made if need be.
func (w *worker) bootOf(id model.BootID) *boot {
	b := w.boots[id]
	if b == nil {
		if len(w.boots) >= maxBoots {
			w.forgetBoot()
		}
		b = &boot{id: id, heard: w.head.deps.Now()}
		w.boots[id] = b
	}
	return b
}

// forgetBoot forgets the boot that has no session and was heard of last.
func (w *worker) forgetBoot() {
	var oldest *boot
	for _, b := range w.boots {
		if !w.inUse(b) && (oldest == nil || b.heard.Before(oldest.heard)) {
			oldest = b
		}
	}
	if oldest != nil {
		delete(w.boots, oldest.id)
	}
}

// inUse says that a session of the boot is open.
func (w *worker) inUse(b *boot) bool {
	return w.live != nil && w.live.boot == b || w.backfill != nil && w.backfill.boot == b
}

// coverageOf is what the journal is told of a boot.
func (w *worker) coverageOf(b *boot) journal.Coverage {
	c := journal.Coverage{Worker: w.id, Boot: b.id, Heard: model.Millis(b.heard.UnixMilli())}
	for _, i := range b.coverage.Intervals() {
		c.Intervals = append(c.Intervals, journal.Interval(i))
	}
	return c
}

// laneOf returns a lane of the worker, made if need be; nil if there are so many already.
// Called with mu held.
func (w *worker) laneOf(source *schemas.Source, stream model.StreamID, most int) *lane {
	key := laneKey{source.Number(), stream}
	if l := w.lanes[key]; l != nil {
		return l
	}
	if len(w.lanes) >= most {
		return nil
	}
	l := &lane{source: source, stream: stream, floor: schemas.MinTime}
	if at, known := w.head.deps.Dictionary.Until(source, stream); known {
		l.floor = at
	}
	w.head.mu.Lock()
	defer w.head.mu.Unlock()
	w.lanes[key], w.head.lanes[key] = l, l
	return l
}

// sortedLanes are the worker's lanes by source and stream. Called with mu held.
func (w *worker) sortedLanes() []*lane {
	all := make([]*lane, 0, len(w.lanes))
	for _, l := range w.lanes {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *lane) int {
		return cmp.Or(cmp.Compare(a.source.Number(), b.source.Number()), cmp.Compare(a.stream, b.stream))
	})
	return all
}

// budget counts new series by the hour.
type budget struct {
	hour  int64
	spent int
}

func (b *budget) take(now time.Time, n, limit int) bool {
	if hour := now.Unix() / 3600; hour != b.hour {
		b.hour, b.spent = hour, 0
	}
	if b.spent+n > limit {
		return false
	}
	b.spent += n
	return true
}
