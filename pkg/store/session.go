package store

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
)

// Session takes the records of one stretch of one boot of a worker, in order. Append
// is for one goroutine; the other methods may be called at any time.
type Session struct {
	store *Store
	head  *head.Session
	dirty atomic.Bool // more is processed than durable, and the group commit knows

	mu      sync.Mutex // guards durable and changed
	durable uint64
	changed chan struct{} // closed when durable has grown
}

// OpenSession begins a session for source. A session of the same worker and role that
// is still open is ended: the worker has connected anew. It fails with a *Refusal.
// It may take as long as one group commit.
func (s *Store) OpenSession(source Source) (*Session, error) {
	if refusal := s.accepts(); refusal != nil {
		return nil, s.refused(refusal)
	}
	labels, err := source.labels()
	if err != nil {
		return nil, s.refused(&Refusal{Cause: CauseBadSource, Detail: err.Error()})
	}
	opened, refusal := s.head.OpenSession(head.Source{Worker: source.Worker, Boot: source.Boot, Labels: labels,
		Backfill: source.Backfill, First: source.First})
	if refusal != nil {
		return nil, refusal // the head has counted it
	}
	session := &Session{store: s, head: opened, durable: opened.Resume(), changed: make(chan struct{})}
	// What the worker is told that it need not send again must be durable: an
	// earlier session of the same boot may have taken it a moment ago.
	if opened.Resume() > 0 {
		if err := s.flush(); err != nil {
			opened.Close()
			return nil, s.refused(notDurable(err))
		}
	}
	return session, nil
}

// notDurable refuses for now because a group commit failed.
func notDurable(err error) *Refusal {
	if errors.Is(err, durable.ErrFull) {
		return later(CauseDiskFull, "%v", err)
	}
	return later(CauseFailed, "%v", err)
}

// accepts says why nothing new can be taken now; nil when it can.
func (s *Store) accepts() *Refusal {
	switch {
	case s.closing.Load():
		return later(CauseClosed, "the store is closed")
	case s.unplaced.Load():
		return later(CauseFailed, "the journal has what could not be read at the start, and is not sealed yet")
	case !s.free.Load():
		return later(CauseDiskFull, "less than %s of disk space are free (min_free)", s.config.MinFree)
	}
	return nil
}

// Resume is the sequence number up to which everything of the boot is stored durably,
// from the first one that was announced on; the worker sends what comes after. Fixed
// for the session.
func (s *Session) Resume() uint64 { return s.head.Resume() }

// Wanted says which of the offered parts must be sent: those that are not known.
func (s *Session) Wanted(offered []frame.PartID) []bool { return s.head.Wanted(offered) }

// Append takes the next record; raw is its encoded form. Neither is kept. A
// record with a sequence number up to Resume is context: it brings the
// decoders up to date and is not stored. One that was stored before is not stored again.
//
// A nil error means that the record is part of the sequence: stored, or counted
// and left out. A *Refusal with Skipped set means the same, and the worker should
// be told. After any other error, always a *Refusal, the session takes nothing more.
func (s *Session) Append(record frame.Record, raw []byte) error {
	if record.Seq > s.head.Resume() {
		if refusal := s.store.accepts(); refusal != nil {
			s.head.Close() // what comes next would leave a hole
			return s.store.refused(refusal)
		}
	}
	refusal := s.head.Append(record, raw)
	if refusal == nil || refusal.Skipped {
		s.markDirty()
		s.store.wrote(len(raw))
	}
	if refusal == nil {
		return nil // and not a nil *Refusal
	}
	return refusal
}

// markDirty has the group commit look at the session.
func (s *Session) markDirty() {
	if s.dirty.Load() || s.dirty.Swap(true) {
		return
	}
	s.store.dirtyMu.Lock()
	defer s.store.dirtyMu.Unlock()
	s.store.dirty = append(s.store.dirty, s)
}

// Durable returns the sequence number up to which everything is on disk, and a
// channel that is closed when the number has grown.
func (s *Session) Durable() (seq uint64, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable, s.changed
}

// publish tells that everything up to seq is on disk.
func (s *Session) publish(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq <= s.durable {
		return
	}
	s.durable = seq
	close(s.changed)
	s.changed = make(chan struct{})
}

// Close ends the session. What it has taken becomes durable with the next group
// commit. Calling it again does nothing.
func (s *Session) Close() error {
	s.head.Close()
	return nil
}
