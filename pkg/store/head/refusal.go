package head

import (
	"errors"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
)

// Cause is why something was refused: a small closed set, for counters and for
// what a worker is told.
type Cause uint8

// The causes.
const (
	CauseNone           Cause = iota
	CauseTooManySeries        // the worker's schemas have more series than it may have
	CauseTooManyNew           // too many series in this hour that the worker did not have before
	CauseTooManyStreams       // more streams than a worker may have
	CauseTooManyWorkers       // the store holds as many workers as it may
	CauseTooManyHoles         // what was received of the boot is in too many separate stretches
	CauseUnknownPart          // a schema names a part that was never sent
	CauseUnknownSchema        // a frame of a schema that was never declared
	CauseBadPart              // a part that does not parse
	CauseBadSchema            // a schema that does not parse, or cannot be laid out
	CauseBadFrame             // a frame that does not decode
	CauseBadRecord            // a record of unknown kind, or without a number
	CauseNoBase               // a frame that builds on one which is missing
	CauseFuture               // a frame too far ahead of the collector's clock
	CauseTooOld               // a frame older than the retention
	CauseOrder                // a frame that comes after those which build on it
	CausePartsFull            // the dictionary of schemas is full of what is in use
	CauseSuperseded           // a newer session of the worker took over
	CauseDiskFull             // less disk space is free than must be
	CauseFailed               // the store cannot write any more
	CauseClosed               // the store or the session is closed
	CauseBadSource            // a session for a source without id or boot, or with bad labels
	causes
)

var causeNames = [causes]string{
	CauseNone: "none", CauseTooManySeries: "too_many_series", CauseTooManyNew: "too_many_new_series",
	CauseTooManyStreams: "too_many_streams", CauseTooManyWorkers: "too_many_workers", CauseTooManyHoles: "too_many_holes",
	CauseUnknownPart: "unknown_part", CauseUnknownSchema: "unknown_schema", CauseBadPart: "bad_part",
	CauseBadSchema: "bad_schema", CauseBadFrame: "bad_frame", CauseBadRecord: "bad_record",
	CauseNoBase: "no_base", CauseFuture: "future", CauseTooOld: "too_old",
	CauseOrder: "order", CausePartsFull: "parts_full", CauseSuperseded: "superseded",
	CauseDiskFull: "disk_full", CauseFailed: "store_failed", CauseClosed: "closed", CauseBadSource: "bad_source",
}

func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return fmt.Sprintf("cause(%d)", uint8(c))
}

// Gap is what the ledger calls the cause.
func (c Cause) Gap() event.Cause {
	switch c {
	case CauseFuture:
		return event.RefusedFuture
	case CauseTooOld:
		return event.RefusedTooOld
	case CauseTooManySeries, CauseTooManyNew, CauseTooManyStreams:
		return event.RefusedLimit
	case CauseBadFrame, CauseNoBase:
		return event.RefusedDamaged
	}
	return event.RefusedOther
}

// Causes lists all causes but CauseNone, for the labels of counters.
func Causes() []Cause {
	all := make([]Cause, 0, causes-1)
	for cause := CauseNone + 1; cause < causes; cause++ {
		all = append(all, cause)
	}
	return all
}

// Refusal is the error of everything that is not taken.
type Refusal struct {
	Cause Cause
	// Temporary says that the same records may be taken later: the worker
	// keeps them and connects again. Otherwise trying again is useless.
	Temporary bool
	// Skipped says that the record was passed over for good: it counts as
	// received, the sequence goes on behind it, and so does the session. The
	// worker is told, but the connection stays. Without it the session takes no
	// more records.
	Skipped bool
	Detail  string
}

func (r *Refusal) Error() string { return r.Cause.String() + ": " + r.Detail }

// ends refuses what a session cannot go on after.
func ends(cause Cause, format string, args ...any) *Refusal {
	return &Refusal{Cause: cause, Detail: fmt.Sprintf(format, args...)}
}

// later refuses for now.
func later(cause Cause, format string, args ...any) *Refusal {
	return &Refusal{Cause: cause, Temporary: true, Detail: fmt.Sprintf(format, args...)}
}

// skips refuses one record and goes on.
func skips(cause Cause, format string, args ...any) *Refusal {
	return &Refusal{Cause: cause, Skipped: true, Detail: fmt.Sprintf(format, args...)}
}

// unwritten refuses for now what a log did not take.
func unwritten(what string, err error) *Refusal {
	if errors.Is(err, durable.ErrFull) {
		return later(CauseDiskFull, "%s: %v", what, err)
	}
	return later(CauseFailed, "%s: %v", what, err)
}
