package collector

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// loopback is a configuration that needs nothing of the host and finds nobody.
// The certificate lies in the state folder.
func loopback(t *testing.T, files trust.Files) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.StateDirectory, cfg.Socket, cfg.Listen = t.TempDir(), "", "127.0.0.1:0"
	cfg.Coordinator.URL = "https://127.0.0.1:1" // nobody is there
	cfg.Coordinator.Socket = ""
	cfg.Discovery.AutoInterfaces = false
	cfg.Discovery.Targets = []string{"127.0.0.1:1"}
	cfg.Store = storeIn(t)
	place(t, files, cfg.inState(tlsFolder))
	return cfg
}

// place puts a certificate where collectord looks for it.
func place(t *testing.T, files trust.Files, dir string) {
	t.Helper()
	to := trust.FilesIn(dir, trust.RoleCollector)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{files.CA: to.CA, files.Cert: to.Cert, files.Key: to.Key} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
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
func newCollector(t *testing.T, fleet *trusttest.Fleet, o *office, change ...func(*Config)) *collector {
	t.Helper()
	return newCollectorThatLogs(t, quiet(), fleet, o, change...)
}

func newCollectorThatLogs(t *testing.T, log *slog.Logger, fleet *trusttest.Fleet, o *office, change ...func(*Config)) *collector {
	t.Helper()
	cfg := loopback(t, fleet.Files(trust.RoleCollector, "hq"))
	for _, one := range change {
		one(&cfg)
	}
	c := &collector{cfg: cfg, hostname: "hq", build: daemon.Build{Version: "v1"}, log: log, now: time.Now,
		teardown: daemon.NewTeardown(quiet()), situation: &situation{tell: func(string) {}}}
	t.Cleanup(func() {
		if err := c.teardown.Run(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := c.openCertificate(t.Context(), func() {}); err != nil {
		t.Fatal(err)
	}
	c.clients = o.clients(t)
	for _, open := range []func() error{c.openTrust, c.openStore, c.openPort, c.openProber} {
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	servers, err := c.openServers()
	if err != nil {
		t.Fatal(err)
	}
	background(t, c.port.Run)
	for _, one := range servers {
		background(t, one.run)
	}
	return c
}

// eventually waits for what happens on its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
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
	if _, err := (sessions{c.store, c.view, c.contacts, c.revoked.has}).Open(t.Context(), peer(9)); err == nil {
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
