package stream

import (
	"context"
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Source is a worker's log of records, as its end of the stream sees it.
// Records are encoded (frame.AppendRecord), whole, and in the order of their
// numbers. All methods may be called at any time, also at once.
type Source interface {
	// Boot names the run of sequence numbers.
	Boot() model.BootID
	// Range tells which records are there: first to next-1; first equals next
	// when there is none.
	Range() (first, next uint64)
	// Parts returns the parts that the records need.
	Parts() []frame.PartID
	// Context returns the records which a receiver that has stored everything
	// up to after, and has forgotten its decoder's state, needs before the
	// next one: parts that are not known, schemas, and for each stream the
	// frames from the last key frame up to after on.
	Context(after uint64, known func(frame.PartID) bool) ([]byte, error)
	// Next appends records after the number after to dst, about most bytes of
	// them but at least one, and returns the number of the last one. It waits
	// until there is one or ctx ends.
	Next(ctx context.Context, after uint64, dst []byte, most int) (out []byte, last uint64, err error)
	// Acked tells that everything up to through is stored at the collector.
	Acked(through uint64)
}

// Peer is a worker that has said hello.
type Peer struct {
	Worker model.WorkerID // from its certificate
	// Leaf is that certificate; nil when the connection is not TLS. Do not
	// modify it.
	Leaf *x509.Certificate
	Boot model.BootID
	Addr netip.AddrPort // zero when the connection has no such address
	// First and Next say what the worker holds: records First to Next-1.
	First, Next uint64
	// ClockOffset is the worker's clock minus ours, as the hello says; it is too
	// low by the time that the hello was under way.
	ClockOffset time.Duration
}

// Sink stores what workers send.
type Sink interface {
	// Open begins or resumes the log of a worker's boot. It is called once the
	// session before it of the same worker is closed, and ends early when ctx
	// does. An error that is a *Refusal is told to the worker as it is; any
	// other one as a temporary internal fault.
	Open(ctx context.Context, p Peer) (Session, error)
}

// Session takes the records of one connection. Resume, Wanted and Append are
// called by one goroutine, Durable by any at any time, Close once at the end when
// no other call is under way.
type Session interface {
	// Resume returns the number up to which everything is stored durably. It
	// does not change during the session.
	Resume() uint64
	// Wanted says which of the offered parts must be sent, one bool for each.
	Wanted(offered []frame.PartID) []bool
	// Append takes the next record; raw is its encoding. Both are valid during
	// the call only. Numbers rise. Records up to Resume are context: they bring
	// the decoder up to date and are not stored again.
	//
	// A permanent *Refusal gives up this one record: the worker is told, and
	// the stream goes on behind it. Any other error ends the connection, and
	// the worker sends the record again later.
	Append(record frame.Record, raw []byte) error
	// Durable returns the number up to which everything accepted is stored
	// durably, and a channel that is closed when it has risen.
	Durable() (seq uint64, changed <-chan struct{})
	// Close ends the session. Records that are not durable may be lost.
	Close() error
}
