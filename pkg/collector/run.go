package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/query"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Spec describes collectord to package daemon.
func Spec() daemon.Spec[Config] {
	return daemon.Spec[Config]{
		Name:        model.DaemonCollector,
		DisplayName: "Cloudless collector",
		Summary:     "calls for workers, takes their streams, stores them and answers queries",
		Default:     DefaultConfig,
		LogConfig:   func(c Config) daemon.LogConfig { return c.Log },
		Run:         Run,
		Verbs:       verbs(),
		Unit: daemon.Unit{User: "cloudless-collectord", OpenFiles: 65536,
			After: []string{model.DaemonCoordinator + ".service"}},
	}
}

// collector is what a running collectord is made of.
type collector struct {
	cfg      Config
	who      trust.Identity
	hostname string
	build    daemon.Build
	log      *slog.Logger
	now      func() time.Time
	teardown *daemon.Teardown

	situation   *situation
	credentials *trust.Credentials
	renewal     *renewal
	web         *webCertificate
	revoked     *revoked
	beacon      *beacon
	audit       diary
	people      *visitors
	// adminGeneration is which admin secret was in force at the last hello; of the
	// beacon's goroutine.
	adminGeneration string
	transport       *controlTransport
	clients         clients

	store    *store.Store
	view     *fleetView
	endings  *endings
	contacts *contacts
	streams  *stream.Server
	port     *stream.Port
	prober   *discovery.Prober
	queries  *query.API
	http     *middleware.Stack
	self     *selfWatch
}

// Run is collectord until ctx ends or a part fails.
func Run(ctx context.Context, cfg Config, p *daemon.Process[Config]) error {
	c := &collector{cfg: cfg, hostname: cfg.Hostname, build: p.Build, log: p.Log, now: time.Now, teardown: p.Teardown,
		situation: &situation{tell: p.Status}}
	if err := c.findHostname(); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.StateDirectory, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if err := sweepState(cfg, c.now()); err != nil {
		return err
	}
	if err := c.openCertificate(ctx, p.Ready); err != nil {
		return err
	}
	for _, open := range []func() error{c.openTrust, c.openStore, c.openPort, c.openProber, c.openSelf} {
		if err := open(); err != nil {
			return err
		}
	}
	servers, err := c.openServers()
	if err != nil {
		return err
	}
	c.reloads(p)

	p.Go("store", c.store.Run)
	p.Go("endings", c.endings.run)
	p.Go("people", c.people.Run)
	p.Go("revocations", c.revoked.enforce)
	p.Go("fleet view", c.view.run)
	p.Go("contacts", c.contacts.run)
	p.Go("revocation list", c.revoked.follow)
	p.Go("certificate", c.renewal.run)
	if cfg.Web.Cert == "" {
		p.Go("certificate for browsers", c.web.run)
	}
	p.Go("own figures", c.self.run)
	p.Go("port", c.port.Run)
	for _, one := range servers {
		p.Go(one.name, one.run)
	}
	p.Go("hello", c.beacon.run)
	p.Go("prober", c.probe)
	p.Log.Info("collecting", "fleet", c.who.Fleet, logkey.Listen, c.port.Addr().String(), "store", c.cfg.store().Dir,
		"coordinator", cfg.Coordinator.URL)
	c.situation.serves("collecting on " + c.port.Addr().String())
	p.Ready()
	return p.Wait(ctx)
}

func (c *collector) findHostname() (err error) {
	if c.hostname != "" {
		return nil
	}
	if c.hostname, err = os.Hostname(); err == nil {
		err = crm.CheckHostname(c.hostname)
	}
	if err != nil {
		return fmt.Errorf("find the host name (hostname in the configuration sets it): %w", err)
	}
	return nil
}

// openStore opens the store and what stands between it and the workers.
func (c *collector) openStore() (err error) {
	if c.store, err = store.Open(c.cfg.store(), store.Deps{Log: c.log, Now: c.now}); err != nil {
		return err
	}
	c.teardown.AddClose("store", c.store.Close)
	c.endings = newEndings(c.store.MarkStale, func(id model.WorkerID) bool { return c.view.expected(id) }, component(c.log, "fleet"), c.now)
	c.view = newFleetView(c.clients.control, c.endings.add, component(c.log, "fleet"), c.now)
	c.view.rebooted = c.rebooted
	c.contacts = newContacts(c.clients.control, component(c.log, "contacts"), c.now)
	door := sessions{store: c.store, view: c.view, contacts: c.contacts, revoked: c.revoked.has}
	c.streams, err = stream.NewServer(c.cfg.Stream, stream.ServerDeps{Sink: door, Admit: door.Admit, Now: c.now, Log: c.log})
	return err
}

// rebooted cuts the streams of processes that are not their workers' any more.
func (c *collector) rebooted(workers []model.WorkerID) {
	if cut := cutOthers(c.streams, c.view, workers); cut > 0 {
		c.log.Info("streams of former processes of workers cut", logkey.Count, cut)
	}
}

// openPort opens the port for streams and HTTPS.
func (c *collector) openPort() error {
	listener, err := net.Listen("tcp", c.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for streams and HTTPS: %w", err)
	}
	c.teardown.AddClose("listener", listener.Close)
	c.port, err = stream.NewPort(c.cfg.Port, stream.PortDeps{Listener: listener, Stream: c.streams.Serve, Log: c.log,
		TLS: serverTLS(c.credentials, stream.PortProtocols(), c.web.get)})
	return err
}

func (c *collector) openProber() (err error) {
	c.prober, err = discovery.NewProber(c.cfg.Discovery, discovery.ProberDeps{Announce: c.announce, Seal: c.beacon.seal, Logger: c.log})
	if err != nil {
		return err
	}
	c.teardown.AddClose("prober", c.prober.Close)
	return nil
}

// probe calls for workers, once there is a voucher: nobody would believe a call
// without one.
func (c *collector) probe(ctx context.Context) error {
	select {
	case <-c.beacon.first:
		return c.prober.Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

func (c *collector) openSelf() (err error) {
	c.self, err = newSelfWatch(c.store, c.who, c.hostname, selfWatch{metrics: c.metrics, coordinator: c.clients.control,
		interval: c.cfg.Self.Interval, log: component(c.log, "self"), now: c.now})
	if err != nil {
		return err
	}
	c.teardown.AddClose("own figures", c.self.close)
	return nil
}

// ready says whether queries can be answered and data be taken.
func (c *collector) ready() error {
	if c.store.Failing() {
		return errors.New("the store's disk does not take what workers send")
	}
	return nil
}

// announce is what a ProbeInit says of this collector.
func (c *collector) announce(time.Time) discovery.Announcement {
	return discovery.Announcement{Hostname: c.hostname, Fleet: c.who.Fleet, FleetSize: c.view.size(), Voucher: c.beacon.voucher(),
		Ports: []model.PortInfo{
			{Daemon: model.DaemonCoordinator, Port: c.cfg.Coordinator.Port},
			{Daemon: model.DaemonCollector, Port: announcedPort(c.port.Addr())},
		}}
}

func component(log *slog.Logger, name string) *slog.Logger {
	return log.With(logkey.Component, name)
}
