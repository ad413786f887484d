package collector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const (
	// renewalCheck is how often the clock is looked at: it may have been set.
	renewalCheck = time.Minute
	// renewalRetry bounds the pause after an attempt that failed.
	renewalRetry = time.Minute
)

// renewal keeps the certificate good while the daemon runs.
type renewal struct {
	*certificate
	// ask is POST /v1/renew of the coordinator, with the present certificate.
	ask func(context.Context) (api.Enrolment, error)
	// changed is called when connections made from now on show or believe
	// something else. It must not block.
	changed func()
	urgent  chan struct{} // holds one: renew now
}

func newRenewal(c *certificate, ask func(context.Context) (api.Enrolment, error), changed func()) *renewal {
	return &renewal{certificate: c, ask: ask, changed: changed, urgent: make(chan struct{}, 1)}
}

// soon has the certificate renewed now. It does not block.
func (r *renewal) soon() {
	select {
	case r.urgent <- struct{}{}:
	default: // it is on its way
	}
}

// run renews the certificate when two thirds of its life are over, until ctx
// ends.
func (r *renewal) run(ctx context.Context) error {
	failing := false
	for wait := r.due(); ; {
		urgent := false
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.urgent:
			urgent = true
		case <-timer.C:
		}
		timer.Stop()
		if wait = r.due(); wait > 0 && !urgent {
			continue
		}
		err := r.renew(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if wait = r.due(); err != nil {
			// A tenth of what is left, so that a short life gets its attempts, too.
			wait = min(renewalRetry, max(time.Second, r.credentials.NotAfter().Sub(r.now())/10))
			if !failing {
				r.log.Error("certificate not renewed, tried again", "ends", r.credentials.NotAfter(), logkey.Err, err)
			}
		}
		failing = err != nil
	}
}

// due is how long the certificate needs no renewal, at most renewalCheck.
func (r *renewal) due() time.Duration {
	return min(renewalCheck, max(0, trust.RenewAt(r.credentials.Leaf()).Sub(r.now())))
}

// renew gets a new certificate: over the control channel, for the same key, and
// if that fails through the socket of a coordinator on this host.
func (r *renewal) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*askOffice)
	defer cancel()
	r.changing.Lock()
	defer r.changing.Unlock()
	err := r.renewLocked(ctx)
	if err != nil && r.office != nil {
		if local := r.issue(ctx, r.credentials.Identity().Name, false); local == nil {
			err = nil
		} else {
			err = errors.Join(err, fmt.Errorf("through the socket: %w", local))
		}
	}
	if err == nil {
		err = r.credentials.Reload()
	}
	r.count(err)
	if err != nil {
		return err
	}
	r.log.Info("certificate renewed", "ends", r.credentials.NotAfter())
	r.changed()
	return nil
}

func (r *renewal) renewLocked(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, askOffice)
	defer cancel()
	answer, err := r.ask(bounded)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(r.files.Key)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	return r.install(answer, key, r.credentials.Identity().Name, false)
}

// adopt stores the fleet's authorities as the coordinator has told them over a
// verified connection, and believes them from now on.
func (r *renewal) adopt(bundle string) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	changed, err := trust.UpdateBundle(r.files.CA, []byte(bundle))
	if err != nil || !changed {
		return err
	}
	if err := r.credentials.Reload(); err != nil {
		return err
	}
	r.log.Info("authorities of the fleet have changed", "trusted", r.credentials.Bundle().Fingerprints())
	r.changed()
	return nil
}

func (r *renewal) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.stat.Failures++
		return
	}
	r.stat.Renewals++
}

func (r *renewal) stats() certificateStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stat
}
