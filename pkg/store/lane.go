package store

import (
	"errors"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// maxDeclared is how many schemas of a stream are remembered: frames of the old
// one may still be under way when a new one is declared.
const maxDeclared = 4

// lane is the state of one stream of a worker. It is guarded by its worker's
// ingest lock. What live views read (schema, decoder, received) is changed with
// the worker's mu held as well.
type lane struct {
	boot     model.BootID
	declared []*schema // newest last
	// muted is why the newest schema was refused: its frames are passed over.
	muted *Refusal

	// schema and columns are those of the newest frame that was taken.
	schema  *schema
	columns columns
	// decoder follows the frames; nil after a restart of the worker, until the
	// first key frame.
	decoder  *frame.Decoder
	received time.Time // when the newest frame was stored; zero is never
	// ending are series that need a marker at the next frame.
	ending []series
}

// series is one series of the database: its number, or its labels while the
// number is not known.
type series struct {
	ref    storage.SeriesRef
	labels labels.Labels
}

// restart forgets what belongs to an earlier boot of the worker, but not which
// of its series are live.
func (l *lane) restart(boot model.BootID) {
	l.boot, l.declared, l.muted, l.decoder = boot, nil, nil, nil
}

func (l *lane) declare(s *schema) {
	l.muted = nil
	for i, known := range l.declared {
		if known.id == s.id {
			l.declared = append(append(l.declared[:i:i], l.declared[i+1:]...), s)
			return
		}
	}
	if len(l.declared) == maxDeclared {
		l.declared = l.declared[1:]
	}
	l.declared = append(l.declared, s)
}

func (l *lane) find(id frame.SchemaID) *schema {
	for _, s := range l.declared {
		if s.id == id {
			return s
		}
	}
	return nil
}

// size is how many series the stream has, or will have with its newest schema.
func (l *lane) size() int {
	n := 0
	if l.schema != nil {
		n = l.schema.columns()
	}
	if len(l.declared) > 0 {
		n = l.declared[len(l.declared)-1].columns()
	}
	return n
}

// follow makes the lane take frames of next.
func (w *worker) follow(l *lane, next *schema) {
	decoder := frame.NewDecoder(next.layout, next.id)
	if l.schema == nil || l.schema.id != next.id {
		columns, _, left := carry(l.schema, l.columns, next)
		for _, i := range left {
			l.ending = append(l.ending, w.seriesOf(l, i))
		}
		l.columns = columns
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l.schema, l.decoder = next, decoder
}

// seriesOf names the series of a column.
func (w *worker) seriesOf(l *lane, i int) series {
	if ref := l.columns.refs[i]; ref != 0 {
		return series{ref: ref}
	}
	return series{labels: w.labelsOf(l.schema, i)}
}

func (w *worker) labelsOf(s *schema, i int) labels.Labels {
	family, own := s.column(i)
	return seriesLabels(&w.builder, w.identity, family.Name, own)
}

// takeFrame decodes a frame and, with keep, stores it.
func (w *worker) takeFrame(l *lane, payload []byte, keep bool) *Refusal {
	h, err := frame.Peek(payload)
	if err != nil {
		return skips(CauseBadFrame, "%v", err)
	}
	if h.Key {
		if refusal := w.changeSchema(l, h); refusal != nil {
			return refusal
		}
	}
	if l.muted != nil {
		w.store.refused(l.muted)
		return nil
	}
	if l.decoder == nil {
		w.store.figures.refused[CauseNoBase].Add(1)
		return nil
	}
	w.mu.Lock()
	err = l.decoder.Decode(payload)
	w.mu.Unlock()
	switch {
	case errors.Is(err, frame.ErrBase):
		// A record before it was lost, by the spool or by a refusal: the next
		// key frame mends it.
		w.store.figures.refused[CauseNoBase].Add(1)
		return nil
	case err != nil:
		return skips(CauseBadFrame, "%v", err)
	case !keep:
		l.remember()
		w.note(l, time.Time{})
		return nil
	}
	return w.keepFrame(l, h.At)
}

// changeSchema follows the schema of a key frame.
func (w *worker) changeSchema(l *lane, h frame.Header) *Refusal {
	if l.decoder != nil && l.schema.id == h.Schema {
		l.muted = nil
		return nil
	}
	if next := l.find(h.Schema); next != nil {
		l.muted = nil
		w.follow(l, next)
		w.dropOldBoots()
		return nil
	}
	// What the stream had before has ended, whatever it is that it has now.
	l.columns.eachLive(func(i int) { l.ending = append(l.ending, w.seriesOf(l, i)) })
	clear(l.columns.live)
	w.mu.Lock()
	l.decoder = nil
	w.mu.Unlock()
	if refusal := w.endSeries(l, h.At); refusal != nil {
		return refusal
	}
	if l.muted != nil {
		return nil
	}
	return skips(CauseUnknownSchema, "key frame of schema %s, which was not declared", h.Schema)
}

// remember notes which columns a frame that was stored in an earlier life had.
func (l *lane) remember() {
	for i, v := range l.decoder.Row() {
		if model.IsAbsent(v) {
			l.columns.clearLive(i)
		} else {
			l.columns.setLive(i)
		}
	}
}

// keepFrame stores the decoder's row if its time allows.
func (w *worker) keepFrame(l *lane, at model.Millis) *Refusal {
	now := w.store.now()
	if int64(at) > now.Add(maxAhead).UnixMilli() {
		return skips(CauseFuture, "frame of %s, by the collector's clock it is %s, and at most %s ahead are taken",
			time.UnixMilli(int64(at)).UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), maxAhead)
	}
	if int64(at) < now.Add(-w.store.config.Retention).UnixMilli() {
		w.store.figures.refused[CauseTooOld].Add(1)
		return nil
	}
	stored, refusal := w.appendRow(l, int64(at))
	if stored {
		w.note(l, now)
	}
	return refusal
}

// maxAhead is how far in the future a frame may lie.
const maxAhead = time.Hour

// takeSchema declares a schema for a stream.
func (w *worker) takeSchema(s *Session, stream model.StreamID, payload []byte) *Refusal {
	l := w.lanes[stream]
	if l == nil {
		if len(w.lanes) >= maxStreams {
			return skips(CauseTooManyStreams, "stream %d would be one of more than %d", stream, maxStreams)
		}
		l = &lane{boot: s.boot}
		w.mu.Lock()
		w.lanes[stream] = l
		w.mu.Unlock()
	}
	if l.boot != s.boot {
		w.mu.Lock()
		l.restart(s.boot)
		w.mu.Unlock()
	}
	next, err := w.store.catalog.schema(payload)
	refusal := asRefusal(err)
	if refusal == nil {
		refusal = w.admit(l, next)
	}
	if refusal != nil {
		if refusal.Skipped {
			l.muted = refusal
		}
		return refusal
	}
	l.declare(next)
	return nil
}

// admit checks a schema against the worker's limits.
func (w *worker) admit(l *lane, next *schema) *Refusal {
	config := &w.store.config
	total := next.columns()
	for _, other := range w.lanes {
		if other != l && other.boot == l.boot {
			total += other.size()
		}
	}
	if total > config.MaxSeries {
		return skips(CauseTooManySeries, "%d series with this schema, at most %d are granted to a worker (max_series)", total, config.MaxSeries)
	}
	_, fresh, _ := carry(l.schema, l.columns, next)
	if !w.budget.take(w.store.now(), fresh, config.MaxNewSeries) {
		return skips(CauseTooManyNew, "%d more new series in this hour, at most %d are granted to a worker (max_new_series)", fresh, config.MaxNewSeries)
	}
	return nil
}

// asRefusal turns the catalog's errors, which are refusals, back into them.
func asRefusal(err error) *Refusal {
	var refusal *Refusal
	if err == nil || errors.As(err, &refusal) {
		return refusal
	}
	return later(CauseFailed, "%v", err)
}

// budget counts new series by the hour.
type budget struct {
	hour  int64
	spent int
}

func (b *budget) take(now time.Time, n, limit int) bool {
	if hour := now.Unix() / 3600; hour != b.hour {
		b.hour, b.spent = hour, 0
	}
	if b.spent+n > limit {
		return false
	}
	b.spent += n
	return true
}
