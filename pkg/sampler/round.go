package sampler

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Snapshot is one round.
type Snapshot struct {
	At model.Millis
	// Parts describe the columns of Row. They are shared and immutable.
	Parts []model.Part
	// Row has one value for each series, in order; model.Absent where it was
	// not read. It is the receiver's.
	Row []float64
}

// sample makes a round: s.schema and s.row are its result. The caller holds
// s.rounds.
func (s *Sampler) sample(at time.Time) error {
	if s.closed {
		return errClosed
	}
	began := s.now()
	r := &s.round
	r.at = at
	r.number++
	r.bytes = 0
	r.grace = s.schedule.grace(s.cfg.Collectors.Filesystem.MountTimeout)

	how := s.slots[len(s.slots)-1]
	others := s.slots[:len(s.slots)-1]
	for _, slot := range others {
		if c, is := slot.collector.(starter); is {
			c.start(r)
		}
	}
	changed := how.changed()
	for _, slot := range others {
		slot.run(r, s.now)
		changed = changed || slot.changed()
	}
	if changed {
		decide(s.slots, s.last, s.cfg.MaxSeries)
	}
	for _, slot := range others {
		slot.settle()
		s.tell(slot)
	}
	how.run(r, s.now)
	if (changed || s.schema == nil) && !s.schema.fits(s.slots) {
		if err := s.reshape(); err != nil {
			return err
		}
	}
	s.row = s.row[:0]
	for _, slot := range s.slots {
		if slot.granted() {
			s.row = append(s.row, slot.sheet.values...)
		}
	}
	s.publish(at, s.now().Sub(began))
	return nil
}

// reshape replaces the schema.
func (s *Sampler) reshape() error {
	next, err := newSchema(s.slots)
	if err != nil {
		// Two parts have a series in common: a bug, for which no round can
		// be right.
		s.log.Error("cannot join the parts of a round", "err", err)
	}
	s.public.Lock()
	defer s.public.Unlock()
	if err != nil {
		s.schema = nil
		s.stats.SchemaErrors++
		return err
	}
	s.schema = next
	s.stats.SchemaChanges++
	return nil
}

// tell logs how a collector fares when that has changed.
func (s *Sampler) tell(slot *slot) {
	if slot.outcome == slot.told {
		return
	}
	before := slot.told
	slot.told = slot.outcome
	switch {
	case slot.outcome == failed:
		s.log.Warn("collector failed", "collector", slot.name, "err", slot.err)
	case slot.outcome == refused:
		s.log.Error("collector left out", "collector", slot.name, "err", slot.err)
	case before == failed || before == refused:
		s.log.Info("collector recovered", "collector", slot.name)
	case slot.outcome == missing:
		s.log.Debug("collector has nothing to read on this host", "collector", slot.name)
	}
}

// publish shows the round to Newest and Stats.
func (s *Sampler) publish(at time.Time, took time.Duration) {
	threads := 0
	if s.pool != nil {
		threads = s.pool.under()
	}
	s.public.Lock()
	defer s.public.Unlock()
	s.newest.At = model.Millis(at.UnixMilli())
	s.newest.Parts = s.schema.parts
	s.newest.Row = append(s.newest.Row[:0], s.row...)
	s.stats.Rounds++
	s.stats.Series = len(s.row)
	s.stats.LastRound = took
	s.stats.LastAt = s.newest.At
	s.stats.StatThreads = threads
	s.publishStatsLocked()
}
