package worker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// tokenGlance is how often the token's files are looked at while the machine is
// not let in: `workerd join` is heard within this time.
const tokenGlance = time.Second

// joining is one wish to be let in, from the first question to the certificate.
// It is used by one goroutine.
type joining struct {
	w         *worker
	cast      bool // it was told that its certificate is good no more
	forgotten bool
	mark      tokenMark // of the token's files as they were read last
	told      string    // the refusal or problem that the log was told of last
	failures  int
	code      string // the own pairing code, once it is needed
}

// join asks until the machine has a good certificate; then it returns nil. Only
// ctx and errors of the own disk end it otherwise.
func (w *worker) join(ctx context.Context, cast bool) error {
	j := &joining{w: w, cast: cast}
	for ctx.Err() == nil {
		if !j.cast {
			if credentials, err := w.load(); err != nil || credentials != nil {
				return err // the clock may have been set right
			}
		}
		s, err := j.situation()
		if err != nil {
			return err
		}
		a := s.approach()
		if err := w.listenFor(s, a); err != nil {
			return err
		}
		if len(a.addresses) == 0 {
			j.nobody(s)
			j.wait(ctx, latestRetry, true)
			continue
		}
		if done, err := j.try(ctx, s, a); done || err != nil {
			return err
		}
	}
	return ctx.Err()
}

// situation gathers what is known.
func (j *joining) situation() (situation, error) {
	w := j.w
	s := situation{fleet: w.cfg.Enrol.Fleet, authority: w.cfg.Enrol.Authority, forgotten: j.forgotten, former: w.former != nil,
		configured: w.cfg.Enrol.addresses()}
	s.heard, _ = w.port.calls()
	if at := w.status.plain().Coordinator; at != "" {
		s.remembered = []string{at}
	}
	var err error
	if s.bundle, err = w.bundle(); err != nil {
		return s, err
	}
	_, s.expired = w.home.Enrolled()
	if s.expired && len(s.bundle.Authorities) == 0 {
		return s, fmt.Errorf("%q is missing beside the certificate: put it back, or run `workerd prepare-image` to join anew", w.home.Files().CA)
	}
	places := w.tokenFiles()
	if mark := markOf(places); mark != j.mark {
		j.mark, j.told = mark, ""
	}
	join, path, err := readToken(places)
	if err == nil && join != nil && s.fleet != "" && join.Fleet != s.fleet {
		join, err = nil, fmt.Errorf("join token %q: it is of fleet %q, and enrol.fleet is %q", path, join.Fleet, s.fleet)
	}
	if err != nil {
		j.problem("the join token cannot be used", err)
	}
	s.token = join
	return s, nil
}

// listenFor makes the port believe those that can be verified, or, when there is
// nothing to verify by, everybody.
func (w *worker) listenFor(s situation, a approach) error {
	if a.proof == proofBundle {
		return w.port.trust(s.bundle)
	}
	if w.port.verifier.Load() != nil {
		w.port.distrust()
	}
	return nil
}

// bundle reads the authorities that the machine knows; without a file it knows
// none.
func (w *worker) bundle() (trust.Bundle, error) {
	pem, err := disk.Read(w.home.Files().CA, 256<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return trust.Bundle{}, nil
	}
	if err != nil {
		return trust.Bundle{}, fmt.Errorf("read authorities: %w", err)
	}
	bundle, err := trust.ParseBundle(pem)
	if err != nil {
		return trust.Bundle{}, fmt.Errorf("read authorities %q: %w", w.home.Files().CA, err)
	}
	return bundle, nil
}

// nobody tells that there is nobody to ask yet.
func (j *joining) nobody(s situation) {
	text := "waiting for the call of a coordinator"
	if fleet := s.approach().fleet; fleet != "" {
		text += " of fleet " + fleet
	}
	j.w.stand(j.rank(s, standingNew), func(st *Status) { st.Text = text })
}

// rank is where the machine stands while nothing was decided anew.
func (j *joining) rank(s situation, otherwise standing) standing {
	now := j.w.status.plain().Standing
	switch {
	case j.cast && now == standingRevoked, now == standingPending, now == standingRefused:
		return now
	case s.expired:
		return standingExpired
	}
	return otherwise
}

