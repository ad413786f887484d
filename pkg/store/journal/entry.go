package journal

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Kind says what a record of the journal is.
type Kind uint8

// The kinds.
const (
	KindSession  Kind = 1 // whose the records with a session's number are
	KindRecord   Kind = 2 // a record of a worker
	KindBase     Kind = 3 // where a decoder stands before the next frame
	KindCoverage Kind = 4 // which records of a worker's boot are durable
	KindEnd      Kind = 5 // all series of a source ended at a time
	KindSealed   Kind = 6 // what comes before it of a lane is in a volume
	KindPassed   Kind = 7 // sequence numbers without a record
	KindRefused  Kind = 8 // a frame that was refused for good

	kinds = 9 // above all kinds
)

func (k Kind) String() string {
	names := [kinds]string{
		KindSession: "session", KindRecord: "record", KindBase: "base", KindCoverage: "coverage",
		KindEnd: "end", KindSealed: "sealed", KindPassed: "passed",
		KindRefused: "refused",
	}
	if k == 0 || k >= kinds {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return names[k]
}

// Session says whose the records of a session are.
type Session struct {
	Worker   model.WorkerID
	Boot     model.BootID
	Source   uint32 // number of worker and host labels in the dictionary of schemas
	Backfill bool
}

// Interval is a range of sequence numbers, From and To included. From is 1 at least.
type Interval struct{ From, To uint64 }

// Coverage says which records of a worker's boot the collector has, or has refused
// for good: none of them is to be sent again.
type Coverage struct {
	Worker model.WorkerID
	Boot   model.BootID
	// Heard is when the boot was heard of last, by the collector's clock.
	Heard model.Millis
	// Intervals rise, and there is room between one and the next.
	Intervals []Interval
}

// Entry is one record of the journal: Kind, and those fields that this kind has.
type Entry struct {
	Kind Kind

	Session  uint64         // number of the session: Session, Record, Base, Passed, Refused
	Worker   model.WorkerID // Session, Coverage
	Boot     model.BootID   // Session, Coverage
	Source   uint32         // Session, End, Sealed
	Backfill bool           // Session

	Raw []byte // Record: an encoded record of package frame, whose checksum was not looked at

	Stream model.StreamID // Base, Sealed
	Schema frame.SchemaID // Base
	State  []byte         // Base: what frame.Decoder.SetState takes

	Heard     model.Millis // Coverage
	Intervals []Interval   // Coverage

	At     model.Millis // End, Refused
	Volume uint64       // Sealed

	From, To uint64 // Passed, both included

	Seq     uint64 // Refused: number of the frame
	Samples int64  // Refused: how many it had; -1 if that is not known
	Cause   string // Refused: what the ledger calls it
}
