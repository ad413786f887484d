package head

import (
	"cmp"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/coverage"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// Source says whose records a session takes, and which of them.
type Source struct {
	Worker model.WorkerID
	Boot   model.BootID // whose records they are
	// Labels are those of the host: instance, job and what the operator gave.
	Labels labels.Labels
	// Backfill says that the records were left behind; the worker may have another
	// session for those of now.
	Backfill bool
	// First is the number of the first record that will be sent, 1 at least.
	First uint64
	// Grant is for sources of this process, which bound themselves. What is zero is as
	// Limits say.
	Grant Grant
}

// Grant is what a session may have.
type Grant struct {
	Series    int // of all its streams
	NewSeries int // in an hour, of the worker
	Streams   int // a quarter of the lanes that the worker may have
}

// or fills in what is not given.
func (g Grant) or(limits *Limits) Grant {
	return Grant{cmp.Or(g.Series, limits.MaxSeries), cmp.Or(g.NewSeries, limits.MaxNewSeries), cmp.Or(g.Streams, limits.MaxStreams)}
}

// Session takes records of one boot of one worker. Append is for one goroutine; the
// other methods may be called at any time.
type Session struct {
	head     *Head
	worker   *worker
	number   uint64 // its name in the journal
	backfill bool
	start    uint64 // Resume
	grant    Grant

	applied atomic.Uint64

	// Guarded by worker.mu:
	boot   *boot
	source *schemas.Source
	ended  *Refusal // why no more records are taken
	tracks []*track
	last   *track // of the record before
	noted  bool   // the journal knows the session
	seen   uint64 // the highest number so far, of context too
	holes  []coverage.Interval
	gaps   []coverage.Interval // scratch
	state  []byte              // scratch
	one    [1][]byte           // scratch
}

// maxHoles is how many holes a session remembers. A worker leaves one for each run of
// parts that are known already.
const maxHoles = 256

// OpenSession begins a session. The worker's open session of the same role is ended:
// the worker has connected anew. Resume counts what is in the journal; the caller
// syncs it before telling the worker.
func (h *Head) OpenSession(source Source) (*Session, *Refusal) {
	s, refusal := h.openSession(source)
	if refusal != nil {
		h.gone.refused[refusal.Cause].Add(1)
	}
	return s, refusal
}

func (h *Head) openSession(source Source) (*Session, *Refusal) {
	if source.Worker.IsZero() || source.Boot.IsZero() {
		return nil, ends(CauseBadSource, "worker %s, boot %s: one of the two is missing", source.Worker, source.Boot)
	}
	w, refusal := h.lockWorker(source.Worker)
	if refusal != nil {
		return nil, refusal
	}
	defer w.mu.Unlock()
	if h.closed.Load() { // asked with the lock held: Close comes by later
		return nil, later(CauseClosed, "the store is closed")
	}
	w.evictLocked(source.Backfill, CauseSuperseded)
	named, refusal := h.define.addSource(source.Worker, source.Labels)
	if refusal != nil {
		return nil, refusal
	}
	// Series under other labels than before end.
	if refusal := w.endOthers(named); refusal != nil {
		return nil, refusal
	}
	w.source = named
	if !source.Backfill {
		w.follow(source.Boot)
	}
	b := w.bootOf(source.Boot)
	first := max(source.First, 1)
	s := &Session{head: h, worker: w, number: h.numbers.Add(1), backfill: source.Backfill,
		start: b.coverage.End(first), grant: source.Grant.or(&h.limits), boot: b, source: named}
	s.applied.Store(s.start)
	w.enter(s)
	return s, nil
}

// Resume is the number up to which everything from Source.First on was received; the
// worker sends what comes after. Fixed for the session.
func (s *Session) Resume() uint64 { return s.start }

// Wanted says which of the offered parts must be sent: those that are not known.
func (s *Session) Wanted(offered []frame.PartID) []bool {
	wanted := make([]bool, len(offered))
	for i, id := range offered {
		wanted[i] = s.head.deps.Dictionary.Part(id) == nil
	}
	return wanted
}

// Applied is the number up to which everything from Source.First on is in the journal, or
// refused for good and in the ledger. What a group commit reads before it syncs ledger,
// log of schemas and journal is durable afterwards.
func (s *Session) Applied() uint64 { return s.applied.Load() }

// Close ends the session. Calling it again does nothing.
func (s *Session) Close() {
	w := s.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	s.endLocked(later(CauseClosed, "the session is closed"))
	w.leave(s)
}

// endLocked ends the session for a reason, unless it has ended, and lets go of its decoders.
func (s *Session) endLocked(why *Refusal) {
	if s.ended == nil {
		s.ended = why
	}
	for _, t := range s.tracks {
		t.lane.mu.Lock()
		if n := &t.lane.newest; n.follows == t {
			n.follows = nil
		}
		t.lane.mu.Unlock()
	}
	s.tracks, s.last = nil, nil
}

// introduce has the journal know whose the session's records are.
func (s *Session) introduce() *Refusal {
	if s.noted {
		return nil
	}
	_, err := s.head.deps.Journal.Session(s.number, journal.Session{
		Worker: s.worker.id, Boot: s.boot.id, Source: s.source.Number(), Backfill: s.backfill})
	if err != nil {
		return unwritten("write to the journal", err)
	}
	s.noted = true
	return nil
}

// track returns the session's track of a stream, nil when there is none.
func (s *Session) track(stream model.StreamID) *track {
	if s.last != nil && s.last.stream == stream {
		return s.last
	}
	for _, t := range s.tracks {
		if t.stream == stream {
			s.last = t
			return t
		}
	}
	return nil
}

// holeAt returns which hole has the number, -1 for none.
func (s *Session) holeAt(seq uint64) int {
	for i, hole := range s.holes {
		if hole.From <= seq && seq <= hole.To {
			return i
		}
	}
	return -1
}

// fill takes a number out of a hole.
func (s *Session) fill(at int, seq uint64) {
	hole := s.holes[at]
	s.holes[at] = s.holes[len(s.holes)-1]
	s.holes = s.holes[:len(s.holes)-1]
	if hole.From < seq {
		s.remember(coverage.Interval{From: hole.From, To: seq - 1})
	}
	if seq < hole.To {
		s.remember(coverage.Interval{From: seq + 1, To: hole.To})
	}
}

func (s *Session) remember(hole coverage.Interval) {
	if len(s.holes) == maxHoles {
		s.holes = append(s.holes[:0], s.holes[1:]...)
	}
	s.holes = append(s.holes, hole)
}
