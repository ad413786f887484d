package head

import (
	"log/slog"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// Journal is what the head needs of a journal.Journal, whose methods these are: Over makes
// one of it.
type Journal interface {
	Session(number uint64, s journal.Session) (index uint64, err error)
	Records(session uint64, raw ...[]byte) (first uint64, err error)
	Base(session uint64, stream model.StreamID, schema frame.SchemaID, state []byte) (index uint64, err error)
	Coverage(c journal.Coverage) (index uint64, err error)
	End(source uint32, at model.Millis) (index uint64, err error)
	Sealed(volume uint64, source uint32, stream model.StreamID) (index uint64, err error)
	Passed(session uint64, from, to uint64) (index uint64, err error)
	Refused(session, seq uint64, cause string, at model.Millis, samples int64) (index uint64, err error)
	Next() uint64
	Viewer() Viewer
}

// Viewer is a journal.Viewer. It is used by one goroutine at a time.
type Viewer interface {
	Record(index uint64) (session uint64, raw []byte, err error)
	Base(index uint64) (schema frame.SchemaID, state []byte, err error)
	Close()
}

// Over is the journal as the head sees it.
func Over(j *journal.Journal) Journal { return over{j} }

type over struct{ *journal.Journal }

func (o over) Viewer() Viewer { return o.Journal.Viewer() }

// SchemaLog makes the dictionary durable. What Append has taken is to be synced before
// what the journal has taken later.
type SchemaLog interface {
	Append(record []byte) error
}

// Ledger notes what was refused for good. The journal has it, too, and a replay notes it
// again: so the ledger must be durable before the beginning of the journal is dropped,
// and recognises what it has.
type Ledger interface {
	// Refused says that a frame was not stored: samples is how many it had, -1 if
	// that is not known, and at its time, 0 if that is not known.
	Refused(worker model.WorkerID, boot model.BootID, seq uint64, cause event.Cause, at model.Millis, samples int) error
}

// Events takes what workers tell of themselves. What is said of Ledger holds. An error
// ends the session, and the worker sends the event again.
type Events interface {
	Event(worker model.WorkerID, boot model.BootID, seq uint64, payload []byte) error
}

// Deps is what a head stands on. All must be safe for concurrent use.
type Deps struct {
	Dictionary *schemas.Dictionary
	SchemaLog  SchemaLog
	Journal    Journal
	Ledger     Ledger
	// Events may be nil: then events are counted, and nothing else.
	Events Events
	// Now is the collector's clock. Times of frames are the workers'.
	Now func() time.Time
	Log *slog.Logger
}

// Limits bound what strangers can make grow.
type Limits struct {
	// MaxSeries is how many series the streams of one session may have together.
	MaxSeries int
	// MaxNewSeries is how many series one worker may bring that it did not have
	// before, per hour.
	MaxNewSeries int
	// MaxWorkers is how many workers there may be in memory.
	MaxWorkers int
	// MaxStreams is how many streams one session may have. A worker may have four
	// times as many lanes.
	MaxStreams int
	// MaxAhead is how far in the future a frame may lie.
	MaxAhead time.Duration
	// Retention is how far in the past a frame may lie.
	Retention time.Duration
}

// DefaultLimits are those of a small collector.
func DefaultLimits() Limits {
	return Limits{MaxSeries: 20_000, MaxNewSeries: 100_000, MaxWorkers: 20_000, MaxStreams: 64,
		MaxAhead: time.Hour, Retention: 30 * 24 * time.Hour}
}
