package feed

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// batch is what is to be committed. It is for one goroutine.
type batch struct {
	feed    *Feed
	samples []sample
	fresh   map[uint64]*series // not in the feed, by hash
	added   int                // of them
}

// append adds a sample, if it can be stored. ordered says that it must be the newest of its
// series.
func (b *batch) append(ref storage.SeriesRef, of labels.Labels, t int64, v float64, ordered bool) (storage.SeriesRef, error) {
	f := b.feed
	if v != v && model.IsEnded(v) {
		f.figures.invalid.Add(1)
		return 0, fmt.Errorf("series %.200s: value %#x: %w", of, math.Float64bits(v), ErrInvalid)
	}
	if err := f.inTime(t); err != nil {
		f.figures.times.Add(1)
		return 0, fmt.Errorf("series %.200s: sample at %d ms: %w", of, t, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.table.at(ref)
	if s == nil {
		var err error
		if s, err = b.find(of); err != nil {
			return 0, err
		}
	}
	switch {
	case !s.some:
	case ordered && t < s.last:
		f.figures.times.Add(1)
		return s.ref, storage.ErrOutOfOrderSample
	case t == s.last && math.Float64bits(v) != s.bits:
		f.figures.duplicates.Add(1)
		return s.ref, storage.ErrDuplicateSampleForTimestamp
	}
	if b.samples == nil {
		b.samples, f.spare = f.spare, nil
	}
	b.samples = append(b.samples, sample{s, t, v})
	return s.ref, nil
}

// inTime says whether a sample can be taken now.
func (f *Feed) inTime(t int64) error {
	distance := t - f.options.Now().UnixMilli()
	switch {
	case distance > f.options.MaxAhead.Milliseconds():
		return fmt.Errorf("more than %s ahead: %w", f.options.MaxAhead, storage.ErrOutOfBounds)
	case distance < -f.options.Retention.Milliseconds():
		return fmt.Errorf("older than %s: %w", f.options.Retention, storage.ErrTooOldSample)
	}
	return nil
}

// find returns the series with the labels, of the feed or of the batch; a new one if there is
// none. Called with Feed.mu held.
func (b *batch) find(of labels.Labels) (*series, error) {
	f := b.feed
	hash := of.Hash()
	if s := f.table.find(hash, of); s != nil {
		return s, nil
	}
	if s := chained(b.fresh[hash], of); s != nil {
		return s, nil
	}
	bare := of.WithoutEmpty()
	if bare.Len() != of.Len() {
		return b.find(bare)
	}
	s, err := newSeries(of, hash)
	if err != nil {
		f.figures.invalid.Add(1)
		return nil, err
	}
	if !f.makeRoom(b.added + 1) {
		f.figures.tooMany.Add(1)
		return nil, fmt.Errorf("series %.200s would be one more than %d: %w", of, f.options.MaxSeries, ErrTooManySeries)
	}
	if b.fresh == nil {
		b.fresh = map[uint64]*series{}
	}
	s.next = b.fresh[hash]
	b.fresh[hash] = s
	b.added++
	return s, nil
}

// Commit implements storage.AppenderTransaction.
func (b *batch) Commit() error {
	for _, s := range b.fresh {
		for s != nil {
			s, s.next = s.next, nil
		}
	}
	samples := b.samples
	*b = batch{feed: b.feed}
	return b.feed.store(samples)
}

// Rollback implements storage.AppenderTransaction.
func (b *batch) Rollback() error {
	*b = batch{feed: b.feed}
	return nil
}
