package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// attend keeps a session with the coordinator. When it is away the stream goes
// on: what it has allowed stays allowed until it says otherwise.
func (s *service) attend(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		addresses := s.addresses()
		if len(addresses) == 0 {
			s.w.status.update(func(st *Status) { st.SessionText = "waiting for the call of the coordinator" })
			s.restOrCall(ctx, latestRetry)
			continue
		}
		if s.expired() { // nobody lets it in by that: the key is what is left
			if s.prove(ctx) && !s.expired() {
				failures = 0
				continue
			}
			failures++
			s.restOrCall(ctx, attempt{failures: failures / len(addresses)}.wait(s.w.env.jitter()))
			continue
		}
		address := addresses[failures%len(addresses)]
		open, cancel := context.WithCancel(ctx)
		s.mu.Lock()
		s.again = cancel
		s.mu.Unlock()
		lines, err := s.session(open, address)
		asked := open.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return
		}
		if lines > 0 {
			failures = 0
		} else {
			failures++
		}
		s.lost(address, lines, asked, err)
		s.doubt(ctx, err)
		if asked || lines > 0 {
			rest(ctx, time.Duration(s.w.env.jitter()*float64(firstRetry)))
			continue
		}
		s.restOrCall(ctx, attempt{failures: failures / len(addresses)}.wait(s.w.env.jitter()))
	}
}

// expired reports whether the certificate has run out.
func (s *service) expired() bool { return !s.w.env.now().Before(s.credentials.NotAfter()) }

// restOrCall waits, and no longer than until a coordinator calls that was not
// heard before.
func (s *service) restOrCall(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.w.port.fresh:
	}
}

// lost notes the end of a session, or of an attempt.
func (s *service) lost(address string, lines int, asked bool, err error) {
	s.w.status.update(func(st *Status) {
		if st.Session == sessionAdmitted {
			st.Session = sessionLost
		} else if st.Session == sessionWaiting {
			st.Session = sessionNone
		}
	})
	if asked {
		return
	}
	s.w.status.failed(fmt.Errorf("session with %s: %w", address, err))
	if lines > 0 {
		s.w.log.Info("session ended", logkey.Addr, address, logkey.Err, err)
	} else {
		s.w.log.Warn("no session with the coordinator", logkey.Addr, address, logkey.Err, err)
	}
}

// errSessionEnded is an orderly end by the coordinator.
var errSessionEnded = errors.New("ended by the coordinator")

// session opens one session and follows it to its end. lines is how many
// directives were heard.
func (s *service) session(ctx context.Context, address string) (lines int, err error) {
	l, err := newLink(address, s.w.env.dial, func() *tls.Config {
		return s.credentials.Client(trust.RoleCoordinator, protocols[:]...)
	})
	if err != nil {
		return 0, err
	}
	defer l.close()
	stream, err := l.Session(ctx, api.Session{Boot: s.life.spool.Boot(), Body: s.w.home.Body(s.w.facts), Hostname: s.w.hostname(),
		Version: s.w.self.version, Bundle: api.BundleDigest(s.credentials.Bundle()), Now: model.Millis(s.w.env.now().UnixMilli())})
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	s.link.Store(l)
	s.open.Store(true)
	defer s.open.Store(false)
	s.w.status.update(func(st *Status) { st.Coordinator = address })
	why := errSessionEnded
	for {
		d, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return lines, why
		}
		if err != nil {
			return lines, err
		}
		lines++
		if d.End != "" {
			why = fmt.Errorf("%w: %s", errSessionEnded, clipped(d.End))
		}
		s.hear(ctx, l, d)
	}
}

// hear does what a directive asks for.
func (s *service) hear(ctx context.Context, l *link, d api.Directive) {
	s.mu.Lock()
	next, todo := s.tenure.next(d)
	s.tenure = next
	s.mu.Unlock()
	for _, task := range todo {
		switch task := task.(type) {
		case takeBundle:
			s.takeBundle(task.pem)
		case rebind:
			s.rebind()
		case rekey:
			s.w.log.Warn("another machine has this identity: this one makes itself a new one", "why", clipped(task.why))
			s.end(endRekey)
		case shut:
			s.life.gate.close()
			s.w.log.Warn("this process may not speak for the worker yet", "why", clipped(task.why))
		case admit:
			s.life.gate.admit(s.collector(ctx, l, next.plan))
			if task.news {
				s.w.log.Info("session admitted", logkey.Addr, l.address, logkey.Boot, s.life.spool.Boot())
				s.life.client.Retry() // the collector may have been waiting for that
			}
		case planned:
			s.w.log.Info("plan", "revision", next.plan.Revision, "was", task.was, logkey.Instance, next.plan.Instance,
				"profile", next.plan.Profile, "for", next.plan.For, "labels", next.plan.Labels)
		case renewNow:
			poke(s.renew, struct{}{})
		case closing: // told when the session has ended
		}
	}
	if len(todo) > 0 {
		s.w.status.update(func(st *Status) {
			st.Session, st.SessionText = next.state, clipped(next.text)
			st.Plan, st.Profile = next.plan.Revision, next.plan.Profile
		})
	}
}

func (s *service) takeBundle(pem string) {
	changed, err := trust.UpdateBundle(s.w.home.Files().CA, []byte(pem))
	if err == nil && changed {
		err = s.w.reload(s.credentials)
	}
	switch {
	case err != nil:
		if changed {
			poke(s.renew, struct{}{}) // a certificate of one of them is needed
		}
		s.w.status.failed(fmt.Errorf("new bundle of authorities: %w", err))
		s.w.log.Error("the new bundle of authorities is not accepted", logkey.Err, err)
	case changed:
		s.w.log.Info("the fleet's authorities have changed", "authorities", len(s.credentials.Bundle().Authorities))
	}
}

func (s *service) rebind() {
	if err := s.w.home.Rebind(s.w.facts); err != nil {
		s.w.log.Error("cannot bind the identity to this machine", logkey.Err, err)
		return
	}
	s.w.log.Info("the fleet takes this machine for the same one, whatever of it was changed")
}

// collector is the best place for frames that the plan names.
func (s *service) collector(ctx context.Context, l *link, plan api.Plan) netip.AddrPort {
	if len(plan.Collectors) == 0 {
		return netip.AddrPort{}
	}
	best := plan.Collectors[0]
	remote, _ := l.peer()
	if best.Host == "" {
		return netip.AddrPortFrom(remote.Addr(), best.Port)
	}
	if addr, err := netip.ParseAddr(best.Host); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), best.Port)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", best.Host)
	if err != nil || len(found) == 0 {
		s.w.log.Warn("cannot look up the collector of the plan", "host", clipped(best.Host), logkey.Err, err)
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(found[0].Unmap(), best.Port)
}
