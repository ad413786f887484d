package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// ending is why a membership cannot go on as it is.
type ending uint8

const (
	endStopped ending = iota // the daemon stops
	endRekey                 // another machine has this identity: make another one
	endCast                  // the fleet does not want this certificate any more
)

// service is what a member does while its certificate is good: the session with
// the coordinator, signs of life, the renewal of the certificate.
type service struct {
	w           *worker
	life        *life
	credentials *trust.Credentials
	link        atomic.Pointer[link] // of the session, also when that has ended
	open        atomic.Bool          // the session is
	over        chan ending          // holds one: the first counts
	renew       chan struct{}        // fetch a new certificate now; holds one
	register    chan struct{}        // register by the control channel now; holds one

	mu     sync.Mutex // guards what follows
	tenure tenure
	again  context.CancelFunc // ends the present session, so that another is opened
	judged time.Time          // when the fleet was asked last whether it still knows us
}

func newService(w *worker, l *life, credentials *trust.Credentials) *service {
	return &service{w: w, life: l, credentials: credentials, over: make(chan ending, 1),
		renew: make(chan struct{}, 1), register: make(chan struct{}, 1), again: func() {}}
}

// run serves until the daemon stops or the membership ends otherwise. At an
// orderly end the last records go first, then the goodbye, then the session.
func (s *service) run(ctx context.Context) (ending, error) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	for _, part := range []func(context.Context){s.attend, s.keepAlive, s.renewals, s.registering} {
		all.Go(func() { part(inner) })
	}
	defer s.w.status.update(func(st *Status) { st.Session, st.SessionText = sessionNone, "" })
	defer all.Wait()
	defer cancel()
	select {
	case <-ctx.Done():
		s.life.end()
		s.leave()
		return endStopped, nil
	case why := <-s.over:
		s.life.gate.close()
		return why, nil
	case err := <-s.life.failed:
		return endStopped, err
	}
}

func (s *service) end(why ending) { poke(s.over, why) }

// poke puts a value into a channel that holds one, unless there is one.
func poke[T any](c chan T, value T) {
	select {
	case c <- value:
	default:
	}
}

// leaveTimeout bounds the goodbye: nobody waits for a coordinator that is away.
const leaveTimeout = 2 * time.Second

// leave says goodbye, so that the fleet takes this worker for stopped and not
// for lost.
func (s *service) leave() {
	l := s.link.Load()
	if l == nil || !s.life.gate.isOpen() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := l.Leave(ctx, api.Leave{Boot: s.life.spool.Boot()}); err != nil {
		s.w.log.Warn("could not say goodbye to the coordinator", "err", err)
	}
}

// addresses are those under which the coordinator may be, the likeliest first.
func (s *service) addresses() []string {
	var all []string
	if at := s.w.status.plain().Coordinator; at != "" {
		all = append(all, at)
	}
	heard, _ := s.w.port.calls()
	for _, one := range slices.Backward(heard) { // the newest first: coordinators move
		if one.fleet == s.life.fleet {
			all = append(all, one.address)
		}
	}
	all = append(all, s.w.cfg.Enrol.addresses()...)
	var once []string
	for _, address := range all {
		if !slices.Contains(once, address) {
			once = append(once, address)
		}
	}
	return once
}

// keepAlive renews the lease three times in its span.
func (s *service) keepAlive(ctx context.Context) {
	span := s.w.cfg.Registration.KeepAlive / 3
	for {
		rest(ctx, span-time.Duration(s.w.env.jitter()*float64(span)/10))
		if ctx.Err() != nil {
			return
		}
		l := s.link.Load()
		if l == nil || !s.open.Load() || !s.life.gate.isOpen() {
			continue // the next session will tell
		}
		call, cancel := context.WithTimeout(ctx, min(callTimeout, max(span, time.Second)))
		sent := s.w.env.now()
		result, err := l.KeepAlive(call, api.KeepAlive{Boot: s.life.spool.Boot(), Body: s.w.home.Body(s.w.facts),
			Bundle: api.BundleDigest(s.credentials.Bundle()), Now: model.Millis(sent.UnixMilli())})
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.w.status.failed(fmt.Errorf("keep-alive: %w", err))
			s.doubt(ctx, err)
			continue
		}
		s.w.clock.asked(sent, s.w.env.now(), result.Now)
		if !result.Session {
			s.reopen()
		}
		if !result.Renewed {
			poke(s.register, struct{}{})
		}
	}
}

// reopen ends the present session; attend opens another one.
func (s *service) reopen() {
	s.mu.Lock()
	again := s.again
	s.mu.Unlock()
	again()
}

// judgePause is the least time between two questions whether the fleet still
// knows us.
const judgePause = 30 * time.Second

// doubt asks the fleet whether it still knows this worker, when an error looks
// like a no. By proof of the key the answer is definite: a connection that is
// refused may have many reasons.
func (s *service) doubt(ctx context.Context, err error) {
	if !looksLikeNo(err) {
		return
	}
	now := s.w.env.now()
	s.mu.Lock()
	asked := !s.judged.IsZero() && now.Sub(s.judged) < judgePause && !now.Before(s.judged)
	if !asked {
		s.judged = now
	}
	s.mu.Unlock()
	if !asked {
		s.prove(ctx)
	}
}

// looksLikeNo reports whether an error may mean that the certificate is not
// welcome: an answer that says so, or an alert in the handshake. The alert comes
// when the client has already finished its part: HTTP/2 may see no more of it than
// the end.
func looksLikeNo(err error) bool {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused.Status == http.StatusForbidden || refused.Status == http.StatusUnauthorized
	}
	return err != nil && (strings.Contains(err.Error(), "remote error: tls:") || strings.Contains(err.Error(), "client conn could not be established"))
}
