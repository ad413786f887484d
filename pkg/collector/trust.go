package collector

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
)

// clients ask coordinatord over the network.
type clients struct {
	control *api.ControlClient
	member  *api.MemberClient
	admin   *api.AdminClient
}

func newClients(address string, transport http.RoundTripper) (c clients, err error) {
	client := &http.Client{Transport: transport, Timeout: pollWait + 10*time.Second}
	if c.control, err = api.NewControlClient(address, client); err != nil {
		return c, err
	}
	if c.member, err = api.NewMemberClient(address, client); err != nil {
		return c, err
	}
	c.admin, err = api.NewAdminClient(address, api.PrefixAdminCoordinator, client)
	return c, err
}

// readyAfter is how long a start may wait for its certificate before the service
// manager is told that it has begun: it would give it up otherwise.
const readyAfter = 30 * time.Second

// openCertificate loads the certificate, or waits for one; ready is called when
// that takes long.
func (c *collector) openCertificate(ctx context.Context, ready func()) error {
	kept := &certificate{files: trust.FilesIn(c.cfg.inState(tlsFolder), trust.RoleCollector), name: trust.FitName(c.hostname, trust.RoleCollector),
		foreign: foreignTo(c.cfg.Coordinator.URL), now: c.now, random: rand.Reader, log: component(c.log, "certificate")}
	kept.forget = func() error {
		// The copy of the list is of the former fleet: the new one's revisions
		// begin anew, and would count as older.
		return removeAll(kept.files.CA, c.cfg.inState(tlsFolder, webFile), c.cfg.inState(revokedFile))
	}
	if c.cfg.Coordinator.Socket != "" {
		client, err := api.NewAdminClient(local.BaseURL, api.PrefixAdminCoordinator, local.Client(c.cfg.Coordinator.Socket))
		if err != nil {
			return err
		}
		kept.office = client
	}
	patience := time.AfterFunc(readyAfter, ready)
	defer patience.Stop()
	waits := func(why error) {
		c.log.Warn("no certificate yet, waiting for coordinatord", logkey.Err, why)
		c.situation.set(waitCertificate, fmt.Sprintf("waiting for a certificate: %v", why))
	}
	if err := kept.open(ctx, waits); err != nil {
		return err
	}
	c.situation.set(waitCertificate, "")
	c.credentials, c.who = kept.credentials, kept.credentials.Identity()
	c.transport = newControlTransport(c.credentials)
	c.teardown.AddClose("control client", func() error { c.transport.CloseIdleConnections(); return nil })
	c.renewal = newRenewal(kept, func(ctx context.Context) (api.Enrolment, error) { return c.clients.member.Renew(ctx) }, c.renewed)
	var err error
	c.clients, err = newClients(c.cfg.Coordinator.URL, c.transport)
	return err
}

// renewed follows a change of the certificate or of the fleet's authorities. The
// coordinator is told at once whom we believe: a roll-over waits for that, and its
// answer brings a voucher of the authority that issues now.
func (c *collector) renewed() {
	c.transport.renew()
	c.beacon.soon()
}

// openTrust opens what says who may do what, and what was done.
func (c *collector) openTrust() error {
	log, err := audit.Open(c.cfg.inState(auditFile), c.cfg.Audit, c.now)
	if err != nil {
		return err
	}
	c.audit = diary{log}
	c.teardown.AddClose("audit log", log.Close)
	list, err := revocation.Open(c.cfg.inState(revokedFile))
	if err != nil {
		return fmt.Errorf("%w; remove it, and it is fetched again", err)
	}
	c.credentials.Refuse(list.Check)
	c.revoked = &revoked{list: list, ask: c.clients.control.Revocations, fleet: c.who.Fleet, log: component(c.log, "revocation")}
	c.revoked.cut = func(match func(stream.Peer) bool, refusal *stream.Refusal) int { return c.streams.Cut(match, refusal) }
	directory, err := people.Open(c.cfg.StateDirectory, c.cfg.People, c.now, rand.Reader)
	if err != nil {
		return err
	}
	c.people = &visitors{Directory: directory}
	directory.External = func(ctx context.Context, _, secret string) (bool, error) {
		return c.clients.admin.CheckSecret(ctx, secret)
	}
	if err := c.openWeb(); err != nil {
		return err
	}
	return c.openBeacon()
}

// openWeb loads what browsers are shown.
func (c *collector) openWeb() error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		c.log.Debug("addresses of this host are not listed", logkey.Err, err)
	}
	c.web = &webCertificate{path: c.cfg.inState(tlsFolder, webFile), hosts: webHosts(c.cfg.Web.Hosts, c.hostname, addresses),
		ask: c.clients.admin.Web, now: c.now, random: rand.Reader, log: component(c.log, "web")}
	if c.cfg.Web.Cert == "" {
		c.web.load()
		return nil
	}
	apply, err := c.web.prepare(c.cfg.Web)
	if err != nil {
		return model.Fieldf("web.cert", "%w", err)
	}
	apply()
	return nil
}

func (c *collector) openBeacon() error {
	key, err := beaconKey(c.cfg.inState(beaconFile), rand.Reader)
	if err != nil {
		return err
	}
	c.beacon = &beacon{key: key, fleet: c.who.Fleet, hello: c.hello, ask: c.clients.control.Hello, welcomed: c.welcomed,
		vouched: c.vouched, now: c.now, random: rand.Reader, log: component(c.log, "hello"), first: make(chan struct{}), news: make(chan struct{}, 1)}
	c.vouched(false)
	return nil
}

// hello is what the coordinator is told of this collector.
func (c *collector) hello() api.CollectorHello {
	hello := api.CollectorHello{Hostname: c.hostname, Port: announcedPort(c.port.Addr()), Bundle: bundleDigest(c.credentials)}
	if at := c.cfg.Discovery.AdvertiseAddress; at.IsValid() {
		hello.Address = at.String()
	}
	return hello
}

// welcomed follows what the coordinator has answered. The beacon calls it, once at
// a time.
func (c *collector) welcomed(w api.CollectorWelcome) {
	if w.Bundle != "" {
		if err := c.renewal.adopt(w.Bundle); err != nil {
			c.log.Error("authorities of the fleet not taken over", logkey.Err, err)
		}
	}
	if w.Renew {
		c.renewal.soon()
	}
	if was := c.adminGeneration; was != "" && was != w.AdminGeneration {
		if n := c.people.EndSessions(people.AdminName); n > 0 {
			c.log.Info("the admin secret was made anew: who logged in by the former one is logged out", "sessions", n)
		}
	}
	c.adminGeneration = w.AdminGeneration
}

func (c *collector) vouched(yes bool) {
	why := ""
	if !yes {
		why = "no probes are sent: " + errNoVoucher.Error()
	}
	c.situation.set(waitVoucher, why)
}

// removeAll removes files; one that is missing is fine.
func removeAll(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
