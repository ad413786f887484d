package head

import (
	"fmt"
	"math"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/coverage"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// Replayed says what a replay has found.
type Replayed struct {
	Records uint64 // of the journal
	Frames  uint64 // open
	// Orphans counts records whose session the journal does not say: what the beginning of a
	// journal has that a pass has left behind.
	Orphans uint64
	// Lost counts frames that are in the journal and cannot be read: something before them
	// was damaged, or their schema is not known. They do not count as received.
	Lost uint64
}

// replay is the state of a replay.
type replay struct {
	sessions  map[uint64]*pastSession
	last      *pastSession // that of the record before
	lanes     map[*lane]*pastLane
	decoders  map[*schema]*frame.Decoder
	strangers map[uint64]*boot // of sessions whose source is not known
	lost      map[*boot]*coverage.Set
	highest   uint64 // session number
	now       time.Time
	Replayed
}

// pastSession is a session as the journal knows it.
type pastSession struct {
	number uint64
	worker *worker
	boot   *boot
	source *schemas.Source
	tracks []*pastTrack
}

// pastTrack is a track of a past session.
type pastTrack struct {
	stream model.StreamID
	lane   *pastLane
	schema *schema
	span   *schemas.Span
	group  *group
	pen    pen
	at     model.Millis // of the last frame, or of the base
}

// pastLane is what a replay knows of a lane.
type pastLane struct {
	*lane
	tracks []*pastTrack
	// sealed says that a sealed record came, and nothing since: a base that follows is the
	// newest row.
	sealed bool
}

// Replay takes a record of the journal, in order, before anything else is done with the
// head: the state becomes what it was when the record was written. Nothing is
// stored, and no row decoded. hasVolume says whether a volume is there. The
// dictionary must hold everything that its log does.
//
// It fails only when the log of schemas does; what cannot be understood is counted.
func (h *Head) Replay(index uint64, e journal.Entry, hasVolume func(volume uint64) bool) error {
	if h.replay == nil {
		h.replay = &replay{sessions: map[uint64]*pastSession{}, lanes: map[*lane]*pastLane{},
			decoders: map[*schema]*frame.Decoder{}, strangers: map[uint64]*boot{}, lost: map[*boot]*coverage.Set{}, now: h.deps.Now()}
	}
	r := h.replay
	r.Records++
	switch e.Kind {
	case journal.KindSession:
		r.session(h, e)
	case journal.KindRecord:
		return r.record(h, index, e)
	case journal.KindBase:
		r.base(h, index, e)
	case journal.KindCoverage:
		r.coverage(h, e)
	case journal.KindEnd:
		if source := r.source(h, e); source != nil {
			if w := h.peek(source.Worker()); w != nil {
				w.endLanes(source, index, e.At)
			}
		}
	case journal.KindSealed:
		r.seal(h, e, hasVolume)
	case journal.KindPassed:
		if s := r.sessions[e.Session]; s != nil {
			_ = s.boot.coverage.Add(e.From, e.To) // it fitted then
		}
	case journal.KindRefused:
		return r.refused(h, e)
	}
	return nil
}

// FinishReplay ends a replay: sessions may begin. Newest rows are read from the journal
// when somebody asks for them.
func (h *Head) FinishReplay() Replayed {
	r := h.replay
	if r == nil {
		return Replayed{}
	}
	h.numbers.Store(r.highest)
	h.replay = nil
	return r.Replayed
}

// workerOf returns the worker; limits do not count: it was let in.
func (r *replay) workerOf(h *Head, id model.WorkerID) *worker {
	w, _ := h.workerOf(id, false)
	return w
}

func (r *replay) session(h *Head, e journal.Entry) {
	r.highest = max(r.highest, e.Session)
	source := r.source(h, e)
	w := r.workerOf(h, e.Worker)
	b := w.bootOf(e.Boot)
	if source == nil || source.Worker() != e.Worker {
		delete(r.sessions, e.Session)
		r.strangers[e.Session] = b
		r.last = nil
		return // nothing of it can be placed; that nothing was received is known
	}
	if !e.Backfill {
		w.source = source
		w.follow(e.Boot)
	} else if w.source == nil {
		w.source = source
	}
	if known := r.sessions[e.Session]; known != nil && known.boot == b && known.source == source {
		return // a pass has written it again
	}
	delete(r.strangers, e.Session)
	r.sessions[e.Session] = &pastSession{number: e.Session, worker: w, boot: b, source: source}
	r.last = nil
}

// find returns a session by its number, nil when it is not known.
func (r *replay) find(number uint64) *pastSession {
	if r.last == nil || r.last.number != number {
		r.last = r.sessions[number]
	}
	return r.last
}

// track returns the session's track of a stream.
func (r *replay) track(s *pastSession, stream model.StreamID) *pastTrack {
	for _, t := range s.tracks {
		if t.stream == stream {
			return t
		}
	}
	l := r.lane(s.worker.laneOf(s.source, stream, math.MaxInt))
	t := &pastTrack{stream: stream, lane: l}
	s.tracks = append(s.tracks, t)
	l.tracks = append(l.tracks, t)
	return t
}

func (r *replay) lane(l *lane) *pastLane {
	p := r.lanes[l]
	if p == nil {
		p = &pastLane{lane: l}
		r.lanes[l] = p
	}
	return p
}

func (r *replay) record(h *Head, index uint64, e journal.Entry) error {
	s := r.find(e.Session)
	record, err := frame.PeekRecord(e.Raw)
	if s == nil {
		r.Orphans++
		if b := r.strangers[e.Session]; b != nil && err == nil {
			r.lose(b, record.Seq)
		}
		return nil
	}
	if err == nil && record.Kind == frame.KindEvent {
		return r.event(h, s, record)
	}
	if err != nil || record.Kind != frame.KindFrame {
		r.Lost++
		return nil
	}
	header, err := frame.Peek(record.Payload)
	if err != nil {
		r.Lost++
		return nil
	}
	t := r.track(s, record.Stream)
	if !t.place(h, index, header) {
		t.group = nil
		r.Lost++
		r.lose(s.boot, record.Seq)
		return nil
	}
	if err := s.boot.coverage.Add(record.Seq, record.Seq); err != nil {
		return nil // cannot be: it fitted then
	}
	r.regain(s.boot, record.Seq)
	r.Frames++
	t.at, t.lane.sealed = header.At, false
	s.worker.note(header.At, time.Time{})
	if n := &t.lane.newest; !n.known || header.At > n.at || header.At == n.at && n.group == t.group {
		*n = newest{at: header.At, known: true, schema: t.schema, group: t.group, rows: t.group.rows, boot: s.boot.id}
	}
	return r.extend(h, t, header.At)
}

// refused notes a refusal again: the ledger may not have it.
func (r *replay) refused(h *Head, e journal.Entry) error {
	s := r.find(e.Session)
	if s == nil {
		r.Orphans++
		if b := r.strangers[e.Session]; b != nil {
			r.lose(b, e.Seq) // it comes again, and is refused again
		}
		return nil
	}
	if err := h.deps.Ledger.Refused(s.worker.id, s.boot.id, e.Seq, event.Cause(e.Cause), e.At, int(e.Samples)); err != nil {
		return fmt.Errorf("replay: write to the ledger: %w", err)
	}
	_ = s.boot.coverage.Add(e.Seq, e.Seq) // it fitted then
	return nil
}

// event tells what a worker told.
func (r *replay) event(h *Head, s *pastSession, record frame.Record) error {
	if events := h.deps.Events; events != nil {
		if err := events.Event(s.worker.id, s.boot.id, record.Seq, record.Payload); err != nil {
			return fmt.Errorf("replay: write an event: %w", err)
		}
	}
	_ = s.boot.coverage.Add(record.Seq, record.Seq) // it fitted then
	return nil
}

// place puts a frame into its group; false if it has none.
func (t *pastTrack) place(h *Head, index uint64, header frame.Header) bool {
	if header.Key {
		if t.schema == nil || t.schema.id != header.Schema {
			t.schema, t.span = h.schemas.get(header.Schema), nil
		}
		if t.schema == nil {
			return false
		}
		room := 0
		if t.group != nil {
			room = len(t.group.packed) + len(t.group.packed)/8
		}
		t.group = t.pen.begin(t.schema, index, header.At, false, room)
		t.lane.openLocked(t.group)
		return true
	}
	if header.Base != t.at || !t.group.takes(header.At) {
		return false
	}
	t.pen.add(t.group, index, header.At)
	if t.group.rows == 1 {
		t.lane.openLocked(t.group)
	}
	return true
}

// extend notes the frame in the dictionary: its log may not know how far a span goes.
func (r *replay) extend(h *Head, t *pastTrack, at model.Millis) error {
	if t.span != nil && t.span.Extend(at) {
		return nil
	}
	span, refusal := h.define.use(t.lane.lane, t.schema.id, at)
	if refusal != nil && refusal.Cause == CauseFailed {
		return fmt.Errorf("replay: %w", refusal)
	}
	t.span = span
	return nil
}

func (r *replay) base(h *Head, index uint64, e journal.Entry) {
	s := r.find(e.Session)
	if s == nil {
		return
	}
	t := r.track(s, e.Stream)
	n := &t.lane.newest
	isNewest := t.lane.sealed
	t.lane.sealed, t.group = false, nil
	if e.Schema == (frame.SchemaID{}) {
		at, err := h.ended.at(e.State)
		if err == nil && isNewest && (!n.known || at >= n.at) {
			*n = newest{at: at, known: true, ended: true, boot: s.boot.id}
		}
		return
	}
	next, at := r.state(h, e)
	if next == nil {
		return // the frames behind it cannot be read
	}
	if t.schema != next {
		t.schema, t.span = next, nil
	}
	t.at, t.group = at, t.pen.begin(next, index, 0, true, 0)
	if isNewest && (!n.known || !n.ended && at >= n.at) {
		s.worker.note(at, time.Time{})
		*n = newest{at: at, known: true, schema: next, group: t.group, boot: s.boot.id}
	}
}

// state reads schema and time of a base; nil if it is of no use.
func (r *replay) state(h *Head, e journal.Entry) (*schema, model.Millis) {
	s := h.schemas.get(e.Schema)
	if s == nil {
		return nil, 0
	}
	d := r.decoders[s]
	if d == nil {
		layout, err := s.layout(h.deps.Dictionary)
		if err != nil {
			return nil, 0
		}
		d = frame.NewDecoder(layout, s.id)
		r.decoders[s] = d
	}
	if d.SetState(e.State) != nil {
		return nil, 0
	}
	return s, d.At()
}

// seal drops what is in a volume.
func (r *replay) seal(h *Head, e journal.Entry, hasVolume func(uint64) bool) {
	source := r.source(h, e)
	if source == nil {
		return
	}
	l := r.lane(r.workerOf(h, source.Worker()).laneOf(source, e.Stream, math.MaxInt))
	l.sealed = true
	if !hasVolume(e.Volume) {
		return
	}
	for _, g := range l.groups {
		r.Frames -= uint64(g.frames())
	}
	l.groups = nil
	for _, t := range l.tracks {
		if t.group != nil && t.group.rows > 0 { // or it goes on, behind a base
			t.group = nil
		}
	}
}

// frames is how many of the rows are frames.
func (s *stretch) frames() uint32 {
	if s.schema == nil {
		return 0
	}
	return s.rows
}
