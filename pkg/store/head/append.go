package head

import (
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Append takes a record; raw is its encoded form. Neither is kept. Numbers rise, but
// those that do not are understood:
//
//   - A record with a number up to Resume is context: it brings the decoders up to date
//     and is not stored.
//   - One that was received before, by whatever session, is not stored again. If it is
//     ahead of what the session has seen, it is decoded.
//   - Numbers that are passed over count as received: parts that were not wanted, or
//     what the worker has lost. One that comes after all is taken, if it is not a
//     frame on which later ones were built (CauseOrder).
//
// No refusal means that the record is part of the sequence: stored, or refused, counted
// and in the ledger, which the worker need not be told (CauseTooOld, CauseNoBase, frames of
// a refused schema). A refusal with Skipped set means the same, and the worker should be
// told. After any other the session takes nothing more.
func (s *Session) Append(record frame.Record, raw []byte) *Refusal {
	w := s.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.ended != nil {
		return s.ended
	}
	refusal := s.appendLocked(record, raw)
	if refusal == nil {
		return nil
	}
	w.figures.refused[refusal.Cause].Add(1)
	if !refusal.Skipped {
		s.endLocked(refusal)
	}
	return refusal
}

// outcome is what became of a record.
type outcome struct {
	// told is the refusal of the worker's concern. Without Skipped the record
	// was not taken at all.
	told *Refusal
	// stored says that the record is in the journal.
	stored bool
	// cause is why a frame was not; at and samples are what is known of it.
	cause   Cause
	at      model.Millis
	samples int
}

func (s *Session) appendLocked(record frame.Record, raw []byte) *Refusal {
	seq := record.Seq
	switch {
	case seq == 0:
		return skips(CauseBadRecord, "a %v without a number", record.Kind)
	case seq <= s.start:
		return s.context(record)
	}
	set := &s.boot.coverage
	hole := -1
	if set.Contains(seq) {
		if seq < s.seen && len(s.holes) > 0 {
			hole = s.holeAt(seq)
		}
		if hole < 0 {
			return s.again(record)
		}
	} else if !set.Fits(seq, seq) || seq > s.next() && !set.Fits(s.next(), seq) {
		return later(CauseTooManyHoles, "record %d would be one more of %d separate stretches", seq, set.Len())
	}
	if err := s.head.define.settle(); err != nil {
		return unwritten("write schemas", err)
	}
	o := s.take(record, raw, true)
	if o.told != nil && !o.told.Skipped {
		return o.told
	}
	if !o.stored {
		if refusal := s.pass(record, &o); refusal != nil {
			return refusal
		}
	}
	if hole >= 0 {
		s.fill(hole, seq)
	}
	if refusal := s.advance(seq); refusal != nil {
		return refusal
	}
	f := &s.worker.figures
	f.records.Add(1)
	f.bytes.Add(uint64(len(raw)))
	return o.told
}

// next is the number that the next record should have.
func (s *Session) next() uint64 { return max(s.seen, s.start) + 1 }

// context takes a record that is not to be stored.
func (s *Session) context(record frame.Record) *Refusal {
	if record.Kind == frame.KindFrame && record.Seq <= s.seen {
		return nil // its stream may be further on
	}
	o := s.take(record, nil, false)
	if o.told == nil || o.told.Skipped {
		s.seen = max(s.seen, record.Seq)
	}
	if o.told == nil && o.cause != CauseNone {
		s.worker.figures.refused[o.cause].Add(1)
	}
	return o.told
}

// again takes a record that was received before.
func (s *Session) again(record frame.Record) *Refusal {
	s.worker.figures.duplicates.Add(1)
	if record.Seq <= s.seen {
		return nil
	}
	o := s.take(record, nil, false)
	if o.told != nil && !o.told.Skipped {
		return o.told
	}
	if refusal := s.advance(record.Seq); refusal != nil {
		return refusal
	}
	return o.told
}

// advance notes that a record is dealt with, and that those before it do not come.
func (s *Session) advance(seq uint64) *Refusal {
	if seq < s.next() {
		return nil
	}
	if from := s.next(); from < seq {
		s.gaps = s.boot.coverage.Missing(s.gaps[:0], from, seq-1)
		for _, gap := range s.gaps {
			if refusal := s.cover(gap.From, gap.To); refusal != nil {
				return refusal
			}
			s.worker.figures.missing.Add(gap.To - gap.From + 1)
			s.remember(gap)
		}
	}
	s.seen = seq
	s.applied.Store(seq)
	return nil
}

// pass counts a record as received that is not in the journal.
func (s *Session) pass(record frame.Record, o *outcome) *Refusal {
	if record.Kind != frame.KindFrame {
		return s.cover(record.Seq, record.Seq)
	}
	w, cause := s.worker, o.cause.Gap()
	if o.told == nil {
		w.figures.refused[o.cause].Add(1)
	}
	if refusal := s.introduce(); refusal != nil {
		return refusal
	}
	if _, err := s.head.deps.Journal.Refused(s.number, record.Seq, string(cause), o.at, int64(o.samples)); err != nil {
		return unwritten("write to the journal", err)
	}
	if err := s.head.deps.Ledger.Refused(w.id, s.boot.id, record.Seq, cause, o.at, o.samples); err != nil {
		return unwritten("write to the ledger", err)
	}
	return s.received(record.Seq, record.Seq)
}

// cover counts numbers as received without a record.
func (s *Session) cover(from, to uint64) *Refusal {
	if refusal := s.introduce(); refusal != nil {
		return refusal
	}
	if _, err := s.head.deps.Journal.Passed(s.number, from, to); err != nil {
		return unwritten("write to the journal", err)
	}
	return s.received(from, to)
}

// received notes that the journal speaks of numbers.
func (s *Session) received(from, to uint64) *Refusal {
	if err := s.boot.coverage.Add(from, to); err != nil {
		return later(CauseTooManyHoles, "%v", err)
	}
	return nil
}

// take processes a record; keep is false for one that is not to be stored.
func (s *Session) take(record frame.Record, raw []byte, keep bool) outcome {
	switch record.Kind {
	case frame.KindPart:
		return outcome{told: s.head.define.addPart(record.Payload)}
	case frame.KindSchema:
		return outcome{told: s.takeSchema(record.Stream, record.Payload)}
	case frame.KindFrame:
		if t := s.track(record.Stream); t != nil {
			return t.take(record, raw, keep)
		}
		return outcome{cause: CauseUnknownSchema, samples: unknown,
			told: skips(CauseUnknownSchema, "frame of stream %d, which has no schema", record.Stream)}
	case frame.KindEvent:
		if !keep {
			return outcome{}
		}
		refusal := s.takeEvent(record, raw)
		return outcome{told: refusal, stored: refusal == nil}
	}
	return outcome{told: skips(CauseBadRecord, "record %d is of kind %v", record.Seq, record.Kind)}
}

// unknown is the number of samples that are not known.
const unknown = -1

func (s *Session) takeEvent(record frame.Record, raw []byte) *Refusal {
	if refusal := s.introduce(); refusal != nil {
		return refusal
	}
	s.one[0] = raw
	_, err := s.head.deps.Journal.Records(s.number, s.one[:]...)
	s.one[0] = nil
	if err != nil {
		return unwritten("write to the journal", err)
	}
	if events := s.head.deps.Events; events != nil {
		if err := events.Event(s.worker.id, s.boot.id, record.Seq, record.Payload); err != nil {
			return unwritten("write an event", err)
		}
	}
	s.worker.figures.events.Add(1)
	return s.received(record.Seq, record.Seq)
}
