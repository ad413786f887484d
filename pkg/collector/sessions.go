package collector

import (
	"context"
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// sessions lets the streams of registered workers into the store, and notes
// who was heard. It is the stream.Sink of the collector.
type sessions struct {
	store    *store.Store
	view     *fleetView
	contacts *contacts
}

var _ stream.Sink = sessions{}

// unknownRetry is how long a worker waits that holds a good certificate and is
// not registered: it is told so, or registers, in the meantime.
const unknownRetry = 2 * time.Second

// Open implements stream.Sink.
func (s sessions) Open(ctx context.Context, p stream.Peer) (stream.Session, error) {
	row, known := s.view.find(ctx, p.Worker)
	if !admitted(row.RegisteredWorker) {
		return nil, &stream.Refusal{Cause: stream.CauseUnknown, Text: s.whyNot(row, known), RetryAfter: unknownRetry}
	}
	session, err := s.store.OpenSession(store.Source{Worker: p.Worker, Boot: p.Boot, Instance: row.Instance})
	if err != nil {
		return nil, refusalOf(err)
	}
	return &contactSession{Session: session, heard: func() { s.contacts.saw(p.Worker) }}, nil
}

// admitted says that the worker is a living member; an unknown one is none.
func admitted(row api.RegisteredWorker) bool {
	return (row.State == model.Registered || row.State == model.Suspect) && row.Instance != ""
}

// whyNot says why a worker is not let in.
func (s sessions) whyNot(row seenWorker, known bool) string {
	switch {
	case !s.view.isLoaded():
		return "the collector does not know the fleet yet: its coordinator does not answer"
	case !known:
		return "the worker is not registered"
	case row.Instance == "":
		return "the worker has no name yet"
	}
	return "the worker is " + row.State.String()
}

// contactSession is a session of the store whose frames renew a lease.
type contactSession struct {
	*store.Session
	heard func()
}

var _ stream.Session = (*contactSession)(nil)

// Append implements stream.Session.
func (s *contactSession) Append(record frame.Record, raw []byte) error {
	if err := s.Session.Append(record, raw); err != nil {
		return refusalOf(err)
	}
	if record.Kind == frame.KindFrame && record.Seq > s.Resume() {
		s.heard()
	}
	return nil
}

// limitRetry is how long a worker waits that sends more than it may: somebody
// has to change a configuration first.
const limitRetry = time.Minute

// refusalOf tells a worker what the store said.
func refusalOf(err error) error {
	var refused *store.Refusal
	if !errors.As(err, &refused) {
		return err
	}
	told := &stream.Refusal{Cause: causeOf(refused.Cause), Text: refused.Error(), Permanent: refused.Skipped}
	if !refused.Temporary && !refused.Skipped {
		told.RetryAfter = limitRetry
	}
	return told
}

// causeOf is the cause that a worker is told. Every cause of the store has its
// place here, so that a new one is thought about.
func causeOf(cause store.Cause) stream.Cause {
	switch cause {
	case store.CauseTooManySeries, store.CauseTooManyNew, store.CauseTooManyStreams, store.CauseTooManyWorkers, store.CausePartsFull:
		return stream.CauseLimit
	case store.CauseDiskFull:
		return stream.CauseFull
	case store.CauseFuture:
		return stream.CauseFuture
	case store.CauseSuperseded:
		return stream.CauseReplaced
	case store.CauseClosed:
		return stream.CauseShutdown
	case store.CauseFailed:
		return stream.CauseInternal
	case store.CauseBadSource:
		return stream.CauseIdentity
	case store.CauseUnknownPart, store.CauseUnknownSchema, store.CauseBadPart, store.CauseBadSchema,
		store.CauseBadFrame, store.CauseBadRecord, store.CauseNoBase, store.CauseOrder:
		return stream.CauseRecord
	case store.CauseTooOld, store.CauseConflict, store.CauseNone: // counted by the store, no refusals
	}
	return stream.CauseOther
}
