package store

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Session takes the records of one boot of one worker, in order. Append is for
// one goroutine; the other methods may be called at any time.
type Session struct {
	store  *Store
	worker *worker
	boot   model.BootID
	start  uint64 // the resume point it began with

	applied atomic.Uint64 // everything up to it is processed
	dirty   atomic.Bool   // applied is ahead of durable, and the group commit knows

	// Guarded by worker.ingest:
	ended *Refusal // why no more records are taken
	holes []hole   // sequence numbers that were passed over

	mu      sync.Mutex // guards durable and changed
	durable uint64
	changed chan struct{} // closed when durable has grown
}

// hole is a range of sequence numbers that never came, ends included: parts that
// were not wanted, or records the spool had dropped.
type hole struct{ from, to uint64 }

// maxHoles is how many holes are remembered; a worker leaves one for each run
// of parts the store knows.
const maxHoles = 256

// OpenSession begins a session for source. A session of the same worker that is
// still open is ended: the worker has connected anew. It fails with a *Refusal.
// It may take as long as one group commit.
func (s *Store) OpenSession(source Source) (*Session, error) {
	session, refusal := s.openSession(source)
	if refusal != nil {
		return nil, s.refused(refusal)
	}
	return session, nil
}

func (s *Store) openSession(source Source) (*Session, *Refusal) {
	identity, err := source.identity()
	if err != nil {
		return nil, ends(CauseBadSource, "%v", err)
	}
	if refusal := s.accepts(); refusal != nil {
		return nil, refusal
	}
	w, refusal := s.workerOf(source.Worker)
	if refusal != nil {
		return nil, refusal
	}
	w.opening.Lock()
	defer w.opening.Unlock()
	if old := w.evict(CauseSuperseded); old != nil && old.boot == source.Boot && old.behind() {
		// What an earlier session has stored must not be sent again.
		if err := s.flush(); err != nil {
			return nil, asRefusal(err)
		}
	}
	if refusal := w.become(identity, source.Boot); refusal != nil {
		return nil, refusal
	}
	resume, err := s.index.resume(source.Worker, source.Boot)
	if err != nil {
		return nil, later(CauseFailed, "read resume point: %v", err)
	}
	session := &Session{store: s, worker: w, boot: source.Boot, start: resume, durable: resume, changed: make(chan struct{})}
	session.applied.Store(resume)
	w.install(session)
	return session, nil
}

// accepts says why nothing new can be taken now; nil when it can.
func (s *Store) accepts() *Refusal {
	if err := s.broken.get(); err != nil {
		return later(CauseFailed, "%v", err)
	}
	if !s.free.Load() {
		return later(CauseDiskFull, "less than %s of disk space are free (min_free)", s.config.MinFree)
	}
	return nil
}

// Resume is the sequence number up to which everything is stored durably; the
// worker sends what comes after. Fixed for the session.
func (s *Session) Resume() uint64 { return s.start }

// Wanted says which of the offered parts must be sent: those that are not known.
func (s *Session) Wanted(offered []frame.PartID) []bool {
	wanted := make([]bool, len(offered))
	for i, id := range offered {
		wanted[i] = !s.store.catalog.has(id)
	}
	return wanted
}

// Append takes the next record; raw is its encoded form. Neither is kept. A
// record with a sequence number up to Resume is context: it brings the
// decoders up to date and is not stored. One that was processed before is
// ignored.
//
// A nil error means that the record is part of the sequence: stored, or counted
// and left out for the reasons the package comment names. A *Refusal with
// Skipped set means the same, and the worker should be told. After any other
// error, always a *Refusal, the session takes nothing more.
func (s *Session) Append(record frame.Record, raw []byte) error {
	s.worker.ingest.Lock()
	defer s.worker.ingest.Unlock()
	refusal := s.append(record, len(raw))
	if refusal == nil {
		return nil
	}
	if !refusal.Skipped {
		s.ended = refusal
	}
	return s.store.refused(refusal)
}

func (s *Session) append(record frame.Record, size int) *Refusal {
	if s.ended != nil {
		return s.ended
	}
	if s.store.closing.Load() {
		return later(CauseClosed, "the store is closed")
	}
	if record.Seq <= s.start {
		return s.take(record, false)
	}
	if refusal := s.store.accepts(); refusal != nil {
		return refusal
	}
	applied := s.applied.Load()
	if record.Seq <= applied {
		if slices.ContainsFunc(s.holes, func(h hole) bool { return h.from <= record.Seq && record.Seq <= h.to }) {
			return ends(CauseOrder, "record %d comes after record %d", record.Seq, applied)
		}
		s.store.figures.duplicates.Add(1)
		return nil
	}
	refusal := s.take(record, true)
	if refusal != nil && !refusal.Skipped {
		return refusal
	}
	s.advance(applied, record.Seq)
	s.store.figures.records.Add(1)
	s.store.figures.bytes.Add(uint64(size))
	s.store.wrote(size)
	return refusal
}

// take processes one record; keep is false for context.
func (s *Session) take(record frame.Record, keep bool) *Refusal {
	w := s.worker
	switch record.Kind {
	case frame.KindPart:
		return asRefusal(s.store.catalog.add(record.Payload))
	case frame.KindSchema:
		return w.takeSchema(s, record.Stream, record.Payload)
	case frame.KindFrame:
		l := w.lanes[record.Stream]
		if l == nil || l.boot != s.boot {
			return skips(CauseUnknownSchema, "frame of stream %d, which has no schema", record.Stream)
		}
		refusal := w.takeFrame(l, record.Payload, keep)
		if refusal != nil && !refusal.Skipped {
			// What the lane says of its series may not be so: begin anew.
			w.dropLanes(func(one *lane) bool { return one == l })
		}
		return refusal
	case frame.KindEvent:
		if keep {
			s.store.figures.events.Add(1)
		}
		return nil
	}
	return skips(CauseBadRecord, "record %d is of kind %v", record.Seq, record.Kind)
}

// advance notes that everything up to seq is processed.
func (s *Session) advance(applied, seq uint64) {
	if seq > applied+1 {
		if len(s.holes) == maxHoles {
			s.holes = slices.Delete(s.holes, 0, 1)
		}
		s.holes = append(s.holes, hole{applied + 1, seq - 1})
	}
	s.applied.Store(seq)
	s.markDirty()
}

// markDirty has the group commit look at the session.
func (s *Session) markDirty() {
	if s.dirty.Swap(true) {
		return
	}
	s.store.dirtyMu.Lock()
	defer s.store.dirtyMu.Unlock()
	s.store.dirty = append(s.store.dirty, s)
}

// Durable returns the sequence number up to which everything is on disk, and a
// channel that is closed when the number has grown.
func (s *Session) Durable() (seq uint64, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable, s.changed
}

// behind says whether records are processed that are not known to be durable.
func (s *Session) behind() bool {
	seq, _ := s.Durable()
	return s.applied.Load() > seq
}

// publish tells that everything up to seq is on disk.
func (s *Session) publish(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq <= s.durable {
		return
	}
	s.durable = seq
	close(s.changed)
	s.changed = make(chan struct{})
}

// Close ends the session. What it has taken becomes durable with the next group
// commit. Calling it again does nothing.
func (s *Session) Close() error {
	w := s.worker
	w.ingest.Lock()
	defer w.ingest.Unlock()
	if s.ended == nil {
		s.ended = later(CauseClosed, "the session is closed")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == s {
		w.session, w.quiet = nil, w.store.now()
	}
	return nil
}
