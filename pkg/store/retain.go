package store

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// retain drops volumes that are older than they are kept for, or too many, and the
// names of series that are in none of the rest.
func (s *Store) retain(now time.Time) error {
	s.passing.Lock()
	defer s.passing.Unlock()
	if err := s.dropSealed(); err != nil {
		return err
	}
	removed, err := s.volumes.Retain(now, s.retention())
	for _, one := range removed {
		s.published.Add(1)
		s.log.Info("volume dropped", "volume", one.Number, "tier", one.Tier.String(), "bytes", one.Bytes,
			"from", time.UnixMilli(int64(one.First)).UTC(), "to", time.UnixMilli(int64(one.Last)).UTC())
	}
	if err != nil {
		return err
	}
	if len(removed) > 0 || now.Sub(s.forgotten) >= forgetEvery {
		s.forgotten = now
		s.dictionary.Forget(s.oldest(now))
	}
	return nil
}

// forgetEvery is how often names that nothing has are forgotten. What is used for the first
// time only after twice as long has been forgotten by then, and its worker is asked to
// declare it again: so not too often.
const forgetEvery = 10 * time.Minute

// retention is for how long volumes are kept.
func (s *Store) retention() volume.Retention {
	keep := volume.Retention{Bytes: s.config.RetentionSize}
	keep.Age[volume.Raw] = s.config.Retention
	keep.Age[volume.Minute] = s.config.MinuteRetention
	keep.Age[volume.Hour] = s.config.HourRetention
	return keep
}

// oldest is the time before which nothing is kept.
func (s *Store) oldest(now time.Time) model.Millis {
	oldest := model.Millis(now.Add(-s.config.Retention).UnixMilli())
	held := s.volumes.All()
	defer held.Release()
	for _, f := range held.Files() {
		first, _ := f.Range()
		for _, t := range rollTiers() {
			if t.volume == f.Tier() {
				first -= t.width() // the end of a bucket
			}
		}
		oldest = min(oldest, first)
	}
	return oldest
}
