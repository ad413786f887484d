package worker

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// belong brings the machine into its fleet and keeps it there, until ctx ends. It
// goes back and forth between two phases: joining, while there is no certificate
// that is good, and serving.
//
//	        no certificate              certificate
//	start ----------------> joining <----------------> serving
//	                          ^   it ran out, revoked     |
//	                          +---------------------------+
//	                            another machine has this identity: a new one
func (w *worker) belong(ctx context.Context) error {
	defer w.endLife((*life).end)
	cast := false
	for ctx.Err() == nil {
		credentials, err := w.load()
		if err != nil {
			return err
		}
		if credentials == nil || cast {
			if err := w.wait(ctx, cast); err != nil {
				return err
			}
			cast = false
			continue
		}
		if err := w.use(credentials); err != nil {
			return err
		}
		w.credentials.Store(credentials)
		l, err := w.live(credentials.Identity().Fleet)
		if err != nil {
			return err
		}
		end, err := newService(w, l, credentials).run(ctx)
		switch {
		case err != nil:
			return err
		case end == endRekey:
			w.endLife((*life).drop)
			if err := w.rekey(); err != nil {
				return err
			}
		case end == endCast:
			cast = true
		}
	}
	return nil
}

// wait is the phase of joining. A member whose certificate ran out goes on
// measuring meanwhile; whoever was never let in keeps nothing.
func (w *worker) wait(ctx context.Context, cast bool) error {
	if fleet, ok := w.home.Enrolled(); ok {
		if _, err := w.live(fleet); err != nil {
			return err
		}
	} else {
		w.endLife((*life).drop)
	}
	err := w.join(ctx, cast)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// live returns the life under the present identity in the fleet, and begins it
// if there is none.
func (w *worker) live(fleet string) (*life, error) {
	if l := w.life.Load(); l != nil {
		if l.id == w.home.Worker() && l.fleet == fleet {
			return l, nil
		}
		w.endLife((*life).drop)
	}
	l, err := w.begin(w.home.Worker(), fleet)
	if err != nil {
		return nil, err
	}
	w.life.Store(l)
	w.status.update(func(s *Status) {
		boot := l.spool.Boot()
		s.Worker, s.Boot, s.Fleet = l.id, &boot, fleet
	})
	return l, nil
}

func (w *worker) endLife(how func(*life)) {
	l := w.life.Load()
	if l == nil {
		return
	}
	how(l)
	w.port.life.Store(nil)
	w.life.Store(nil)
	w.status.update(func(s *Status) { s.Boot, s.Session = nil, sessionNone })
}

// load reads the certificate. It is nil, without an error, when there is none
// that is good at this time.
func (w *worker) load() (*trust.Credentials, error) {
	credentials, err := trust.Load(w.home.Files(), w.env.now)
	switch {
	case err == nil:
		if id, ok := credentials.Identity().WorkerID(); !ok || id != w.home.Worker() {
			return nil, fmt.Errorf("%q: %w: %s, this is worker %s", w.home.Files().Cert, trust.ErrIdentityChanged, credentials.Identity(), w.home.Worker())
		}
		return credentials, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, trust.ErrExpired), errors.Is(err, trust.ErrKeyMismatch): // a crash in Rekey
		return nil, nil
	case errors.Is(err, trust.ErrNotYetValid), errors.Is(err, trust.ErrNotSigned):
		w.status.failed(err)
		return nil, nil
	}
	return nil, err
}

// use lets the port believe and sign by what the certificate says, and shows it.
func (w *worker) use(credentials *trust.Credentials) error {
	bundle, leaf := credentials.Bundle(), credentials.Leaf()
	authority := issuer(leaf, bundle)
	if err := w.port.trust(bundle); err != nil {
		return err
	}
	if err := w.port.signAs(bundle.Fleet, authority, w.home.Worker(), w.home.Key()); err != nil {
		return err
	}
	ends := leaf.NotAfter
	w.stand(standingMember, func(s *Status) {
		s.Worker, s.Fleet, s.Authority, s.CertificateEnds = w.home.Worker(), bundle.Fleet, authorityName(authority), &ends
		s.Text, s.Code = "", ""
	})
	return nil
}

// issuer is the authority that has signed a certificate: the fleet knows it for
// as long as the certificate is good.
func issuer(leaf *x509.Certificate, bundle trust.Bundle) trust.Fingerprint {
	for _, authority := range bundle.Authorities {
		if leaf.CheckSignatureFrom(authority) == nil {
			return trust.CertificateFingerprint(authority)
		}
	}
	return trust.Fingerprint{}
}

// stand notes where the machine stands, for the status file, the service
// manager, and the log when it has changed.
func (w *worker) stand(at standing, more func(*Status)) {
	var was, now Status
	w.status.update(func(s *Status) {
		was = *s
		s.Standing = at
		more(s)
		now = *s
	})
	if line := now.headline(); line != was.headline() {
		w.tell(line)
	}
	if was.Standing != at {
		w.log.Info("standing with the fleet", logkey.Was, string(was.Standing), logkey.State, string(at), "fleet", now.Fleet)
	}
}

// hardlyBehind is for how long records may wait without being called a backlog.
const hardlyBehind = time.Minute

// refreshStatus adds what changes without a call.
func (w *worker) refreshStatus(s *Status) {
	if offset, known := w.clock.view(); known {
		ms := offset.Milliseconds()
		s.ClockOffset = &ms
	}
	l := w.life.Load()
	if l == nil {
		return
	}
	s.Waiting, s.WaitingFor = 0, 0
	kept := l.spool.Stats()
	s.Spool = clipped(kept.DiskError)
	if kept.UnackedAge >= hardlyBehind {
		s.Waiting, s.WaitingFor = kept.UnackedBytes, int64(kept.UnackedAge/time.Second)
	}
	agent, _ := l.registration.view()
	s.Registration, s.Instance = agent.State.String(), agent.Instance
	if agent.State != model.AgentRegistered && agent.Message != "" {
		s.Registration += ": " + clipped(agent.Message)
	}
	stats := l.client.Stats()
	s.Collector, s.Stream = stats.Endpoint, stats.State.String()
	if stats.State.String() != "connected" && stats.LastError != "" {
		s.Stream += ": " + clipped(stats.LastError)
	}
}
