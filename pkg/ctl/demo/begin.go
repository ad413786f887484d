package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	// startGrace is how long a daemon may take until it answers on its socket.
	startGrace = 30 * time.Second
	// attempt bounds one question to a daemon that may not listen yet, and
	// pause is what lies between two.
	attempt = 5 * time.Second
	pause   = 50 * time.Millisecond
	// tokenTTL is how long the join token is good: it is used at once.
	tokenTTL = 10 * time.Minute
)

// begin starts the daemons one after the other and lets the worker in, as an
// operator would do by hand.
func (s *show) begin(ctx context.Context) error {
	if err := s.start(ctx, model.DaemonCoordinator); err != nil {
		return err
	}
	var status api.FleetStatus
	err := s.until(ctx, model.DaemonCoordinator, func(ctx context.Context) (err error) {
		status, err = s.admin.Status(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.makeToken(ctx); err != nil {
		return err
	}
	for _, daemon := range []string{model.DaemonCollector, model.DaemonWorker} {
		if err := s.start(ctx, daemon); err != nil {
			return err
		}
	}
	if err := s.makeAccess(ctx, status.Web); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, strings.Join(s.fleet.hints(s.Bin), "\n")+"\n")
	return err
}

// makeToken makes a join token and puts it where workerd looks for one.
func (s *show) makeToken(ctx context.Context) error {
	made, err := s.admin.CreateToken(ctx, api.TokenRequest{TTL: tokenTTL.Milliseconds(), Uses: 1,
		Addresses: []string{s.fleet.coordinator()}})
	if err != nil {
		return fmt.Errorf("make a join token: %w", err)
	}
	s.token = made.ID
	return os.WriteFile(s.fleet.tokenFile(), []byte(made.Token+"\n"), 0o600)
}

// makeAccess makes an API token and puts it, and by what the collector is
// recognised, where curl reads both: not on a command line, which others see.
func (s *show) makeAccess(ctx context.Context, web string) error {
	var made api.APITokenCreated
	err := s.until(ctx, model.DaemonCollector, func(ctx context.Context) (err error) {
		made, err = s.client.CreateAPIToken(ctx, api.APITokenRequest{Name: "curl of the demo", Scope: api.ScopeRead})
		return err
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.fleet.webAuthority(), []byte(web), 0o600); err != nil {
		return err
	}
	return os.WriteFile(s.fleet.curlConfig(), []byte(s.fleet.curlSettings(made.Token)), 0o600)
}

// until asks a daemon until it answers, but not for ever.
func (s *show) until(ctx context.Context, daemon string, ask func(context.Context) error) error {
	giveUp := time.Now().Add(startGrace)
	for {
		if err := s.dead(); err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, attempt)
		err := ask(limited)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case refusesForGood(err):
			return fmt.Errorf("%s refuses: %w\n%s", daemon, err, s.lastWords(daemon))
		case time.Now().After(giveUp):
			return fmt.Errorf("%s does not answer: %s\n%s", daemon, rootCause(err), s.lastWords(daemon))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// refusesForGood tells an answer that waiting does not change from one of a daemon
// that is not ready.
func refusesForGood(err error) bool {
	refused, ok := errors.AsType[*api.Error](err)
	return ok && refused.Status/100 == 4 && refused.Status != http.StatusTooManyRequests
}

func (s *show) lastWords(daemon string) string {
	for _, p := range s.running {
		if p.name == daemon {
			return "The last it said:\n" + p.lastWords()
		}
	}
	return ""
}
