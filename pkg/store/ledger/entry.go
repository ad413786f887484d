package ledger

import (
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Report is a gap that a worker has told of by an event.
type Report struct {
	Worker model.WorkerID
	// Boot and Seq name the record that the event came in. Seq is not 0.
	Boot model.BootID
	Seq  uint64
	Gap  event.Gap
}

// Refusal is a record that the collector did not take.
type Refusal struct {
	Worker model.WorkerID
	Boot   model.BootID
	Seq    uint64 // not 0
	Cause  event.Cause
	// At is the frame's time, by the worker's clock.
	At model.Millis
	// Samples are those of the frame; 0 if that is not known.
	Samples uint64
	// Text says more to people. Only that of the first refusal of an entry counts.
	Text string
}

// Entry is one entry of the ledger.
type Entry struct {
	Worker model.WorkerID
	// Gap says what is missing. Of refused frames Boot, FirstSeq and LastSeq are
	// those of the refused records; not all between need be refused.
	Gap event.Gap
	// Noted is when the collector noted it last, by its own clock. The retention
	// counts from then: what a worker takes for the time may be anything.
	Noted model.Millis
	// Earlier is 0, or how many entries were merged into this one: its From and To
	// are the first and the last of theirs, its sums those of all of them.
	Earlier uint64
}

// Total is what is missing for one cause.
type Total struct {
	Cause event.Cause
	// Entries counts merged ones, too.
	Entries  uint64
	From, To model.Millis
	Frames   uint64
	Samples  uint64
}

func (t *Total) add(other Total) {
	if t.Entries == 0 {
		t.From, t.To = other.From, other.To
	}
	t.Entries = plus(t.Entries, other.Entries)
	t.From, t.To = min(t.From, other.From), max(t.To, other.To)
	t.Frames = plus(t.Frames, other.Frames)
	t.Samples = plus(t.Samples, other.Samples)
}

// entry is an Entry as it is kept.
type entry struct {
	id    uint64
	boot  *boot
	gap   event.Gap // of refusals without Boot, FirstSeq, LastSeq: see boot and seqs
	noted model.Millis
	// refused tells the collector's own entries from reports.
	refused bool
	// seqs are the records that the entry came by.
	seqs seqs
	// unsaved is what came since the entry was last written; nil: nothing.
	unsaved *share
	dirty   bool // it is among those that are to be written
	gone    bool // it was merged or has expired
}

// share is a part of an entry of refusals.
type share struct {
	seqs            seqs
	from, to        model.Millis
	frames, samples uint64
}

// overhead is what an entry takes in the log besides its texts and runs, in bytes,
// at most: durable's 12 and the fixed part of the record.
const overhead = 128

func (e *entry) size() int64 {
	return overhead + int64(len(e.gap.Cause)+len(e.gap.Text)+len(e.seqs.packed))
}

func (e *entry) total() Total {
	return Total{Cause: e.gap.Cause, Entries: 1, From: e.gap.From, To: e.gap.To, Frames: e.gap.Frames, Samples: e.gap.Samples}
}

func (e *entry) public(worker model.WorkerID) Entry {
	gap := e.gap
	if e.refused {
		gap.Boot, gap.FirstSeq, gap.LastSeq = e.boot.id, e.seqs.first, e.seqs.last
	}
	return Entry{Worker: worker, Gap: gap, Noted: e.noted}
}

// take adds a share to an entry of refusals.
func (e *entry) take(s *share) bool {
	if !e.seqs.join(&s.seqs) {
		return false
	}
	if e.gap.Frames == 0 {
		e.gap.From, e.gap.To = s.from, s.to
	}
	e.gap.From, e.gap.To = min(e.gap.From, s.from), max(e.gap.To, s.to)
	e.gap.Frames = plus(e.gap.Frames, s.frames)
	e.gap.Samples = plus(e.gap.Samples, s.samples)
	return true
}

// plus adds up to the highest number, and stays there.
func plus(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}
