package head

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// The attributes of what is logged.
const (
	keyWorker = logkey.Worker
	keyStream = logkey.Stream
	keyErr    = logkey.Err
)

// Head is the store in memory; see the package comment. All methods may be called at
// any time by any goroutine, but for Replay and FinishReplay, which come before all others.
type Head struct {
	limits  Limits
	deps    Deps
	log     *slog.Logger
	define  definitions
	schemas schemaTable
	viewers viewerPool
	ended   endState

	numbers atomic.Uint64 // of the session opened last
	closed  atomic.Bool
	gone    figures // of workers that are forgotten

	mu      sync.RWMutex // guards the maps
	workers map[model.WorkerID]*worker
	lanes   map[laneKey]*lane

	passing sync.Mutex // guards pass
	pass    *Pass      // under way

	replay *replay // until FinishReplay
}

// New makes an empty head. Everything in the dictionary must be in its log.
func New(limits Limits, deps Deps) *Head {
	h := &Head{
		limits: limits, deps: deps, log: deps.Log,
		workers: map[model.WorkerID]*worker{}, lanes: map[laneKey]*lane{},
	}
	h.define.dictionary, h.define.log = deps.Dictionary, deps.SchemaLog
	h.schemas.dictionary, h.schemas.known = deps.Dictionary, map[frame.SchemaID]weak.Pointer[schema]{}
	h.viewers.journal = deps.Journal
	return h
}

// Close ends all sessions: an append under way is waited for, and nothing comes after.
// What is in the head can still be read, as long as the journal can. Calling it
// again does nothing.
func (h *Head) Close() {
	h.closed.Store(true)
	for _, w := range h.allWorkers() {
		w.mu.Lock()
		for _, role := range []bool{false, true} {
			w.evictLocked(role, CauseClosed)
		}
		w.mu.Unlock()
	}
	h.viewers.close()
}

// allWorkers are the workers now, in the order of their ids.
func (h *Head) allWorkers() []*worker {
	h.mu.RLock()
	all := make([]*worker, 0, len(h.workers))
	for _, w := range h.workers {
		all = append(all, w)
	}
	h.mu.RUnlock()
	slices.SortFunc(all, func(a, b *worker) int { return slices.Compare(a.id[:], b.id[:]) })
	return all
}

// peek returns the state of a worker, nil when there is none.
func (h *Head) peek(id model.WorkerID) *worker {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.workers[id]
}

// laneOf returns the lane of a stream of a source, nil when there is none.
func (h *Head) laneOf(source *schemas.Source, stream model.StreamID) *lane {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.lanes[laneKey{source.Number(), stream}]
}

// viewerPool keeps viewers of the journal for the next reader. A viewer holds the
// segment that it was in last.
type viewerPool struct {
	journal Journal

	mu   sync.Mutex
	idle []Viewer
}

// maxIdle is how many viewers wait.
const maxIdle = 8

func (p *viewerPool) take() Viewer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		v := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return v
	}
	return p.journal.Viewer()
}

func (p *viewerPool) give(v Viewer) {
	p.mu.Lock()
	if len(p.idle) < maxIdle {
		p.idle = append(p.idle, v)
		v = nil
	}
	p.mu.Unlock()
	if v != nil {
		v.Close()
	}
}

// close lets go of all idle viewers, and what they hold.
func (p *viewerPool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, v := range idle {
		v.Close()
	}
}
