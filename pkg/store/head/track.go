package head

import (
	"errors"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// maxDeclared is how many schemas of a stream are remembered: frames of the old
// one may still be under way when a new one is declared.
const maxDeclared = 4

// track follows one stream of a session. It is guarded by its worker's mu, and changed
// by the session's goroutine.
type track struct {
	session  *Session
	stream   model.StreamID
	lane     *lane
	declared []*schema // newest last
	// muted is why the newest schema was refused: its frames are passed over.
	muted *Refusal

	schema  *schema        // that of the decoder
	decoder *frame.Decoder // nil before the first key frame
	span    *schemas.Span  // of the last stored frame; nil after another schema
	seq     uint64         // of the last frame that was decoded
	// group is where the last frame went that was decoded; nil when it is not in
	// the journal, or nothing may be added: then a base goes before the next delta frame.
	group *group
	pen   pen
	noted bool // the decoder's row is the lane's newest

	// How many values the decoder's row has, by part; counted says that it is so.
	counts  []uint16
	samples int
	counted bool
	changes []columns // that the last frame may have changed
}

// columns are those from up to and without to.
type columns struct{ from, to int }

// takeSchema declares a schema for a stream.
func (s *Session) takeSchema(stream model.StreamID, payload []byte) *Refusal {
	t := s.track(stream)
	if t == nil {
		var refusal *Refusal
		if t, refusal = s.newTrack(stream); refusal != nil {
			return refusal
		}
	}
	next, refusal := s.schemaOf(t, payload)
	if refusal != nil {
		if refusal.Skipped {
			t.muted = refusal
		}
		return refusal
	}
	t.declare(next)
	return nil
}

func (s *Session) newTrack(stream model.StreamID) (*track, *Refusal) {
	most := s.grant.Streams
	if len(s.tracks) >= most {
		return nil, skips(CauseTooManyStreams, "stream %d would be one of more than %d", stream, most)
	}
	l := s.worker.laneOf(s.source, stream, lanesPerStream*most)
	if l == nil {
		return nil, skips(CauseTooManyStreams, "stream %d would be one of more than %d that the worker had lately", stream, lanesPerStream*most)
	}
	t := &track{session: s, stream: stream, lane: l}
	s.tracks = append(s.tracks, t)
	return t, nil
}

// schemaOf adds a schema to the dictionary if the worker's limits allow it.
func (s *Session) schemaOf(t *track, payload []byte) (*schema, *Refusal) {
	named, err := frame.ParseSchema(payload)
	if err != nil {
		return nil, skips(CauseBadSchema, "%v", err)
	}
	parts := make([]*schemas.Part, len(named.Parts))
	total := 0
	for i, id := range named.Parts {
		if parts[i] = s.head.deps.Dictionary.Part(id); parts[i] == nil {
			return nil, later(CauseUnknownPart, "schema %v names part %v, which was never sent", named.ID(), id)
		}
		total += parts[i].Columns()
	}
	if refusal := s.admit(t, parts, total); refusal != nil {
		return nil, refusal
	}
	id, refusal := s.head.define.addSchema(payload)
	if refusal != nil {
		return nil, refusal
	}
	next := s.head.schemas.get(id)
	if next == nil {
		return nil, later(CauseUnknownSchema, "schema %v was forgotten at once", id)
	}
	return next, nil
}

// admit checks a schema against the worker's limits.
func (s *Session) admit(t *track, parts []*schemas.Part, total int) *Refusal {
	for _, other := range s.tracks {
		if other != t {
			total += other.size()
		}
	}
	if total > s.grant.Series {
		return skips(CauseTooManySeries, "%d series with this schema, at most %d are granted to a worker (max_series)", total, s.grant.Series)
	}
	n := fresh(t.before(), parts)
	if !s.worker.budget.take(s.head.deps.Now(), n, s.grant.NewSeries) {
		return skips(CauseTooManyNew, "%d more new series in this hour, at most %d are granted to a worker (max_new_series)", n, s.grant.NewSeries)
	}
	return nil
}

// before are the parts that the stream has now, or had last.
func (t *track) before() []*schemas.Part {
	s := t.schema
	if s == nil {
		t.lane.mu.Lock()
		s = t.lane.newest.schema
		t.lane.mu.Unlock()
	}
	if s == nil {
		return nil
	}
	return s.parts
}

// size is how many series the stream has, or will have with its newest schema.
func (t *track) size() int {
	if n := len(t.declared); n > 0 {
		return t.declared[n-1].columns
	}
	return 0
}

func (t *track) declare(s *schema) {
	t.muted = nil
	if i := slices.Index(t.declared, s); i >= 0 {
		t.declared = slices.Delete(t.declared, i, i+1)
	} else if len(t.declared) == maxDeclared {
		t.declared = slices.Delete(t.declared, 0, 1)
	}
	t.declared = append(t.declared, s)
}

// take decodes a frame and, with keep, stores it.
func (t *track) take(record frame.Record, raw []byte, keep bool) outcome {
	h, err := frame.Peek(record.Payload)
	if err != nil {
		return outcome{cause: CauseBadFrame, samples: unknown, told: skips(CauseBadFrame, "%v", err)}
	}
	o := outcome{at: h.At, samples: unknown}
	if record.Seq <= t.seq {
		o.cause, o.told = CauseOrder, skips(CauseOrder, "frame %d comes after frame %d of its stream", record.Seq, t.seq)
		return o
	}
	if h.Key {
		if o.told = t.change(h); o.told != nil {
			o.cause = o.told.Cause
			return o
		}
	}
	switch {
	case t.muted != nil:
		o.cause = t.muted.Cause
		return o
	case t.decoder == nil:
		o.cause = CauseNoBase
		return o
	}
	var now time.Time
	if keep {
		now = t.session.head.deps.Now()
		o.cause, o.told = t.session.head.judge(h.At, now)
	}
	state := t.stateBefore(h, keep && o.cause == CauseNone)
	err = t.decoder.Decode(record.Payload)
	switch {
	case errors.Is(err, frame.ErrBase):
		// A record before it was lost, or refused: the next key frame mends it.
		return outcome{at: h.At, samples: unknown, cause: CauseNoBase}
	case err != nil:
		t.group, t.counted, t.noted = nil, false, false
		return outcome{at: h.At, samples: unknown, cause: CauseBadFrame, told: skips(CauseBadFrame, "%v", err)}
	}
	t.seq = record.Seq
	if !keep || o.cause != CauseNone {
		t.group, t.counted, t.noted = nil, false, false // the row is not in the journal
		o.samples = present(t.decoder.Row())
		return o
	}
	o.told = t.store(record, raw, h, state, now)
	o.stored = o.told == nil
	return o
}

// stateBefore returns the decoder's state if a base must go before the frame.
func (t *track) stateBefore(h frame.Header, keep bool) []byte {
	if !keep || h.Key || t.group.takes(h.At) {
		return nil
	}
	s := t.session
	s.state = t.decoder.AppendState(s.state[:0])
	return s.state
}

// change follows the schema of a key frame.
func (t *track) change(h frame.Header) *Refusal {
	if t.decoder != nil && t.schema.id == h.Schema {
		t.muted = nil
		return nil
	}
	at := slices.IndexFunc(t.declared, func(s *schema) bool { return s.id == h.Schema })
	if at < 0 {
		t.decoder, t.group = nil, nil
		if t.muted != nil {
			return nil
		}
		return skips(CauseUnknownSchema, "key frame of schema %s, which was not declared", h.Schema)
	}
	next := t.declared[at]
	layout, err := next.layout(t.session.head.deps.Dictionary)
	if err != nil {
		return later(CauseUnknownSchema, "%v", err)
	}
	t.muted = nil
	t.schema, t.decoder, t.span = next, frame.NewDecoder(layout, next.id), nil
	t.group, t.noted = nil, false
	t.counts, t.counted = make([]uint16, len(next.parts)), false
	return nil
}

// judge says whether a frame's time allows to store it.
func (h *Head) judge(at model.Millis, now time.Time) (Cause, *Refusal) {
	distance := int64(at) - now.UnixMilli()
	switch {
	case distance > h.limits.MaxAhead.Milliseconds():
		return CauseFuture, skips(CauseFuture, "frame of %s, by the collector's clock it is %s, and at most %s ahead are taken",
			time.UnixMilli(int64(at)).UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), h.limits.MaxAhead)
	case distance < -h.limits.Retention.Milliseconds():
		return CauseTooOld, nil
	}
	return CauseNone, nil
}

