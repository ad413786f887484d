package collector

import (
	"context"
	"errors"
	"time"

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
	// revoked says that the fleet has shut the worker out. The handshake has
	// asked, too, but the list may have changed since.
	revoked func(stream.Peer) bool
}

var _ stream.Sink = sessions{}

// unknownRetry is how long a worker waits that holds a good certificate and is
// not registered: it is told so, or registers, in the meantime.
const unknownRetry = 2 * time.Second

// Admit is stream.ServerDeps.Admit: the one process that the coordinator has
// admitted may take the place of the worker's connection before, and no other.
func (s sessions) Admit(ctx context.Context, p stream.Peer) error {
	_, err := s.judge(ctx, p)
	return err
}

// Open implements stream.Sink.
func (s sessions) Open(ctx context.Context, p stream.Peer) (stream.Session, error) {
	row, err := s.judge(ctx, p)
	if err != nil {
		return nil, err
	}
	session, err := s.store.OpenSession(store.Source{Worker: p.Worker, Boot: p.Boot, Backfill: p.Backfill, First: p.First, Instance: row.Instance})
	if err != nil {
		return nil, refusalOf(err)
	}
	return &contactSession{Session: session, heard: func() { s.contacts.saw(p.Worker) }}, nil
}

// judge returns the worker's row, or a refusal.
func (s sessions) judge(ctx context.Context, p stream.Peer) (seenWorker, error) {
	row, known := s.view.findProcess(ctx, p.Worker, p.Session)
	// Asked last: looking for the worker may have taken a while.
	if s.revoked(p) {
		return row, &stream.Refusal{Cause: stream.CauseRevoked, Permanent: true, Text: revokedText}
	}
	if why := s.whyNot(row, known, p.Session); why != "" {
		return row, &stream.Refusal{Cause: stream.CauseUnknown, Text: why, RetryAfter: unknownRetry}
	}
	return row, nil
}

// whyNot says why a process of a worker is not let in; "": it is.
func (s sessions) whyNot(row seenWorker, known bool, process model.BootID) string {
	switch {
	case !s.view.isLoaded():
		return "the collector does not know the fleet yet: its coordinator does not answer"
	case !known:
		return "the worker is not registered"
	case row.State != model.Registered && row.State != model.Suspect:
		return "the worker is " + row.State.String()
	case row.Instance == "":
		return "the worker has no name yet"
	case row.Boot.IsZero():
		return "the coordinator has admitted no process of this worker yet"
	case row.Boot != process:
		return "the coordinator has admitted another process of this worker"
	}
	return ""
}

// cutOthers ends the streams of processes of the workers that are not admitted
// any more.
func cutOthers(streams *stream.Server, view *fleetView, workers []model.WorkerID) int {
	changed := make(map[model.WorkerID]bool, len(workers))
	for _, id := range workers {
		changed[id] = true
	}
	return streams.Cut(func(p stream.Peer) bool {
		return changed[p.Worker] && !p.Session.IsZero() && p.Session != view.boot(p.Worker)
	}, &stream.Refusal{Cause: stream.CauseUnknown, Text: "the coordinator has admitted another process of this worker", RetryAfter: unknownRetry})
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
	case store.CauseTooManySeries, store.CauseTooManyNew, store.CauseTooManyStreams, store.CauseTooManyWorkers,
		store.CauseTooManyHoles, store.CausePartsFull:
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
	case store.CauseTooOld, store.CauseNone: // counted by the store, no refusals
	}
	return stream.CauseOther
}
