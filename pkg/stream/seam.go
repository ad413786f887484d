package stream

import (
	"context"
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Source is a stretch of a worker's log: records of one boot, encoded
// (frame.AppendRecord), whole, and in the order of their numbers. All methods
// may be called at any time, also at once.
type Source interface {
	// Boot names the run of sequence numbers.
	Boot() model.BootID
	// Range tells which records are there: first to next-1, with holes where the
	// worker had to drop some; first equals next when there is none. The stretch
	// of a backlog is not empty, and ends before next.
	Range() (first, next uint64)
	// Parts returns the parts that the records need.
	Parts() []frame.PartID
	// Context returns the records which a receiver that has stored everything
	// up to after, and has forgotten its decoder's state, needs before the
	// next one: parts that are not known, schemas, and for each stream the
	// frames from the last key frame up to after on. after is first-1 or more.
	Context(after uint64, known func(frame.PartID) bool) ([]byte, error)
	// Next appends records after the number after to dst, about most bytes of
	// them but at least one, and returns the number of the last one. It waits
	// until there is one or ctx ends. io.EOF, with nothing appended, says that
	// the stretch has no more.
	Next(ctx context.Context, after uint64, dst []byte, most int) (out []byte, last uint64, err error)
	// Acked tells that everything of the stretch up to through is stored at the
	// collector, or was given up by Rejected.
	Acked(through uint64)
	// Rejected tells that the collector has given up so many records of the
	// numbers from to through, and why. Acked covers them afterwards, unless
	// they were context.
	Rejected(from, through uint64, records uint32, cause Cause, text string)
}

// Supply is all that a worker has to deliver. Of each kind of stretch one is
// under way at a time; both kinds may be asked for at once.
type Supply interface {
	// Session names this process, by which the collector knows whether it is
	// the one that the fleet has admitted.
	Session() model.BootID
	// Live returns the stretch of this process that goes on as records come; its
	// boot is Session. It is asked before each connection, and waits, until ctx
	// ends, when older records are to go first.
	Live(ctx context.Context) (Source, error)
	// Backlog waits, until ctx ends, for a stretch to deliver besides the live
	// one. It is asked again when the stretch was delivered, when the connection
	// for it ended, and when no connection was made after all: the stretch of
	// the call before is not in use any more then.
	Backlog(ctx context.Context) (Source, error)
}

// Peer is a worker that has said hello.
type Peer struct {
	Worker model.WorkerID // from its certificate
	// Leaf is that certificate; nil when the connection is not TLS. Do not
	// modify it.
	Leaf *x509.Certificate
	// Session is the process that has connected. Whether it may is judged by it.
	Session model.BootID
	// Boot is the process whose records come: Session itself, or with Backfill
	// perhaps an earlier one.
	Boot model.BootID
	// Backfill says that the connection delivers what was left behind, and ends.
	Backfill bool
	Addr     netip.AddrPort // zero when the connection has no such address
	// First and Next say what the worker has to deliver here: records First to
	// Next-1, and without Backfill all that come after them.
	First, Next uint64
	// ClockOffset is the worker's clock minus ours, as the hello says; it is too
	// low by the time that the hello was under way.
	ClockOffset time.Duration
}

// Sink stores what workers send. A worker has up to two sessions at once, one
// with Backfill and one without, which may be of one boot or of two.
type Sink interface {
	// Open begins a session. It is called once the session before it of the
	// same worker and kind is closed, and ends early when ctx does. An error
	// that is a *Refusal is told to the worker as it is; any other one as a
	// temporary internal fault.
	Open(ctx context.Context, p Peer) (Session, error)
}

// Session takes the records of one connection. Resume, Wanted and Append are
// called by one goroutine, Durable by any at any time, Close once at the end when
// no other call is under way.
type Session interface {
	// Resume returns the number up to which everything from Peer.First on is
	// stored durably: Peer.First-1 when the first one is not. It does not change
	// during the session.
	Resume() uint64
	// Wanted says which of the offered parts must be sent, one bool for each.
	Wanted(offered []frame.PartID) []bool
	// Append takes the next record; raw is its encoding. Both are valid during
	// the call only. Numbers rise. Records up to Resume are context: they bring
	// the decoder up to date and are not stored. Those beyond may have been
	// stored before, by another session; that is no error.
	//
	// A permanent *Refusal gives up this one record: the worker is told, and
	// the stream goes on behind it. Any other error ends the connection, and
	// the worker sends the record again later.
	Append(record frame.Record, raw []byte) error
	// Durable returns the number up to which everything from Peer.First on that was accepted is
	// stored durably, whoever stored it, and everything that was given up is so durably; and
	// a channel that is closed when it has risen.
	Durable() (seq uint64, changed <-chan struct{})
	// Close ends the session. Records that are not durable may be lost.
	Close() error
}
