package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// sessionsEach bounds the sessions of one identity: two machines with a copied
// folder, each with a connection that it has given up and nobody noticed.
const sessionsEach = 8

// writeTime is how long one line may take to be written.
const writeTime = 20 * time.Second

// errOver is the cause with which a session's context ends after its work is
// done.
var errOver = errors.New("session is over")

// sessions counts those that are open.
type sessions struct {
	most int

	mu  sync.Mutex // guards the rest
	all int
	of  map[trust.Identity]int
}

func (s *sessions) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// enter reports why there is no room; otherwise leave has to be called.
func (s *sessions) enter(id trust.Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.most {
		return fmt.Errorf("%d sessions are open already", s.all)
	}
	if s.of[id] >= sessionsEach {
		return fmt.Errorf("%d sessions of %s are open already", s.of[id], id)
	}
	s.all++
	s.of[id]++
	return nil
}

func (s *sessions) leave(id trust.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[id]--; s.of[id] == 0 {
		delete(s.of, id)
	}
}

func (h *Handlers) session(w http.ResponseWriter, r *http.Request, peer Peer) {
	var s api.Session
	if !body.JSON(w, r, maxSmall, "session", &s) {
		return
	}
	if err := checkSession(s); err != nil {
		reply.Error(w, reply.BadData, "session: "+err.Error())
		return
	}
	if err := h.sessions.enter(peer.Identity); err != nil {
		reply.Error(w, reply.Busy, err.Error())
		return
	}
	defer h.sessions.leave(peer.Identity)
	r, release := middleware.Endless(w, r)
	defer release()
	// A session does not outlive the certificate that it was opened with.
	left := peer.Leaf.NotAfter.Sub(h.deps.Now())
	ctx, cancel := context.WithTimeoutCause(r.Context(), left, fmt.Errorf("%w: connect again with the new one", trust.ErrExpired))
	defer cancel()
	h.stream(ctx, w, peer, s)
}

func checkSession(s api.Session) error {
	const longestName, longestVersion = 253, 64
	return errors.Join(checkProcess(s.Boot, s.Body, s.Bundle),
		api.CheckLine("hostname", s.Hostname, longestName), api.CheckLine("version", s.Version, longestVersion))
}

// stream runs the session and pings beside it.
func (h *Handlers) stream(ctx context.Context, w http.ResponseWriter, peer Peer, s api.Session) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errOver)
	lines := &lines{w: w, control: http.NewResponseController(w), broken: cancel}
	pinging := make(chan struct{})
	go func() {
		defer close(pinging)
		h.ping(ctx, lines)
	}()
	err := h.fleet.Session(ctx, peer, s, lines.send)
	cause := context.Cause(ctx)
	cancel(errOver)
	<-pinging
	h.end(w, lines, err, cause)
}

// ping sends a sign of life now and then, so that the worker tells a silent
// coordinator from one that has nothing to say.
func (h *Handlers) ping(ctx context.Context, lines *lines) {
	tick := time.NewTicker(api.SessionPing)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = lines.send(api.Directive{Now: h.millis()}) // an error ends ctx
		}
	}
}

// end says the last word, if there is one and somebody to hear it.
func (h *Handlers) end(w http.ResponseWriter, lines *lines, err, cause error) {
	if cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause // why the session's own error came about
	}
	switch {
	case lines.failed != nil || errors.Is(err, context.Canceled):
	case !lines.begun && err != nil:
		reply.Failure(w, err)
	case err != nil:
		_ = lines.send(api.Directive{Now: h.millis(), End: err.Error()})
	case !lines.begun:
		lines.begin()
	}
}

// lines writes directives, one at a time.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	broken  context.CancelCauseFunc

	mu     sync.Mutex // guards the rest, and writing
	begun  bool
	failed error
}

// begin sends the header. Flushed before any line, it keeps the stack from
// compressing what must not be held back.
func (l *lines) begin() {
	l.begun = true
	l.w.Header().Set("Content-Type", "application/x-ndjson")
	l.w.WriteHeader(http.StatusOK)
	_ = l.control.Flush()
}

// send writes one line. After an error the session is over.
func (l *lines) send(d api.Directive) error {
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if len(line) >= api.MaxDirective {
		return fmt.Errorf("directive of %d bytes, at most %d", len(line), api.MaxDirective)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	_ = l.control.SetWriteDeadline(time.Now().Add(writeTime)) // tests' writers know none
	if !l.begun {
		l.begin()
	}
	if _, err = l.w.Write(append(line, '\n')); err == nil {
		err = l.control.Flush()
	}
	if err != nil {
		l.failed = fmt.Errorf("write to the worker: %w", err)
		l.broken(context.Canceled)
	}
	return l.failed
}
