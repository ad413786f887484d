package store

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// passRetry is how long after a pass that did not succeed the next one is tried.
const passRetry = time.Minute

// passIfDue seals what is in the journal when it is old or large enough.
func (s *Store) passIfDue() {
	now := s.now()
	s.passing.Lock()
	age := now.Sub(s.lastPass)
	s.passing.Unlock()
	full := s.journal.Stats().Bytes >= int64(s.config.JournalBytes)
	if age < s.config.SealAfter && !(full && age >= passRetry) && !s.unplaced.Load() {
		return
	}
	if err := s.Pass(); err != nil {
		s.figures.passErrors.Add(1)
		s.log.Warn("what is in the journal cannot be sealed; it is tried again", "err", err)
	}
}

// Pass seals everything that is in the journal into a volume, and drops it from the
// journal. It is done by itself, at the latest when Config.SealAfter has passed; a
// caller may want it earlier. Appends and queries go on meanwhile.
//
// The order is what makes it safe at any moment: the volume is on disk before
// anything that says so, and the journal's beginning goes last. Killed in between, the
// store comes back with the rows in the journal, or in the volume, or in both, and shows them once.
func (s *Store) Pass() error {
	s.passing.Lock()
	defer s.passing.Unlock()
	s.lastPass = s.now() // also of one that fails: a full disk is not to be tried every second
	started := time.Now()
	// Rotating syncs the journal, and what it speaks of has to last before it does.
	if err := s.schemaLog.sync(); err != nil {
		return fmt.Errorf("names of series: %w", err)
	}
	// What is sealed must not share a segment with what is not.
	if err := s.journal.Rotate(); err != nil {
		return err
	}
	w, err := s.volumes.Create(volume.Raw)
	if err != nil {
		return err
	}
	p, err := s.head.BeginPass(w.Number())
	if err != nil {
		_ = w.Abort()
		return err
	}
	rows, err := s.seal(p, w)
	if err != nil {
		p.Done(false)
		_ = w.Abort()
		return err
	}
	// What the journal says of the volume must not be lost when the volume is not, or its
	// rows would be sealed twice.
	if err := s.syncAll(); err != nil {
		p.Done(false)
		_ = w.Abort()
		return err
	}
	if err := s.publish(p, w); err != nil {
		return err
	}
	s.figures.passes.Add(1)
	s.figures.sealedRows.Add(uint64(rows))
	s.figures.passTime.Add(int64(time.Since(started)))
	s.sealedThrough = p.From() - 1
	if err := s.dropSealed(); err != nil {
		return err
	}
	s.unplaced.Store(false)
	return nil
}

// seal writes what the pass has detached.
func (s *Store) seal(p *head.Pass, w *volume.Writer) (rows int, err error) {
	sealer := newSealer(w)
	err = p.Lanes(func(l *head.SealLane) error {
		rows += l.Count
		var unread error
		err := sealer.lane(l, func(err error) {
			if errors.Is(err, durable.ErrDisk) {
				unread = err // not damaged, as far as is known: it may be read the next time
				return
			}
			s.figures.damage.Add(1)
			s.log.Error("rows in the journal cannot be read, they are lost", "worker", l.Source.Worker(), "stream", l.Stream, "err", err)
		})
		return cmp.Or(err, unread)
	})
	return rows, err
}

// publish makes the volume part of the store.
func (s *Store) publish(p *head.Pass, w *volume.Writer) error {
	if w.Blocks() == 0 {
		// Nothing was open: there is nothing to be found in it.
		p.Done(true)
		return w.Abort()
	}
	file, err := w.Commit()
	if err != nil {
		p.Done(false)
		return err
	}
	s.volumes.Add(file)
	s.published.Add(1) // before the head lets go of the rows: see view.Pieces
	p.Done(true)
	return nil
}

// dropSealed drops from the journal what passes have sealed, once everything that the
// journal says alone lasts elsewhere. Until it has succeeded no volume may go: its rows
// would come back from the journal at the next start. Called with passing held.
func (s *Store) dropSealed() error {
	if s.sealedThrough == 0 {
		return nil
	}
	if err := s.schemaLog.bounds(); err != nil {
		return fmt.Errorf("names of series: %w", err)
	}
	if err := s.ledger.Sync(); err != nil {
		return fmt.Errorf("gaps: %w", err)
	}
	if err := s.journal.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := s.journal.DropThrough(s.sealedThrough); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	s.sealedThrough = 0
	return nil
}
