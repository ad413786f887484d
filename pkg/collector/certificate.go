package collector

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// issuer is coordinatord on this host, asked through its unix socket.
type issuer interface {
	Issue(ctx context.Context, request api.IssueRequest) (api.Enrolment, error)
}

// certificate keeps what the collector proves itself with in the fleet: it is
// got from coordinatord on this host when there is none, or was put there by
// hand on another host, and renewed as long as the daemon runs.
type certificate struct {
	files  trust.Files
	name   string // that a new one is issued to
	office issuer // nil: not on this host
	// foreign says that the coordinator is of another fleet than the certificate.
	// It says no as long as that is not certain.
	foreign func(ctx context.Context, stored *trust.Credentials) bool
	// forget is called when the collector comes to another fleet, with what
	// belongs to the former one still on disk.
	forget func() error
	now    func() time.Time
	random io.Reader
	log    *slog.Logger

	credentials *trust.Credentials // set by open

	changing sync.Mutex // one change at a time, disk and network included

	mu   sync.Mutex // guards stat
	stat certificateStats
}

// certificateStats are counters.
type certificateStats struct {
	Renewals uint64 // certificates got while running
	Failures uint64 // attempts to get one that failed
}

const (
	// askOffice is how long coordinatord may take to answer on its socket.
	askOffice = 10 * time.Second
	// issueRetryFirst and issueRetryMost bound the pauses of a start that waits.
	issueRetryFirst = 250 * time.Millisecond
	issueRetryMost  = 5 * time.Second
)

// errHopeless marks errors that no waiting heals.
type errHopeless struct{ error }

func (e errHopeless) Unwrap() error { return e.error }

// open loads the certificate, or waits until coordinatord has issued one. waits
// is told why, once for each reason.
func (c *certificate) open(ctx context.Context, waits func(why error)) error {
	told := ""
	for wait := issueRetryFirst; ; wait = min(2*wait, issueRetryMost) {
		err := c.attempt(ctx)
		if hopeless, is := errors.AsType[errHopeless](err); is {
			return hopeless.error
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err.Error() != told {
			told = err.Error()
			waits(err)
		}
		if !pause(ctx, wait) {
			return ctx.Err()
		}
	}
}

func (c *certificate) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askOffice)
	defer cancel()
	stored, err := trust.Load(c.files, c.now)
	if err == nil && stored.Identity().Role != trust.RoleCollector {
		return errHopeless{model.Fieldf("state_directory", "%q: certificate of the role %s, want %s",
			c.files.Cert, stored.Identity().Role, trust.RoleCollector)}
	}
	switch {
	case err == nil && (c.office == nil || !c.foreign(ctx, stored)):
		c.credentials = stored
		return nil
	case err != nil && c.office == nil:
		return errHopeless{fmt.Errorf("%w; on a host without coordinatord put the files of `cloudlessctl ca issue collectord` into %q",
			err, filepath.Dir(c.files.Cert))}
	case err != nil && !replaceable(err):
		return errHopeless{err}
	}
	failure := c.issue(ctx, c.name, true)
	switch {
	case failure == nil:
		if err == nil {
			c.log.Warn("the stored certificate was of another fleet, it is replaced", "was", stored.Identity().String())
		}
		c.log.Info("certificate got from coordinatord", logkey.Path, c.files.Cert)
		c.credentials, err = trust.Load(c.files, c.now)
		return err
	case err == nil: // it may be the coordinator that is wrong, and it may change
		c.log.Error("coordinator is of another fleet than the certificate, and gives no other one", "certificate", stored.Identity().String(), logkey.Err, failure)
		c.credentials = stored
		return nil
	}
	return fmt.Errorf("get a certificate from coordinatord: %w", failure)
}

// replaceable says that what is wrong with the stored certificate is healed by
// a new one. What an operator has to look at is left as it is.
func replaceable(err error) bool {
	for _, kind := range []error{fs.ErrNotExist, trust.ErrExpired, trust.ErrNotYetValid, trust.ErrForeignFleet, trust.ErrNotSigned, trust.ErrKeyMismatch} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// foreignTo returns certificate.foreign for the coordinator at a URL: it asks who
// that is in a handshake, and says nothing else to it.
func foreignTo(address string) func(context.Context, *trust.Credentials) bool {
	return func(ctx context.Context, stored *trust.Credentials) bool {
		at, err := url.Parse(address)
		if err != nil {
			return false
		}
		ctx, cancel := context.WithTimeout(ctx, askOffice/2)
		defer cancel()
		host := net.JoinHostPort(at.Hostname(), cmp.Or(at.Port(), "443"))
		dialer := tls.Dialer{Config: stored.Client(trust.RoleCoordinator, "h2", "http/1.1")}
		conn, err := dialer.DialContext(ctx, "tcp", host)
		if err == nil {
			conn.Close()
			return false
		}
		_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
		_, misnamed := errors.AsType[x509.HostnameError](err)
		return unknown || misnamed || errors.Is(err, trust.ErrForeignFleet)
	}
}

// issue gets a certificate for a new key through the unix socket. moving allows
// it to be of another fleet than before.
func (c *certificate) issue(ctx context.Context, name string, moving bool) error {
	public, private, err := ed25519.GenerateKey(c.random)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	key, err := trust.EncodeKey(private)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	answer, err := c.office.Issue(ctx, api.IssueRequest{Role: trust.RoleCollector, Name: name, PublicKey: der})
	if err != nil {
		return err
	}
	return c.install(answer, key, name, moving)
}

// install stores what was issued, after it has proved to be what was asked for.
func (c *certificate) install(answer api.Enrolment, key []byte, name string, moving bool) error {
	if answer.Outcome != api.Admitted {
		return fmt.Errorf("refused: %s", strings.TrimSpace(answer.Reason+" "+answer.Text))
	}
	bundle, err := trust.ParseBundle([]byte(answer.Bundle))
	if err != nil {
		return err
	}
	issued := trust.Issued{CA: trust.Bundle{Authorities: bundle.Authorities[:1]}.PEM(), Cert: []byte(answer.Certificate), Key: key}
	fresh, err := trust.NewCredentials(bundle, issued, c.now)
	if err != nil {
		return err
	}
	issued.Identity = fresh.Identity()
	if issued.Identity.Role != trust.RoleCollector || issued.Identity.Name != name {
		return fmt.Errorf("%w: asked for %s %s, got %s", trust.ErrIdentityChanged, trust.RoleCollector, name, issued.Identity)
	}
	dir := filepath.Dir(c.files.Cert)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder for the certificate: %w", err)
	}
	_, err = trust.UpdateBundle(c.files.CA, bundle.PEM())
	if moving && (errors.Is(err, trust.ErrForeignFleet) || errors.Is(err, trust.ErrUnrelatedBundle)) {
		if err = c.forget(); err == nil {
			_, err = trust.UpdateBundle(c.files.CA, bundle.PEM())
		}
	}
	if err != nil {
		return err
	}
	_, err = trust.WriteCredentials(dir, issued)
	return err
}
