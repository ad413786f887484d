package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
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

	store    *store.Store
	view     *fleetView
	endings  *endings
	contacts *contacts
	streams  *stream.Server
	port     *stream.Port
	prober   *discovery.Prober
	queries  *query.API
	http     *middleware.Stack
}

// Run is collectord until ctx ends or a part fails.
func Run(ctx context.Context, cfg Config, p *daemon.Process[Config]) error {
	credentials, err := trust.Load(cfg.TLS, time.Now)
	if err != nil {
		return err
	}
	c := &collector{cfg: cfg, who: credentials.Identity(), hostname: cfg.Hostname, build: p.Build, log: p.Log, now: time.Now}
	if c.who.Role != trust.RoleCollector {
		return model.Fieldf("tls.cert", "%q: certificate of the role %s, want %s", cfg.TLS.Cert, c.who.Role, trust.RoleCollector)
	}
	if c.hostname == "" {
		if c.hostname, err = os.Hostname(); err == nil {
			err = crm.CheckHostname(c.hostname)
		}
		if err != nil {
			return fmt.Errorf("find the host name (hostname in the configuration sets it): %w", err)
		}
	}
	p.OnReload(reloadCertificates(credentials))
	client, closeIdle, err := controlClient(cfg.Coordinator.URL, credentials)
	if err != nil {
		return err
	}
	p.Teardown.AddClose("control client", closeIdle)
	c.store, err = store.Open(cfg.Store, store.Deps{Log: p.Log, Now: c.now})
	if err != nil {
		return err
	}
	p.Teardown.AddClose("store", c.store.Close)
	c.endings = newEndings(c.store.MarkStale, func(id model.WorkerID) bool { return c.view.expected(id) }, component(p.Log, "fleet"), c.now)
	c.view = newFleetView(client, c.endings.add, component(p.Log, "fleet"), c.now)
	c.contacts = newContacts(client, component(p.Log, "contacts"), c.now)
	c.streams, err = stream.NewServer(cfg.Stream, stream.ServerDeps{
		Sink: sessions{c.store, c.view, c.contacts}, Now: c.now, Log: p.Log})
	if err != nil {
		return err
	}
	if err := c.listen(credentials, p.Teardown); err != nil {
		return err
	}
	c.prober, err = discovery.NewProber(cfg.Discovery, discovery.ProberDeps{Announce: c.announce, Logger: p.Log})
	if err != nil {
		return err
	}
	p.Teardown.AddClose("prober", c.prober.Close)
	server, err := c.server()
	if err != nil {
		return err
	}
	self, err := newSelfWatch(c.store, c.who, c.hostname, selfWatch{metrics: c.metrics, coordinator: client,
		interval: cfg.Self.Interval, log: component(p.Log, "self"), now: c.now})
	if err != nil {
		return err
	}
	p.Teardown.AddClose("own figures", self.close)

	p.Go("store", c.store.Run)
	p.Go("endings", c.endings.run)
	p.Go("fleet view", c.view.run)
	p.Go("contacts", c.contacts.run)
	p.Go("own figures", self.run)
	p.Go("port", c.port.Run)
	p.Go("https", func(ctx context.Context) error { return middleware.Serve(ctx, server, c.port.HTTP()) })
	p.Go("prober", c.prober.Run)
	p.Log.Info("collecting", "fleet", c.who.Fleet, logkey.Listen, c.port.Addr().String(), "store", cfg.Store.Dir,
		"coordinator", cfg.Coordinator.URL)
	p.Ready()
	return p.Wait(ctx)
}

// controlClient makes the client of the coordinator; it presents the newest
// certificate on every connection. closeIdle closes those that are not in use.
func controlClient(url string, credentials *trust.Credentials) (client *api.ControlClient, closeIdle func() error, err error) {
	transport := &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: 2 * time.Minute,
		// A connection to a host that has vanished must not swallow one
		// request after the other.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialer := tls.Dialer{Config: credentials.Client(trust.RoleCoordinator, "h2", "http/1.1"),
				NetDialer: &net.Dialer{Timeout: 10 * time.Second}}
			return dialer.DialContext(ctx, network, addr)
		}}
	client, err = api.NewControlClient(url, &http.Client{Transport: transport, Timeout: pollWait + 10*time.Second})
	return client, func() error { transport.CloseIdleConnections(); return nil }, err
}

// listen opens the port for streams and HTTPS.
func (c *collector) listen(credentials *trust.Credentials, teardown *daemon.Teardown) error {
	listener, err := net.Listen("tcp", c.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for streams and HTTPS: %w", err)
	}
	teardown.AddClose("listener", listener.Close)
	c.port, err = stream.NewPort(c.cfg.Port, stream.PortDeps{Listener: listener, Stream: c.streams.Serve, Log: c.log,
		TLS: credentials.Server(stream.PortProtocols(), trust.ClientOptional)})
	return err
}

// server makes the HTTPS server.
func (c *collector) server() (*http.Server, error) {
	log := component(c.log, "https")
	var err error
	c.queries, err = query.New(c.cfg.Query, query.Deps{Queryable: c.store.Queryable(), Metadata: c.store.Metadata,
		Ready: c.ready, Build: api.BuildInfo{Cloudless: c.build.Version, Revision: c.build.Commit, GoVersion: c.build.Go}, Log: log, Now: c.now})
	if err != nil {
		return nil, err
	}
	c.http = middleware.New(c.cfg.HTTP, log, c.now)
	server := &http.Server{Handler: c.handler(c.queries, fleetRows{c.view, c.store, c.now}),
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	c.cfg.HTTP.Apply(server)
	return server, nil
}

// ready says whether queries can be answered and data be taken.
func (c *collector) ready() error {
	if c.store.Stats().Failed {
		return errors.New("the store cannot write any more")
	}
	return nil
}

// announce is what a ProbeInit says of this collector.
func (c *collector) announce(time.Time) discovery.Announcement {
	return discovery.Announcement{Hostname: c.hostname, Fleet: c.who.Fleet, FleetSize: c.view.size(),
		Ports: []model.PortInfo{
			{Daemon: model.DaemonCoordinator, Port: c.cfg.Coordinator.Port},
			{Daemon: model.DaemonCollector, Port: announcedPort(c.port.Addr())},
		}}
}

// reloadCertificates reads the certificates again: connections made from then
// on use them.
func reloadCertificates(credentials *trust.Credentials) daemon.Reloader[Config] {
	return daemon.Reloader[Config]{Name: "certificates", Keys: []string{"tls"},
		Prepare: func(_ context.Context, next Config) (func(), error) { return credentials.Prepare(next.TLS) }}
}

func component(log *slog.Logger, name string) *slog.Logger {
	return log.With(logkey.Component, name)
}
