package coordinator

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/authority"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

const (
	// homeFolder is the fleet's home in the state folder.
	homeFolder = "fleet"
	// beaconLife is how long a voucher of ours is good. It is renewed within the
	// hour: the rest is for workers whose clocks are wrong.
	beaconLife = 25 * time.Hour
	// collectorBeaconLife is the same for collectors, which ask once a minute as
	// long as we are here.
	collectorBeaconLife = 48 * time.Hour
	// homeLook is how often it is looked at least whether something is to be
	// renewed. A timer that runs for days would not notice that the clock was set.
	homeLook = 10 * time.Minute
)

// home is the fleet's authority as this daemon uses it: with a certificate of its
// own and a beacon, which follow every step of a roll-over. The key of that
// certificate is in memory only: a start makes another one. Safe for concurrent
// use.
type home struct {
	*authority.Authority
	dir         string
	created     bool // by this start
	request     trust.Request
	credentials *trust.Credentials
	verifier    *packet.Verifier
	present     atomic.Pointer[bundle]
	beacon      atomic.Pointer[beacon]
	renewals    atomic.Uint64
	failures    atomic.Uint64
	log         *slog.Logger
	now         func() time.Time
}

// bundle is the present authorities in the forms in which they are asked for all
// the time.
type bundle struct {
	digest, pem string
	issuer      *x509.Certificate
}

func (h *home) bundle() *bundle { return h.present.Load() }

func (h *home) readBundle() {
	b := h.Bundle()
	h.present.Store(&bundle{digest: api.BundleDigest(b), pem: string(b.PEM()), issuer: h.Issuer()})
}

// beacon is what signs our discovery packets.
type beacon struct {
	signer  *packet.Signer
	voucher string
	renewAt time.Time
}

// openHome opens the fleet's home or makes it at first start.
func openHome(cfg Config, log *slog.Logger, now func() time.Time) (*home, error) {
	h := &home{dir: filepath.Join(cfg.StateDirectory, homeFolder), log: log, now: now}
	existed, err := authority.Exists(h.dir)
	if err != nil {
		return nil, fmt.Errorf("open home of the fleet: %w", err)
	}
	if h.Authority, err = authority.Open(h.dir, cfg.Fleet, rand.Reader, now()); err != nil {
		if errors.Is(err, authority.ErrFleet) {
			return nil, model.Fieldf("fleet", "%q: a fleet keeps its name; leave the key empty, or use another state_directory for another fleet: %w", cfg.Fleet, err)
		}
		return nil, err
	}
	h.created = !existed
	hostname, _ := os.Hostname()
	h.request = ownRequest(hostname, cfg.Enrol.CertificateTTL)
	issued, err := h.Issue(h.request, rand.Reader, now())
	if err != nil {
		// A host name that no certificate takes is no reason not to start.
		h.request.Hosts = localHosts()
		if issued, err = h.Issue(h.request, rand.Reader, now()); err != nil {
			return nil, err
		}
	}
	if h.credentials, err = trust.NewCredentials(h.Bundle(), issued, now); err != nil {
		return nil, err
	}
	if h.verifier, err = packet.NewVerifier(h.Bundle(), packet.DefaultWindowConfig()); err != nil {
		return nil, err
	}
	h.readBundle()
	return h, h.renewBeacon()
}

func localHosts() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// ownRequest asks for our own certificate, in the name of the host.
func ownRequest(hostname string, ttl time.Duration) trust.Request {
	request := trust.Request{Role: trust.RoleCoordinator, Name: trust.FitName(hostname, trust.RoleCoordinator), Hosts: localHosts(), TTL: ttl}
	if hostname != "" && hostname != "localhost" {
		request.Hosts = append(request.Hosts, hostname)
	}
	return request
}

// issued reports whether a certificate, which TLS has verified at some time, is of
// one of the present authorities.
func (h *home) issued(leaf *x509.Certificate) bool {
	return slices.ContainsFunc(h.Bundle().Authorities, func(one *x509.Certificate) bool { return issuedBy(leaf, one) })
}

// stepped lets everything that hangs on the authorities follow a step of a
// roll-over at once.
func (h *home) stepped() error {
	h.readBundle()
	return errors.Join(h.verifier.Trust(h.Bundle()), h.renewCertificate(), h.renewBeacon())
}

func (h *home) renewCertificate() error {
	issued, err := h.Issue(h.request, rand.Reader, h.now())
	if err != nil {
		return err
	}
	h.renewals.Add(1)
	return h.credentials.Use(h.Bundle(), issued)
}

func (h *home) renewBeacon() error {
	now := h.now()
	signer, voucher, err := h.Beacon(now.Add(beaconLife))
	if err != nil {
		return fmt.Errorf("renew beacon: %w", err)
	}
	h.beacon.Store(&beacon{signer: signer, voucher: voucher.String(), renewAt: now.Add(time.Hour)})
	return nil
}

// seal signs one of our discovery packets.
func (h *home) seal(unsealed []byte) (string, error) {
	seal, err := h.beacon.Load().signer.Sign(packet.RegisterAck, unsealed, rand.Reader, h.now())
	if err != nil {
		return "", err
	}
	return seal.String(), nil
}

// run renews what is due until ctx ends.
func (h *home) run(ctx context.Context) error {
	for {
		timer := time.NewTimer(h.rest())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
			h.look()
		}
	}
}

// rest is the time until the next look: a certificate of seconds does not wait
// for the usual one, and what fails is not tried all the time.
func (h *home) rest() time.Duration {
	due := trust.RenewAt(h.credentials.Leaf())
	if beacon := h.beacon.Load().renewAt; beacon.Before(due) {
		due = beacon
	}
	return min(homeLook, max(time.Second, due.Sub(h.now())))
}

func (h *home) look() {
	now := h.now()
	if !now.Before(trust.RenewAt(h.credentials.Leaf())) {
		h.note("renew own certificate", h.renewCertificate())
	}
	if !now.Before(h.beacon.Load().renewAt) {
		h.note("renew beacon", h.renewBeacon())
	}
}

func (h *home) note(what string, err error) {
	if err != nil {
		h.failures.Add(1)
		h.log.Error("trust not renewed, will try again", logkey.Step, what, logkey.Err, err)
	}
}