// store puts a frame, which the decoder has just taken, into the journal and its lane.
// state is the base to go before it, if any.
func (t *track) store(record frame.Record, raw []byte, h frame.Header, state []byte, now time.Time) *Refusal {
	s := t.session
	if t.span == nil || !t.span.Extend(h.At) {
		span, refusal := s.head.define.use(t.lane, t.schema.id, h.At)
		if refusal != nil {
			return refusal
		}
		t.span = span
	}
	if refusal := s.introduce(); refusal != nil {
		return refusal
	}
	group := t.group
	t.group = nil // should it fail
	if state != nil {
		index, err := s.head.deps.Journal.Base(s.number, t.stream, t.schema.id, state)
		if err != nil {
			return unwritten("write to the journal", err)
		}
		group = t.pen.begin(t.schema, index, 0, true, 0)
	}
	s.one[0] = raw
	index, err := s.head.deps.Journal.Records(s.number, s.one[:]...)
	s.one[0] = nil
	if err != nil {
		return unwritten("write to the journal", err)
	}
	if err := s.boot.coverage.Add(record.Seq, record.Seq); err != nil {
		return later(CauseTooManyHoles, "%v", err) // it was asked before whether it fits
	}
	t.count()
	s.boot.heard = now
	s.worker.note(h.At, now)
	l := t.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case h.Key:
		room := 0
		if group != nil {
			room = len(group.packed) + len(group.packed)/8
		}
		group = t.pen.begin(t.schema, index, h.At, false, room)
		l.openLocked(group)
	case group.rows == 0:
		t.pen.add(group, index, h.At)
		l.openLocked(group)
	default:
		t.pen.add(group, index, h.At)
	}
	t.group = group
	l.noteLocked(t, h.At, now)
	return nil
}

// count counts the values of the row, and the frame, and notes what has changed.
func (t *track) count() {
	row, starts := t.decoder.Row(), t.schema.starts
	if !t.counted {
		clear(t.counts)
		t.samples = 0
	}
	t.changes = t.changes[:0]
	for p := range t.counts {
		if t.counted && !t.decoder.Changed(p) {
			continue
		}
		from, to := starts[p], starts[p+1]
		n := present(row[from:to])
		t.samples += n - int(t.counts[p])
		t.counts[p] = uint16(n)
		if last := len(t.changes) - 1; last >= 0 && t.changes[last].to == from {
			t.changes[last].to = to
		} else {
			t.changes = append(t.changes, columns{from, to})
		}
	}
	t.counted = true
	f := &t.session.worker.figures
	f.frames.Add(1)
	f.samples.Add(uint64(t.samples))
}
