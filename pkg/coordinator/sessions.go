package coordinator

import (
	"sync"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// sessions are the workers' open sessions, to be told that there is something new
// for them, or that they are over. How many there may be is bounded in front of
// it. Safe for concurrent use.
type sessions struct {
	mu   sync.Mutex // guards open
	open map[model.WorkerID]map[*session]struct{}
}

// session is one of them.
type session struct {
	worker model.WorkerID
	// poked says that the worker may have to be told something; capacity 1, for
	// what there is to tell is looked up then.
	poked chan struct{}
	// stale says that the worker has not taken over the bundle that it was told.
	stale atomic.Bool
	// over brings the last words; capacity 1, only the first ones count.
	over chan string
}

func newSessions() *sessions {
	return &sessions{open: map[model.WorkerID]map[*session]struct{}{}}
}

func (s *sessions) add(id model.WorkerID) *session {
	one := &session{worker: id, poked: make(chan struct{}, 1), over: make(chan string, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[id] == nil {
		s.open[id] = map[*session]struct{}{}
	}
	s.open[id][one] = struct{}{}
	return one
}

func (s *sessions) remove(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open[one.worker], one)
	if len(s.open[one.worker]) == 0 {
		delete(s.open, one.worker)
	}
}

// poke lets the sessions of a worker look for what is new.
func (s *sessions) poke(id model.WorkerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open[id] {
		signal(one.poked)
	}
}

// retell lets the sessions of a worker tell it the authorities again.
func (s *sessions) retell(id model.WorkerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open[id] {
		one.stale.Store(true)
		signal(one.poked)
	}
}

// pokeAll lets all sessions look for what is new.
func (s *sessions) pokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, all := range s.open {
		for one := range all {
			signal(one.poked)
		}
	}
}

// end ends the sessions of a worker with last words.
func (s *sessions) end(id model.WorkerID, words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open[id] {
		select {
		case one.over <- words:
		default:
		}
	}
}

// workers lists who has a session.
func (s *sessions) workers() []model.WorkerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]model.WorkerID, 0, len(s.open))
	for id := range s.open {
		ids = append(ids, id)
	}
	return ids
}

// signal raises a flag of capacity one.
func signal(flag chan struct{}) {
	select {
	case flag <- struct{}{}:
	default:
	}
}
