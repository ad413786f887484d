package store

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// errTooOld ends the appending of a frame that lies outside the out-of-order
// window; that depends on its time only, so it shows at the first sample.
var errTooOld = errors.New("older than the out-of-order window")

// appendRow stores the decoder's row, one sample for each column that has a
// value and one marker for each that had one before, and the markers of series
// that left the schema. All or nothing; a frame that is too old is counted, and
// neither stored nor refused.
func (w *worker) appendRow(l *lane, at int64) (stored bool, refusal *Refusal) {
	app := w.store.db.Appender(context.Background())
	samples, markers, err := w.appendColumns(app, l, at)
	if err == nil {
		var ended uint64
		ended, err = w.appendEnding(app, l, at)
		markers += ended
	}
	if refusal := w.finish(app, err); refusal != nil || err != nil {
		return false, refusal
	}
	f := &w.store.figures
	f.frames.Add(1)
	f.samples.Add(samples)
	f.markers.Add(markers)
	return true, nil
}

// appendColumns is the hot path: for a series that is known, the database
// needs its number only.
func (w *worker) appendColumns(app storage.Appender, l *lane, at int64) (samples, markers uint64, err error) {
	refs, none := l.columns.refs, labels.EmptyLabels()
	for i, v := range l.decoder.Row() {
		absent := v != v && model.IsAbsent(v)
		if absent && !l.columns.isLive(i) {
			continue
		}
		ref, err := refs[i], tsdb.ErrInvalidSample
		if ref != 0 {
			ref, err = app.Append(ref, none, at, v)
		}
		if err != nil {
			if ref, err = w.appendSlowly(app, l, i, at, v, err); err != nil {
				return 0, 0, err
			}
		}
		if ref == 0 {
			continue
		}
		refs[i] = ref
		if absent {
			l.columns.clearLive(i)
			markers++
		} else {
			l.columns.setLive(i)
			samples++
		}
	}
	return samples, markers, nil
}

// appendSlowly deals with a sample that was not taken for cause. It returns 0
// when the sample is left out and the frame goes on.
func (w *worker) appendSlowly(app storage.Appender, l *lane, i int, at int64, v float64, cause error) (storage.SeriesRef, error) {
	if errors.Is(cause, tsdb.ErrInvalidSample) {
		// The database does not know the number, or no longer: it forgets
		// series that were silent for hours.
		ref, err := app.Append(0, w.labelsOf(l.schema, i), at, v)
		if err == nil {
			return ref, nil
		}
		cause = err
	}
	switch {
	case errors.Is(cause, storage.ErrTooOldSample), errors.Is(cause, storage.ErrOutOfBounds),
		errors.Is(cause, storage.ErrOutOfOrderSample):
		return 0, errTooOld
	case errors.Is(cause, storage.ErrDuplicateSampleForTimestamp):
		w.store.figures.refused[CauseConflict].Add(1)
		return 0, nil
	}
	return 0, cause
}

// appendEnding writes the markers of series that left the stream, except those
// that go on in another stream of the worker.
func (w *worker) appendEnding(app storage.Appender, l *lane, at int64) (markers uint64, err error) {
	if len(l.ending) == 0 {
		return 0, nil
	}
	elsewhere := map[storage.SeriesRef]bool{}
	for _, other := range w.lanes {
		if other != l {
			other.columns.eachLive(func(i int) { elsewhere[other.columns.refs[i]] = true })
		}
	}
	for _, s := range l.ending {
		if s.ref != 0 && elsewhere[s.ref] {
			continue
		}
		switch err := appendMarker(app, s, at); {
		case err == nil:
			markers++
		case isLate(err):
		default:
			return markers, err
		}
	}
	l.ending = nil
	return markers, nil
}

// appendMarker ends a series.
func appendMarker(app storage.Appender, s series, at int64) error {
	_, err := app.Append(s.ref, s.labels, at, model.Absent())
	if errors.Is(err, tsdb.ErrInvalidSample) {
		return nil // the database has forgotten the series: it ended long ago
	}
	return err
}

// isLate tells errors about the time of one sample, which leave the rest valid.
func isLate(err error) bool {
	return errors.Is(err, storage.ErrTooOldSample) || errors.Is(err, storage.ErrOutOfBounds) ||
		errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp)
}

// endSeries writes the markers of l.ending without a frame.
func (w *worker) endSeries(l *lane, at model.Millis) *Refusal {
	if len(l.ending) == 0 {
		return nil
	}
	app := w.store.db.Appender(context.Background())
	markers, err := w.appendEnding(app, l, int64(at))
	if refusal := w.finish(app, err); refusal != nil {
		return refusal
	}
	w.store.figures.markers.Add(markers)
	return nil
}

// finish commits what was appended if err is nil, and takes it back otherwise.
func (w *worker) finish(app storage.Appender, err error) *Refusal {
	if err != nil {
		rollback := app.Rollback()
		if errors.Is(err, errTooOld) && rollback == nil {
			w.store.figures.refused[CauseTooOld].Add(1)
			return nil
		}
		return later(CauseFailed, "append: %v", errors.Join(err, rollback))
	}
	if err := app.Commit(); err != nil {
		// The log may lack a series that the head has: later samples of it
		// would be lost at the next start, although acknowledged.
		w.store.fail(err)
		return later(CauseFailed, "commit: %v", err)
	}
	return nil
}
