package stream

import (
	"errors"
	"fmt"
	"time"
)

// Cause says why a connection or a record was refused. The numbers are on the
// wire; a peer may know more of them than we do.
type Cause uint8

// The causes.
const (
	CauseOther    Cause = iota // none of the others, or one that we do not know
	CauseBusy                  // the collector has as many connections as it may
	CauseReplaced              // the same worker has connected again
	CauseShutdown              // the collector stops
	CauseVersion               // no common protocol version
	CauseIdentity              // not the certificate of a worker of this fleet
	CauseProtocol              // a message that has no place here
	CauseRecord                // a record that cannot be read
	CauseInternal              // a fault of the collector
	CauseFull                  // the collector's disk is full
	CauseLimit                 // more series, columns or streams than granted
	CauseFuture                // a frame too far in the future
	CauseUnknown               // the collector does not know or admit the worker
	CauseRevoked               // the fleet has shut the worker out
	numCauses
)

// NumCauses is the length of arrays that count by Cause.
const NumCauses = int(numCauses)

var causeNames = [...]string{CauseOther: "other", CauseBusy: "busy", CauseReplaced: "replaced", CauseShutdown: "shutdown",
	CauseVersion: "version", CauseIdentity: "identity", CauseProtocol: "protocol", CauseRecord: "record",
	CauseInternal: "internal", CauseFull: "full", CauseLimit: "limit", CauseFuture: "future", CauseUnknown: "unknown", CauseRevoked: "revoked"}

func (c Cause) String() string { return causeNames[c.known()] }

// known maps causes that we do not know to CauseOther, for arrays of counters.
func (c Cause) known() Cause {
	if c >= numCauses {
		return CauseOther
	}
	return c
}

// Refusal is an error that one side tells the other.
type Refusal struct {
	Cause Cause
	// Text says more to an operator; at most MaxText bytes arrive.
	Text string
	// Permanent: trying the same again will not help until somebody has changed
	// something. Of a record: it is given up.
	Permanent bool
	// RetryAfter is how long the worker should wait before it tries again; 0
	// leaves it to the worker.
	RetryAfter time.Duration
}

// MaxText is the length of a refusal's text on the wire, in bytes.
const MaxText = 512

func (r *Refusal) Error() string {
	kind := "temporarily"
	if r.Permanent {
		kind = "permanently"
	}
	return fmt.Sprintf("refused %s (%v): %s", kind, r.Cause, r.Text)
}

// refusalIn returns the refusal that err is or wraps, or nil.
func refusalIn(err error) *Refusal {
	refusal, _ := errors.AsType[*Refusal](err)
	return refusal
}
