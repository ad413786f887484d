package store

import (
	"fmt"
	"time"
)

// commitLoop runs the group commit: on its beat, early when much has gathered,
// and when somebody waits for it. It ends with Close.
func (s *Store) commitLoop() {
	beat := time.NewTicker(s.config.SyncInterval)
	defer beat.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-beat.C:
			s.tryCommit()
		case <-s.early:
			s.tryCommit()
		case answer := <-s.flushes:
			answer <- s.commit()
		}
	}
}

// tryCommit is for commits that nobody waits for: the error was counted, and
// the next beat tries again unless the store has failed.
func (s *Store) tryCommit() {
	if s.broken.get() != nil {
		return
	}
	if err := s.commit(); err != nil {
		s.log.Warn("group commit did not succeed", "err", err)
	}
}

// flush waits for a group commit that covers everything appended before.
func (s *Store) flush() error {
	answer := make(chan error, 1)
	select {
	case s.flushes <- answer:
		return <-answer
	case <-s.stop:
		return later(CauseClosed, "the store is closing")
	}
}

// commit makes durable what was appended before it was called: first the
// samples, then the resume points and parts that speak of them. The order is
// the promise. Only one commit runs at a time: the loop's, or Close's after it.
func (s *Store) commit() error {
	if err := s.broken.get(); err != nil {
		return err
	}
	sessions, b, unsynced := s.takeDirty()
	if !unsynced && len(sessions) == 0 && b.empty() {
		return nil
	}
	s.waitingBytes.Store(0)
	started := time.Now()
	if err := s.syncLogs(); err != nil {
		s.fail(err) // the kernel may have dropped the pages: asking again proves nothing
		s.figures.syncErrors.Add(1)
		return err
	}
	if err := s.index.write(b); err != nil {
		s.figures.syncErrors.Add(1)
		s.putBack(sessions, b)
		return fmt.Errorf("write index: %w", err)
	}
	s.figures.synced(time.Since(started))
	s.catalog.settle(b, true)
	for i, session := range sessions {
		session.publish(b.marks[i].seq)
	}
	return nil
}

// takeDirty gathers what the commit is about. How far the sessions have come is
// read before the parts are taken: so the parts of everything they have
// processed are in this batch or in an earlier one.
func (s *Store) takeDirty() ([]*Session, batch, bool) {
	s.dirtyMu.Lock()
	sessions, unsynced := s.dirty, s.unsynced
	b := batch{sources: s.sources, now: s.now()}
	s.dirty, s.sources, s.unsynced = nil, nil, false
	s.dirtyMu.Unlock()
	b.marks = make([]mark, len(sessions))
	for i, session := range sessions {
		session.dirty.Store(false) // before reading: an append after it makes the session dirty again
		b.marks[i] = mark{session.worker.id, session.boot, session.applied.Load()}
	}
	s.catalog.take(&b)
	return sessions, b, unsynced
}

// putBack keeps what could not be written for the next commit.
func (s *Store) putBack(sessions []*Session, b batch) {
	s.catalog.settle(b, false)
	for _, session := range sessions {
		session.markDirty()
	}
	s.dirtyMu.Lock()
	defer s.dirtyMu.Unlock()
	s.sources = append(b.sources, s.sources...)
}

// syncLogs makes the database's logs durable.
func (s *Store) syncLogs() error {
	if err := s.wal.sync(); err != nil {
		return err
	}
	if err := s.wbl.sync(); err != nil {
		return err
	}
	// The database only logs a warning when the log of late samples fails.
	if n := s.probe.lateLogFailures(); n > 0 {
		return fmt.Errorf("%.0f writes to the out-of-order log failed", n)
	}
	return nil
}

// wrote notes n accepted bytes, and calls for an early commit when it is time.
func (s *Store) wrote(n int) {
	if s.waitingBytes.Add(int64(n)) < int64(s.config.SyncBytes) {
		return
	}
	select {
	case s.early <- struct{}{}:
	default: // one is on its way
	}
}