// try asks once, and waits if that was not enough. done: there is a certificate.
func (j *joining) try(ctx context.Context, s situation, a approach) (done bool, err error) {
	answer, from, err := j.ask(ctx, s, a)
	if err != nil && a.former && ctx.Err() == nil {
		// The former certificate may be what is not welcome.
		plain := a
		plain.former = false
		var again error
		if answer, from, again = j.ask(ctx, s, plain); again == nil {
			err = nil
		}
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		j.failures++
		why := whyNobody(a, err)
		j.problem(why, err)
		j.w.stand(j.rank(s, standingNew), func(st *Status) { st.Text = why })
		j.wait(ctx, attempt{failures: j.failures - 1}.wait(j.w.env.jitter()), true)
		return false, nil
	}
	j.failures = 0
	switch answer.Outcome {
	case api.Admitted:
		if err = j.install(s, a, from, answer); err == nil {
			return true, nil
		}
		j.problem("the answer of the coordinator is not accepted", err)
		answer.RetryAfter = 0
	case api.Pending:
		j.pending(from, answer)
	default:
		if j.refused(s, a, from, answer) {
			return false, nil // there is another way, at once
		}
	}
	j.wait(ctx, attempt{answered: true, answer: answer}.wait(j.w.env.jitter()), false)
	return false, nil
}

// source is who has answered.
type source struct {
	address string
	shown   []*x509.Certificate
}

