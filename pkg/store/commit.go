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
			_ = s.tryCommit()
		case <-s.early:
			_ = s.tryCommit()
		case answer := <-s.flushes:
			s.answer(answer)
		}
	}
}

// answer commits once for everybody who waits: a whole fleet may connect anew.
func (s *Store) answer(waiting ...chan error) {
	for more := true; more; {
		select {
		case one := <-s.flushes:
			waiting = append(waiting, one)
		default:
			more = false
		}
	}
	err := s.tryCommit()
	for _, one := range waiting {
		one <- err
	}
}

// tryCommit commits. If that fails the next beat tries again, and until it succeeds
// workers keep what they have.
func (s *Store) tryCommit() error {
	err := s.commit()
	if was := s.syncFails.Swap(err != nil); err != nil && !was {
		s.log.Warn("what workers send cannot be made to last, they are not told that they may forget it", "err", err)
	} else if err == nil && was {
		s.log.Info("the disk takes what workers send again")
	}
	return err
}

// flush waits for a group commit that covers everything appended before.
func (s *Store) flush() error {
	answer := make(chan error, 1)
	select {
	case s.flushes <- answer:
		return <-answer
	case <-s.stop:
		return s.commit()
	}
}

// commit makes durable what was appended before it was called, and tells the
// sessions. The order is the promise: how far the sessions have come is read first;
// then the names of series are synced, then the journal that speaks of them. What enters
// the journal meanwhile may become durable before its names do: nobody is told so yet,
// and a start passes over what it cannot read. The reasons of gaps are in the journal, too,
// so that the ledger need not be synced here.
func (s *Store) commit() error {
	s.committing.Lock()
	defer s.committing.Unlock()
	marks := s.takeDirty()
	s.waitingBytes.Store(0)
	if len(marks) == 0 && s.journal.Stats().Unsynced == 0 && s.schemaLog.log.Stats().Unsynced == 0 {
		return nil
	}
	started := time.Now()
	err := s.syncAll()
	if err != nil {
		s.figures.syncErrors.Add(1)
		for _, m := range marks {
			m.session.markDirty()
		}
		return err
	}
	s.figures.synced(time.Since(started))
	for _, m := range marks {
		m.session.publish(m.applied)
	}
	return nil
}

func (s *Store) syncAll() error {
	if err := s.schemaLog.sync(); err != nil {
		return fmt.Errorf("names of series: %w", err)
	}
	if err := s.journal.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// mark is how far a session had come when a commit began.
type mark struct {
	session *Session
	applied uint64
}

func (s *Store) takeDirty() []mark {
	s.dirtyMu.Lock()
	sessions := s.dirty
	s.dirty = nil
	s.dirtyMu.Unlock()
	marks := make([]mark, len(sessions))
	for i, session := range sessions {
		session.dirty.Store(false) // before reading: an append after it makes the session dirty again
		marks[i] = mark{session, session.head.Applied()}
	}
	return marks
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
