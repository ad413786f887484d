package store

import (
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// maxStreams is how many streams a worker may have at once.
const maxStreams = 64

// oldBootAfter is how long the streams of an earlier boot are remembered for
// the sake of staleness markers. It is the lookback of queries: later a series
// has vanished by itself.
const oldBootAfter = 5 * time.Minute

// worker is the state of one worker: what its streams look like, and whose
// session feeds them. It outlives sessions.
//
// Locks: opening before ingest before Store.mu before mu. ingest is held while a record is processed, which
// writes to disk; mu only for moments.
type worker struct {
	id    model.WorkerID
	store *Store

	ingest   sync.Mutex // guards the fields down to mu
	identity labels.Labels
	boot     model.BootID
	bootAt   time.Time // when boot was first seen
	lanes    map[model.StreamID]*lane
	budget   budget
	builder  labels.ScratchBuilder

	opening sync.Mutex // held while a session is opened; before ingest

	mu      sync.Mutex // guards session, latest, newest and quiet, and lanes for those who only read
	session *Session
	latest  *Session // the one opened last, even if it is closed
	newest  Newest
	quiet   time.Time // since when there is no session
}

// workerOf returns the state of a worker, made if need be.
func (s *Store) workerOf(id model.WorkerID) (*worker, *Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, later(CauseClosed, "the store is closed")
	}
	if w := s.workers[id]; w != nil {
		w.touch() // or the sweep could forget it before its session is open
		return w, nil
	}
	if len(s.workers) >= s.config.MaxWorkers {
		return nil, later(CauseTooManyWorkers, "the store holds %d workers already (max_workers)", len(s.workers))
	}
	w := &worker{id: id, store: s, lanes: map[model.StreamID]*lane{}, quiet: s.now()}
	s.workers[id] = w
	return w, nil
}

// touch makes the worker look busy.
func (w *worker) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet = w.store.now()
}

// peek returns the state of a worker, nil when there is none.
func (s *Store) peek(id model.WorkerID) *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers[id]
}

// evict ends the present session, if any, for cause. It waits for an append
// under way, so nothing comes after. It returns the session opened last.
func (w *worker) evict(cause Cause) (latest *Session) {
	w.ingest.Lock()
	defer w.ingest.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.session; old != nil && old.ended == nil {
		old.ended = later(cause, "session of worker %s ended", w.id)
	}
	w.session, w.quiet = nil, w.store.now()
	return w.latest
}

// install makes session the present one.
func (w *worker) install(session *Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session, w.latest = session, session
}

func (w *worker) hasSession() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session != nil
}

// idleSince is for how long the worker has had no session.
func (w *worker) idleSince(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != nil {
		return 0
	}
	return now.Sub(w.quiet)
}

// become takes over the labels and boot of a source. Series under other labels
// than before end.
func (w *worker) become(identity labels.Labels, boot model.BootID) *Refusal {
	w.ingest.Lock()
	defer w.ingest.Unlock()
	if !labels.Equal(w.identity, identity) {
		if len(w.lanes) > 0 {
			if refusal := w.endAll(0); refusal != nil {
				return refusal
			}
		}
		w.identity = identity
		w.dropLanes(func(*lane) bool { return true })
		w.store.saveSource(w.id, identity)
	}
	if w.boot != boot {
		w.boot, w.bootAt = boot, w.store.now()
	}
	return nil
}

// dropOldBoots forgets streams that the present boot of the worker has not
// taken up. Called with ingest held.
func (w *worker) dropOldBoots() {
	if w.store.now().Sub(w.bootAt) >= oldBootAfter {
		w.dropLanes(func(l *lane) bool { return l.boot != w.boot })
	}
}

func (w *worker) dropLanes(which func(*lane) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, l := range w.lanes {
		if which(l) {
			delete(w.lanes, id)
		}
	}
}

// saveSource has the labels of a worker written with the next group commit.
func (s *Store) saveSource(id model.WorkerID, identity labels.Labels) {
	s.dirtyMu.Lock()
	defer s.dirtyMu.Unlock()
	s.sources = append(s.sources, savedSource{id, identity.Map()})
}