// ask asks the addresses, one after the other, until one answers.
func (j *joining) ask(ctx context.Context, s situation, a approach) (api.Enrolment, source, error) {
	var errs []error
	for _, address := range a.addresses {
		answer, from, err := j.askOne(ctx, s, a, address)
		if err == nil || ctx.Err() != nil {
			return answer, from, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
	}
	return api.Enrolment{}, source{}, errors.Join(errs...)
}

func (j *joining) askOne(ctx context.Context, s situation, a approach, address string) (answer api.Enrolment, from source, err error) {
	l, err := newLink(address, j.w.env.dial, func() *tls.Config { return j.config(s, a, address) })
	if err != nil {
		return answer, from, err
	}
	defer l.close()
	if a.renewal {
		answer, err = j.renewal(ctx, s.bundle, l)
	} else {
		var join *token.Token
		if a.token {
			join = s.token
		}
		var request *enrol.Request
		if request, err = j.w.request(join); err == nil {
			answer, err = l.Enrol(ctx, request)
		}
	}
	_, shown := l.peer()
	return answer, source{address, shown}, err
}

// config is the TLS configuration that an approach wants.
func (j *joining) config(s situation, a approach, address string) *tls.Config {
	w := j.w
	switch {
	case a.former && w.former != nil:
		return w.former.Client(trust.RoleCoordinator, protocols[:]...)
	case a.proof == proofBundle:
		return s.bundle.Client(trust.RoleCoordinator, w.env.now, protocols[:]...)
	case a.proof == proofToken, a.proof == proofAuthority:
		return j.pin(s, a).Client(protocols[:]...)
	}
	fleet := a.fleet
	for _, one := range s.heard {
		if fleet == "" && one.address == address {
			fleet = one.fleet
		}
	}
	if trust.CheckFleet(fleet) != nil {
		return anybody("", w.env.now)
	}
	return anybody(trust.Pinned{Fleet: fleet, Now: w.env.now}.Client().ServerName, w.env.now)
}

func (j *joining) pin(s situation, a approach) trust.Pinned {
	pin := trust.Pinned{Fleet: a.fleet, Authority: s.authority, Now: j.w.env.now}
	if a.proof == proofToken {
		pin.Authority = s.token.Authority
	}
	return pin
}

// request is the machine's wish.
func (w *worker) request(join *token.Token) (*enrol.Request, error) {
	r := &enrol.Request{Worker: w.home.Worker(), Hostname: w.hostname(), Body: w.home.Body(w.facts), Labels: w.cfg.Enrol.Labels}
	return r, r.Sign(w.home.Key(), join, w.env.random, w.env.now())
}

// renewal proves the key to the fleet. It names an authority that the fleet has
// to have still, so each is tried.
func (j *joining) renewal(ctx context.Context, bundle trust.Bundle, l *link) (answer api.Enrolment, err error) {
	for _, authority := range slices.Backward(bundle.Fingerprints()) { // the newest is the last
		r := &enrol.Renewal{Worker: j.w.home.Worker(), Authority: authority, Hostname: j.w.hostname(), Body: j.w.home.Body(j.w.facts)}
		if err = r.Sign(j.w.home.Key(), j.w.env.random, j.w.env.now()); err != nil {
			return answer, err
		}
		answer, err = l.Renewal(ctx, r)
		if err != nil || answer.Reason != enrol.ForeignAuthority.String() {
			break
		}
	}
	return answer, err
}

// pending shows the code that an operator has to compare. It is the machine's
// own: what an answer says of it does not count.
func (j *joining) pending(from source, answer api.Enrolment) {
	if j.code == "" {
		j.code = pairing.Of(j.w.home.PublicKey()).String()
	}
	authority := shownAuthority(from.shown)
	if told := "pending " + from.address + answer.Fleet; j.told != told {
		j.told = told
		j.w.log.Info("waiting for approval", "fleet", clipped(answer.Fleet), "code", j.code, logkey.Addr, from.address,
			"authority", authorityName(authority), "approve_with", "cloudlessctl workers approve "+j.code)
	}
	j.w.stand(standingPending, func(st *Status) {
		st.Fleet, st.Authority, st.Code, st.Coordinator = clipped(answer.Fleet), authorityName(authority), j.code, from.address
		st.Text = "waiting for approval"
	})
}

// shownAuthority is the authority that a server has shown behind its own
// certificate: a claim.
func shownAuthority(shown []*x509.Certificate) trust.Fingerprint {
	for _, cert := range shown {
		if cert.IsCA {
			return trust.CertificateFingerprint(cert)
		}
	}
	return trust.Fingerprint{}
}

// refused notes a no. It reports whether there is another way to be tried at
// once.
func (j *joining) refused(s situation, a approach, from source, answer api.Enrolment) (another bool) {
	reason := clipped(answer.Reason)
	if told := fmt.Sprint("refused ", reason, from.address, a.renewal, j.mark); j.told != told {
		j.told = told
		j.w.log.Error("the coordinator refuses this machine", logkey.Reason, reason, "text", clipped(answer.Text),
			logkey.Addr, from.address, "renewal", a.renewal)
	}
	rank := standingRefused
	if reason == enrol.Revoked.String() {
		rank = standingRevoked
	}
	j.w.stand(rank, func(st *Status) {
		st.Text, st.Coordinator, st.Code = clipped(answer.Text), from.address, ""
		if rank == standingRefused {
			st.Text = strings.TrimSuffix(reason+": "+st.Text, ": ")
		}
	})
	if !a.renewal {
		j.forgotten = false // ask by proof of the key again
		return false
	}
	switch reason {
	case enrol.UnknownWorker.String(), enrol.WrongKey.String(), enrol.ForeignAuthority.String():
		j.forgotten = true
		return true
	case enrol.Revoked.String():
		j.forgotten = s.token != nil // somebody has given it another chance
		return j.forgotten
	}
	return false
}

// problem tells the log once of an error that lasts.
func (j *joining) problem(text string, err error) {
	j.w.status.failed(fmt.Errorf("%s: %w", text, err))
	if told := text + err.Error(); j.told != told {
		j.told = told
		j.w.log.Warn(text, logkey.Err, err)
	}
}

// wait waits, at the longest for d: until another token is there, or, if that
// may help, until a coordinator calls that was not heard before.
func (j *joining) wait(ctx context.Context, d time.Duration, calls bool) {
	over := time.NewTimer(d)
	defer over.Stop()
	glance := time.NewTicker(tokenGlance)
	defer glance.Stop()
	fresh := j.w.port.fresh
	if !calls {
		fresh = nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case <-fresh:
			return
		case <-glance.C:
			if markOf(j.w.tokenFiles()) != j.mark {
				return
			}
		}
	}
}
