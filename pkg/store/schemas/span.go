package schemas

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// stay is a schema in a stream.
type stay struct {
	stream model.StreamID
	schema *schema
}

// Span is a time in which a stream had a schema, pauses included.
type Span struct {
	host   *host // of source
	source *Source
	stay
	pause    int64 // Config.Pause in milliseconds
	from, to atomic.Int64
	gone     atomic.Bool // forgotten, or just being judged

	written struct{ from, to int64 } // what the last record said; guarded by writing
}

// farthest is how far from 1970 a time may be, in milliseconds: sums of times and pauses
// cannot overflow.
const farthest = 1 << 60

func isTime(t int64) bool { return -farthest < t && t < farthest }

// fewSpans is up to how many spans of a source are searched one by one.
const fewSpans = 16

// Extend notes a frame at the time at. It takes no lock: call it for every frame. It
// reports false when the span cannot take the frame: it lies before the span, or too
// long after it, or the span is forgotten. Then ask Use for another span.
func (s *Span) Extend(at model.Millis) bool {
	t := int64(at)
	to := s.to.Load()
	if !isTime(t) || t < s.from.Load() || t-to > s.pause {
		return false
	}
	for t > to && !s.to.CompareAndSwap(to, t) {
		to = s.to.Load()
	}
	// Forget looks at to after it has set gone: one of the two sees the other.
	return !s.gone.Load()
}

// Bounds are the times of the first and the last frame.
func (s *Span) Bounds() (from, to model.Millis) {
	return model.Millis(s.from.Load()), model.Millis(s.to.Load())
}

// Use returns the span of a source's stream and schema that takes a frame at the
// time at: the nearest one if it is not more than Config.Pause away, else a new one,
// whose record is appended to record. It fails with ErrUnknownSource, ErrUnknownSchema,
// ErrTime and a LimitError.
func (d *Dictionary) Use(record []byte, s *Source, stream model.StreamID, id frame.SchemaID, at model.Millis) ([]byte, *Span, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if s.gone {
		return record, nil, fmt.Errorf("schemas: use of source %d, worker %v: %w", s.number, s.worker, ErrUnknownSource)
	}
	if !isTime(int64(at)) {
		return record, nil, fmt.Errorf("schemas: use at %d: %w", at, ErrTime)
	}
	sch := d.schemas[id]
	if sch == nil {
		return record, nil, fmt.Errorf("schemas: use of schema %v: %w", id, ErrUnknownSchema)
	}
	span, fresh, err := d.use(s, stay{stream, sch}, int64(at), int64(at))
	if err != nil || !fresh {
		return record, span, err
	}
	span.note()
	return appendSpans(record, []*Span{span}), span, nil
}

// use finds or makes the span that takes from to to. Called with writing held.
func (d *Dictionary) use(s *Source, want stay, from, to int64) (span *Span, fresh bool, err error) {
	if near := d.nearest(s, want, from, to); near != nil {
		near.widen(from, to)
		return near, false, nil
	}
	if err := d.roomForSpans(s, 1); err != nil {
		return nil, false, err
	}
	span = &Span{host: s.host, source: s, stay: want, pause: d.config.Pause.Milliseconds()}
	span.from.Store(from)
	span.to.Store(to)
	d.spans++
	d.bytes += spanBytes
	d.mu.Lock()
	s.spans = append(s.spans, span)
	want.schema.spans = append(want.schema.spans, span)
	d.mu.Unlock()
	s.remember(span)
	s.idle, want.schema.idle = false, false
	return span, true, nil
}

func (d *Dictionary) roomForSpans(s *Source, n int) error {
	if len(s.spans)+n > d.config.Spans {
		return &LimitError{"spans", int64(d.config.Spans)}
	}
	if d.bytes+spanBytes*int64(n) > int64(d.config.Bytes) {
		return &LimitError{"bytes", int64(d.config.Bytes)}
	}
	return nil
}

// nearest finds the nearest span within the pause. Called with writing held.
func (d *Dictionary) nearest(s *Source, want stay, from, to int64) *Span {
	pause := d.config.Pause.Milliseconds()
	if s.latest != nil {
		last := s.latest[want]
		if last == nil || from > last.to.Load()+pause {
			return nil // never had, or long ago
		}
		if from >= last.from.Load() {
			return last
		}
	}
	var best *Span
	away := int64(math.MaxInt64)
	for _, span := range s.spans {
		if span.stay != want {
			continue
		}
		distance := max(0, span.from.Load()-to, from-span.to.Load())
		if distance <= pause && distance < away {
			best, away = span, distance
		}
	}
	return best
}

// remember keeps the map of latest spans. Called with writing held.
func (s *Source) remember(span *Span) {
	if s.latest == nil {
		if len(s.spans) <= fewSpans {
			return
		}
		s.latest = make(map[stay]*Span, len(s.spans))
		for _, known := range s.spans {
			s.remember(known)
		}
		return
	}
	if known := s.latest[span.stay]; known == nil || known.to.Load() < span.to.Load() {
		s.latest[span.stay] = span
	}
}

// widen makes a span contain from to to.
func (s *Span) widen(from, to int64) {
	for known := s.from.Load(); from < known && !s.from.CompareAndSwap(known, from); {
		known = s.from.Load()
	}
	for known := s.to.Load(); to > known && !s.to.CompareAndSwap(known, to); {
		known = s.to.Load()
	}
}

// note says that a record has the present bounds. Called with writing held.
func (s *Span) note() { s.written.from, s.written.to = s.from.Load(), s.to.Load() }

// Bounds gives the records of all spans that have grown since their last record:
// what a log must hold before the frames that made them grow are dropped
// elsewhere. When emit fails, its error is returned, and what was not emitted
// comes again.
func (d *Dictionary) Bounds(emit func(record []byte) error) error {
	d.mu.RLock()
	sources := make([]*Source, 0, len(d.sources))
	for _, s := range d.sources {
		sources = append(sources, s)
	}
	d.mu.RUnlock()
	b := batch{d: d, emit: emit}
	for _, s := range sources {
		if err := d.boundsOf(s, &b); err != nil {
			return err
		}
	}
	return b.flush()
}

func (d *Dictionary) boundsOf(s *Source, b *batch) error {
	d.writing.Lock()
	var grown []*Span
	for _, span := range s.spans {
		if span.written.from != span.from.Load() || span.written.to != span.to.Load() {
			grown = append(grown, span)
		}
	}
	d.writing.Unlock()
	for _, span := range grown {
		if err := b.add(span); err != nil {
			return err
		}
	}
	return nil
}
