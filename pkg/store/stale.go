package store

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// lookback is how far queries look for the present value of a series; what is
// older needs no marker.
const lookback = 5 * time.Minute

// MarkStale ends all series of a worker that is gone: a query at any time after
// `at` no longer sees them. Markers are never put before a sample that is stored:
// when the worker's clock was ahead, its series end just after their newest
// sample. The markers become durable with the next group commit. A worker that
// comes back simply goes on.
func (s *Store) MarkStale(id model.WorkerID, at time.Time) error {
	if refusal := s.accepts(); refusal != nil {
		return fmt.Errorf("mark worker %s stale: %w", id, refusal)
	}
	var refusal *Refusal
	w := s.peek(id)
	if w == nil {
		refusal = s.endStored(id, at)
	} else {
		refusal = w.markStale(at)
	}
	if refusal != nil {
		return fmt.Errorf("mark worker %s stale: %w", id, refusal)
	}
	s.touch()
	return nil
}

// touch has the next group commit sync the logs although no session is dirty.
func (s *Store) touch() {
	s.dirtyMu.Lock()
	defer s.dirtyMu.Unlock()
	s.unsynced = true
}

func (w *worker) markStale(at time.Time) *Refusal {
	w.ingest.Lock()
	defer w.ingest.Unlock()
	if len(w.lanes) == 0 {
		return w.store.endStored(w.id, at)
	}
	if refusal := w.endAll(at.UnixMilli()); refusal != nil {
		return refusal
	}
	if !w.hasSession() {
		w.dropLanes(func(*lane) bool { return true })
	}
	return nil
}

// endAll marks the live series of all streams, each at the given time or just
// after its newest sample, whichever is later. Called with ingest held.
func (w *worker) endAll(at int64) *Refusal {
	app := w.store.db.Appender(context.Background())
	done := map[storage.SeriesRef]bool{} // a series may be live in two streams
	last := int64(w.newest.At)           // written with ingest held only
	var markers uint64
	var failed error
	for _, l := range w.lanes {
		l.columns.eachLive(func(i int) {
			one := w.seriesOf(l, i)
			if failed != nil || one.ref != 0 && done[one.ref] {
				return
			}
			done[one.ref] = true
			if err := appendMarker(app, one, max(at, last+1)); err == nil {
				markers++
			} else if !isLate(err) {
				failed = err
			}
		})
	}
	if refusal := w.finish(app, failed); refusal != nil {
		return refusal
	}
	for _, l := range w.lanes {
		clear(l.columns.live)
		l.ending = nil
	}
	w.store.figures.markers.Add(markers)
	return nil
}

// endStored marks the series of a worker of which nothing is in memory, as after
// a restart: those under its labels that a query at `at` would still see.
func (s *Store) endStored(id model.WorkerID, at time.Time) *Refusal {
	set, err := s.index.source(id)
	if err != nil {
		return later(CauseFailed, "%v", err)
	}
	if set == nil {
		return nil // nothing of it was ever stored
	}
	found, err := s.liveUnder(set, at)
	if err != nil {
		return later(CauseFailed, "%v", err)
	}
	app := s.db.Appender(context.Background())
	var failed error
	for _, one := range found {
		_, err := app.Append(0, one.labels, max(at.UnixMilli(), one.last+1), model.Absent())
		if err != nil && !isLate(err) {
			failed = err
			break
		}
	}
	if refusal := (&worker{store: s}).finish(app, failed); refusal != nil {
		return refusal
	}
	s.figures.markers.Add(uint64(len(found)))
	return nil
}

// visible is a series that queries see, and the time of its newest sample.
type visible struct {
	labels labels.Labels
	last   int64
}

// liveUnder finds the series with all labels of set that have a value at `at`.
func (s *Store) liveUnder(set map[string]string, at time.Time) ([]visible, error) {
	var matchers []*labels.Matcher
	for name, text := range set {
		m, err := labels.NewMatcher(labels.MatchEqual, name, text)
		if err != nil {
			return nil, err
		}
		matchers = append(matchers, m)
	}
	q, err := s.db.Querier(at.Add(-lookback).UnixMilli(), at.Add(maxAhead).UnixMilli())
	if err != nil {
		return nil, err
	}
	defer q.Close()
	var found []visible
	var it chunkenc.Iterator
	all := q.Select(context.Background(), false, nil, matchers...)
	for all.Next() {
		one, last := all.At(), 0.0
		e := visible{labels: one.Labels()}
		it = one.Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			e.last, last = it.At()
		}
		if it.Err() == nil && e.last != 0 && !value.IsStaleNaN(last) {
			found = append(found, e)
		}
	}
	return found, all.Err()
}
