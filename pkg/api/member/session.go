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
	"github.com/cloudless-fleet/cloudless/pkg/model"
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
	s, ok := h.wanted(w, r, peer)
	if !ok {
		return
	}
	defer h.sessions.leave(peer.Identity)
	r, release := middleware.Endless(w, r)
	defer release()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(errOver)
	// A session does not outlive the certificate that it was opened with.
	expiry := time.AfterFunc(peer.Leaf.NotAfter.Sub(h.deps.Now()), func() { cancel(fmt.Errorf("%w: connect again with the new one", trust.ErrExpired)) })
	defer expiry.Stop()
	lines := newLines(w, cancel, h.millis)
	err := h.fleet.Session(ctx, peer, *s, lines.send)
	cause := context.Cause(ctx)
	cancel(errOver)
	lines.hush()
	h.end(w, lines, err, cause)
}

// wanted reads what session is asked for and finds room for it. When there is none
// it has answered. It stands alone so that its stack is free again while the
// session lasts.
func (h *Handlers) wanted(w http.ResponseWriter, r *http.Request, peer Peer) (*api.Session, bool) {
	s := new(api.Session)
	if !body.JSON(w, r, maxSmall, "session", s) {
		return nil, false
	}
	if err := checkSession(*s); err != nil {
		reply.Error(w, reply.BadData, "session: "+err.Error())
		return nil, false
	}
	if err := h.sessions.enter(peer.Identity); err != nil {
		reply.Error(w, reply.Busy, err.Error())
		return nil, false
	}
	return s, true
}

func checkSession(s api.Session) error {
	const longestName, longestVersion = 253, 64
	return errors.Join(checkProcess(s.Boot, s.Body, s.Bundle),
		api.CheckLine("hostname", s.Hostname, longestName), api.CheckLine("version", s.Version, longestVersion))
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

// lines writes directives, one at a time, and a sign of life now and then, so that
// the worker tells a silent coordinator from one that has nothing to say. A timer
// sends it: a goroutine that waits for that would cost 4 KiB a session.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	broken  context.CancelCauseFunc
	millis  func() model.Millis

	mu     sync.Mutex // guards the rest, and writing
	ping   *time.Timer
	hushed bool // no more signs of life
	begun  bool
	failed error
}

func newLines(w http.ResponseWriter, broken context.CancelCauseFunc, millis func() model.Millis) *lines {
	l := &lines{w: w, control: http.NewResponseController(w), broken: broken, millis: millis}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ping = time.AfterFunc(api.SessionPing, l.alive)
	return l
}

// alive sends a sign of life.
func (l *lines) alive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.hushed && l.sendLocked(api.Directive{Now: l.millis()}) == nil {
		l.ping.Reset(api.SessionPing)
	}
}

// hush ends the signs of life; none is being written any more when it returns.
func (l *lines) hush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hushed = true
	l.ping.Stop()
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
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sendLocked(d)
}

func (l *lines) sendLocked(d api.Directive) error {
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if len(line) >= api.MaxDirective {
		return fmt.Errorf("directive of %d bytes, at most %d", len(line), api.MaxDirective)
	}
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
