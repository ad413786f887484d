package collector

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// loopback is a configuration that needs nothing of the host and finds nobody.
func loopback(t *testing.T, files trust.Files) Config {
	cfg := DefaultConfig()
	cfg.TLS, cfg.Listen = files, "127.0.0.1:0"
	cfg.Coordinator.URL = "https://127.0.0.1:1" // nobody is there
	cfg.Discovery.AutoInterfaces = false
	cfg.Discovery.Targets = []string{"127.0.0.1:1"}
	cfg.Store = storeIn(t)
	return cfg
}

func storeIn(t *testing.T) store.Config {
	cfg := store.DefaultConfig()
	cfg.Dir, cfg.MinFree, cfg.SyncInterval = t.TempDir(), 0, 5*time.Millisecond
	return cfg
}

func openStore(t *testing.T, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(cfg, store.Deps{Log: quiet(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newCollector makes a collector of the office's fleet. Its port is served, the
// rest is idle.
func newCollector(t *testing.T, fleet *trusttest.Fleet, o *office) *collector {
	t.Helper()
	credentials := fleet.Member(trust.RoleCollector, "hq")
	c := &collector{cfg: loopback(t, trust.Files{}), who: credentials.Identity(), hostname: "hq", build: daemon.Build{Version: "v1"},
		log: quiet(), now: time.Now}
	c.store = openStore(t, c.cfg.Store)
	c.endings = newEndings(c.store.MarkStale, func(id model.WorkerID) bool { return c.view.expected(id) }, c.log, c.now)
	c.view = newFleetView(o.client(t), c.endings.add, c.log, c.now)
	c.contacts = newContacts(o.client(t), c.log, c.now)
	var err error
	if c.streams, err = stream.NewServer(c.cfg.Stream, stream.ServerDeps{Sink: sessions{c.store, c.view, c.contacts}, Now: c.now}); err != nil {
		t.Fatal(err)
	}
	if err := c.listen(credentials, daemon.NewTeardown(quiet())); err != nil {
		t.Fatal(err)
	}
	if c.prober, err = discovery.NewProber(c.cfg.Discovery, discovery.ProberDeps{Announce: c.announce, Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.prober.Close() })
	server, err := c.server()
	if err != nil {
		t.Fatal(err)
	}
	background(t, c.port.Run)
	background(t, func(ctx context.Context) error { return middleware.Serve(ctx, server, c.port.HTTP()) })
	return c
}

// as returns a client with a member's certificate; nil: with none.
func (c *collector) as(t *testing.T, fleet *trusttest.Fleet, who *trust.Credentials) (*http.Client, *api.Client) {
	t.Helper()
	config := fleet.Member(trust.RoleOperator, "me").Client(trust.RoleCollector, "h2", "http/1.1")
	config.Certificates = nil
	if who != nil {
		config = who.Client(trust.RoleCollector, "h2", "http/1.1")
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	caller := &http.Client{Transport: transport}
	client, err := api.NewClient(c.address(), caller)
	if err != nil {
		t.Fatal(err)
	}
	return caller, client
}

func (c *collector) address() string { return "https://" + c.port.Addr().String() }

func TestOnlyTheCertificateOfACollectorWillDo(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	err := daemon.Embed(t.Context(), Spec(), loopback(t, fleet.Files(trust.RoleCoordinator, "hq")), quiet(), nil)
	if err == nil || !strings.Contains(err.Error(), "certificate of the role coordinatord, want collectord") {
		t.Errorf("got %v", err)
	}
}

func TestRunStopsInOrder(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	ctx, cancel := context.WithCancel(t.Context())
	if err := daemon.Embed(ctx, Spec(), loopback(t, fleet.Files(trust.RoleCollector, "hq")), quiet(), cancel); err != nil {
		t.Errorf("got %v, want an orderly end", err)
	}
}

func TestMetricsAreTheSameSeriesWhateverHappens(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice(row(1, registered), row(2, expired))
	c := newCollector(t, fleet, o)
	before := c.metrics()
	metricstest.Check(t, before)

	c.view.all(t.Context())
	c.endings.add(row(2, expired), time.Now())
	c.contacts.saw(id(1))
	_, client := c.as(t, fleet, fleet.Member(trust.RoleOperator, "me"))
	if _, err := client.Query(t.Context(), "1 +", time.Time{}); err == nil {
		t.Error("half an expression was evaluated")
	}
	if _, err := client.Worker(t.Context(), id(9)); err == nil {
		t.Error("found a stranger")
	}
	if _, err := (sessions{c.store, c.view, c.contacts}).Open(t.Context(), stream.Peer{Worker: id(9), Boot: model.BootIDFrom([16]byte{1})}); err == nil {
		t.Error("let a stranger in")
	}
	after := c.metrics()
	metricstest.Check(t, after)
	metricstest.SameSeries(t, before, after)
}

func TestWhatProbesSay(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice(row(1, registered), row(2, expired))
	c := newCollector(t, fleet, o)
	c.view.all(t.Context())
	words := c.announce(time.Now())
	if words.Fleet != "lab" || words.Hostname != "hq" || words.FleetSize != 2 || len(words.Ports) != 2 {
		t.Fatalf("got %+v", words)
	}
	if data := words.Ports[1]; data.Daemon != model.DaemonCollector || data.Port != announcedPort(c.port.Addr()) || data.Port == 0 {
		t.Errorf("announces %v, want the port of the listener, %v", data, c.port.Addr())
	}
}

func TestReadiness(t *testing.T) {
	c := newCollector(t, trusttest.New(t, "lab"), newOffice())
	if err := c.ready(); err != nil {
		t.Errorf("got %v, want ready", err)
	}
}
