package worker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
)

const (
	// renewGlance is how often the clock is looked at at least: it may be set, or
	// the host may have slept.
	renewGlance = 10 * time.Minute
	// renewRetry and renewRetryMax bound the waits after a renewal that failed.
	renewRetry    = time.Minute
	renewRetryMax = time.Hour
)

// renewals keeps the certificate good until ctx ends.
func (s *service) renewals(ctx context.Context) {
	failures := 0
	var leaf *x509.Certificate
	var due time.Time
	for ctx.Err() == nil {
		now := s.w.env.now()
		if newest := s.credentials.Leaf(); newest != leaf {
			leaf, due = newest, renewAt(newest.NotAfter, trust.RenewAt(newest), s.w.env.jitter())
		}
		wait := max(due.Sub(now), 0)
		if failures > 0 {
			wait = max(wait, retryRenewal(failures, leaf.NotAfter.Sub(now), s.w.env.jitter()))
		}
		timer := time.NewTimer(min(wait, renewGlance))
		select {
		case <-ctx.Done():
		case <-s.renew:
			wait = 0
		case <-timer.C:
			wait -= min(wait, renewGlance)
		}
		timer.Stop()
		if ctx.Err() != nil || wait > 0 {
			continue
		}
		if s.renewOnce(ctx) {
			failures = 0
		} else {
			failures++
		}
	}
}

// renewAt is when one worker renews: at the due time and up to a tenth of what
// is left then later, so that a fleet that joined at once does not renew at
// once.
func renewAt(end, due time.Time, random float64) time.Time {
	return due.Add(time.Duration(random * float64(end.Sub(due)) / 10))
}

// retryRenewal is the wait after failures in a row, with so much of the
// certificate's life left: what is left allows for several attempts.
func retryRenewal(failures int, left time.Duration, random float64) time.Duration {
	most := renewRetry
	if left > 0 { // a short life has little left, and needs its attempts, too
		most = min(max(left/8, time.Second), renewRetryMax)
	}
	wait := min(renewRetry<<min(failures-1, 10), most)
	return wait/2 + time.Duration(random*float64(wait/2))
}

// renewOnce fetches a certificate: over the worker's own connection while the
// present one is good, by proof of the key afterwards.
func (s *service) renewOnce(ctx context.Context) bool {
	if s.expired() {
		return s.prove(ctx)
	}
	var errs []error
	for _, address := range s.addresses() {
		answer, err := s.askRenew(ctx, address)
		if err == nil {
			return s.take(answer)
		}
		if ctx.Err() != nil {
			return false
		}
		if looksLikeNo(err) {
			return s.prove(ctx)
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
	}
	s.renewalFailed(errors.Join(errs...))
	return false
}

func (s *service) askRenew(ctx context.Context, address string) (api.Enrolment, error) {
	l, err := newLink(address, s.w.env.dial, func() *tls.Config {
		return s.credentials.Client(trust.RoleCoordinator, protocols[:]...)
	})
	if err != nil {
		return api.Enrolment{}, err
	}
	defer l.close()
	return l.Renew(ctx)
}

// prove asks by proof of the key.
func (s *service) prove(ctx context.Context) bool {
	j := &joining{w: s.w}
	bundle := s.credentials.Bundle()
	a := approach{renewal: true, proof: proofBundle, fleet: bundle.Fleet, addresses: s.addresses()}
	answer, _, err := j.ask(ctx, situation{bundle: bundle}, a)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		s.renewalFailed(err)
		return false
	}
	return s.take(answer)
}

// take installs a certificate, and lets everything that begins from now on use
// it. The stream goes on over the connection that it has.
func (s *service) take(answer api.Enrolment) bool {
	if answer.Outcome != api.Admitted {
		s.renewalFailed(fmt.Errorf("refused: %s: %s", clipped(answer.Reason), clipped(answer.Text)))
		if definite(answer.Reason) {
			s.end(endCast)
		}
		return false
	}
	err := s.w.home.Install([]byte(answer.Bundle), []byte(answer.Certificate))
	if err == nil {
		err = s.w.reload(s.credentials)
	}
	if err != nil {
		s.renewalFailed(err)
		return false
	}
	s.w.renewals.ok.Add(1)
	s.w.log.Info("certificate renewed", "until", s.credentials.NotAfter())
	s.reopen() // requests of the session's connection would come with the old one
	s.life.client.Retry()
	return true
}

// definite reports whether a refusal says that the fleet does not have this
// member any more. The others, as that of a clock that is wrong, may pass.
func definite(reason string) bool {
	switch reason {
	case enrol.Revoked.String(), enrol.UnknownWorker.String(), enrol.WrongKey.String(), enrol.ForeignAuthority.String():
		return true
	}
	return false
}

func (s *service) renewalFailed(err error) {
	s.w.renewals.failed.Add(1)
	if s.expired() {
		s.w.stand(standingExpired, func(*Status) {})
	}
	s.w.status.failed(fmt.Errorf("renew certificate: %w", err))
	s.w.log.Warn("certificate not renewed", "ends", s.credentials.NotAfter(), logkey.Err, err)
}

// reload lets new certificates be used: those of connections, and those by which
// packets are judged and signed.
func (w *worker) reload(credentials *trust.Credentials) error {
	if err := credentials.Reload(); err != nil {
		return err
	}
	return w.use(credentials)
}
