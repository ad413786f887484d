package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Server is the collector's end of streams. Safe for concurrent use. It starts
// no goroutine of its own: Serve runs a connection in its caller's.
type Server struct {
	config  ServerConfig
	deps    ServerDeps
	log     *slog.Logger
	buffers *sync.Pool

	mu     sync.Mutex
	slots  map[place]*slot
	links  map[*downlink]struct{} // connections in Serve
	active map[*downlink]struct{} // those of them that were welcomed
	stats  ServerStats
	// backfills counts the slots of backfill connections.
	backfills int

	totals totals
}

// place is what one connection at a time may have.
type place struct {
	worker model.WorkerID
	role   role
}

// slot is where the connections for one place meet: one has the session, later
// ones wait for it, and each newcomer ends those before it.
type slot struct {
	newest *downlink
	turn   chan struct{} // capacity 1, full while one has the session
	users  int           // connections that know of the slot
}

// NewServer makes a server that stores by deps.Sink.
func NewServer(config ServerConfig, deps ServerDeps) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("stream server: %w", err)
	}
	if deps.Sink == nil || deps.Now == nil {
		return nil, errors.New("stream server: a dependency is missing")
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{config: config, deps: deps, log: deps.Log.With(logkey.Component, "stream"),
		buffers: newBuffers(), slots: map[place]*slot{}, links: map[*downlink]struct{}{}, active: map[*downlink]struct{}{}}, nil
}

// Serve speaks with the worker at the other end of conn, which who is known to
// be, until the connection ends or ctx does, and closes it. It needs two
// goroutines: its caller's and one more.
func (s *Server) Serve(ctx context.Context, conn net.Conn, who trust.Identity) {
	defer conn.Close()
	worker, isWorker := who.WorkerID()
	d := &downlink{server: s, worker: worker, leaf: leafOf(conn), addr: addrOf(conn), since: s.deps.Now(),
		wire: newWire(conn, s.buffers, s.config.IdleTimeout), wake: make(chan struct{}, 1)}
	defer d.wire.release()
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	defer d.cancel(nil)
	if refusal := s.enter(d, who, isWorker); refusal != nil {
		s.note(d, refusal)
		d.wire.refuse(refusal)
		return
	}
	defer s.exit(d)
	// A read that waits ends when the context does.
	defer context.AfterFunc(d.ctx, d.wire.interrupt)()
	err := d.run()
	s.note(d, err)
	if refusal := refusalFor(err); refusal != nil {
		d.wire.refuse(refusal)
	}
}

// enter admits a connection, or says why not. From then on Cut finds it.
func (s *Server) enter(d *downlink, who trust.Identity, isWorker bool) *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isWorker {
		return &Refusal{Cause: CauseIdentity, Permanent: true, Text: fmt.Sprintf("%v is not a worker", who)}
	}
	if len(s.links) >= s.config.MaxConnections {
		return &Refusal{Cause: CauseBusy, Text: fmt.Sprintf("all %d connections are taken", s.config.MaxConnections),
			RetryAfter: 10 * time.Second}
	}
	s.links[d] = struct{}{}
	return nil
}

func (s *Server) exit(d *downlink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.links, d)
}

// claim gives d the place of its role: the connection before is ended, and its
// session closed when claim returns. release must be called in any case.
func (s *Server) claim(d *downlink) (release func(), err error) {
	s.mu.Lock()
	here := place{d.worker, d.hello.role}
	at := s.slots[here]
	if at == nil {
		if here.role == roleBackfill && s.backfills >= s.config.maxBackfills() {
			s.mu.Unlock()
			return func() {}, &Refusal{Cause: CauseBusy, Text: fmt.Sprintf("all %d connections for backlogs are taken", s.config.maxBackfills()),
				RetryAfter: 10 * time.Second}
		}
		at = &slot{turn: make(chan struct{}, 1)}
		s.slots[here] = at
		if here.role == roleBackfill {
			s.backfills++
		}
	}
	at.users++
	if at.newest != nil {
		at.newest.cancel(&Refusal{Cause: CauseReplaced, Text: fmt.Sprintf("the worker has connected again, from %v", d.addr)})
	}
	at.newest = d
	s.mu.Unlock()

	held := false
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if held {
			<-at.turn
		}
		if at.newest == d {
			at.newest = nil
		}
		if at.users--; at.users == 0 {
			delete(s.slots, here)
			if here.role == roleBackfill {
				s.backfills--
			}
		}
	}
	patience := time.NewTimer(s.config.HelloTimeout)
	defer patience.Stop()
	select {
	case at.turn <- struct{}{}:
		held = true
		return release, nil
	case <-d.ctx.Done():
		return release, context.Cause(d.ctx)
	case <-patience.C:
		return release, &Refusal{Cause: CauseBusy, Text: "the connection before this one has not ended yet", RetryAfter: time.Second}
	}
}

// grant is the window of one connection, now.
func (s *Server) grant() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	share := s.config.WindowTotal / model.Bytes(max(1, len(s.links)))
	return uint32(max(leastWindow, min(s.config.Window, share)))
}

// note counts and logs how a connection ended, or was refused.
func (s *Server) note(d *downlink, err error) {
	end, refusal := endOf(err), refusalFor(err)
	s.mu.Lock()
	s.stats.Ended[end]++
	if refusal != nil {
		s.stats.Refused[refusal.Cause.known()]++
	}
	s.mu.Unlock()
	attrs := []any{logkey.Worker, d.worker, logkey.Addr, d.addr, "role", d.hello.role.String(), logkey.Reason, end.String(), logkey.Err, err}
	switch end {
	case EndBye, EndStopped, EndLost:
		s.log.Info("worker's stream ended", attrs...)
	default:
		s.log.Warn("worker's stream ended badly", attrs...)
	}
}

// refusalFor says what a worker is told about the error that ended its
// connection; nil: nothing, there is no need or nobody to hear it.
func refusalFor(err error) *Refusal {
	if refusal := refusalIn(err); refusal != nil {
		return refusal
	}
	switch endOf(err) {
	case EndStopped:
		return &Refusal{Cause: CauseShutdown, Text: "the collector stops", RetryAfter: time.Second}
	case EndProtocol, EndOrder, EndWindow:
		cause := CauseProtocol
		if errors.Is(err, errVersion) {
			cause = CauseVersion
		}
		return &Refusal{Cause: cause, Text: err.Error(), RetryAfter: 10 * time.Second, Permanent: cause == CauseVersion}
	case EndRecord:
		return &Refusal{Cause: CauseRecord, Text: err.Error(), RetryAfter: 10 * time.Second}
	case EndFailed:
		// What went wrong inside is for our log, not for the worker's.
		return &Refusal{Cause: CauseInternal, Text: "the collector cannot store", RetryAfter: time.Second}
	}
	return nil
}
