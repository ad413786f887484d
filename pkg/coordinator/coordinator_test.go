package coordinator

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func id(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }

// loopback is a configuration that needs nothing of the host.
func loopback(t *testing.T, files trust.Files) Config {
	cfg := DefaultConfig()
	cfg.StateDirectory, cfg.TLS = t.TempDir(), files
	cfg.Control.Listen, cfg.Discovery.Listen = "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

// newCoordinator makes a coordinator whose ports are not served.
func newCoordinator(t *testing.T) *coordinator {
	t.Helper()
	cfg := loopback(t, trust.Files{})
	c := &coordinator{build: daemon.Build{Version: "v1"}, now: time.Now}
	var err error
	if c.registry, err = registry.Open(cfg.StateDirectory, cfg.Registry, registry.Deps{Now: c.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.registry.Close() })
	if c.registrar, err = discovery.NewRegistrar(cfg.Discovery, discovery.RegistrarDeps{Register: c.register, Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.registrar.Close() })
	c.http = middleware.New(cfg.Control.HTTP, quiet(), c.now)
	return c
}

// serving serves the control API and returns its address and what ends it.
func serving(t *testing.T, c *coordinator, fleet *trusttest.Fleet) (address string, stop func()) {
	t.Helper()
	credentials := fleet.Member(trust.RoleCoordinator, "hq")
	listener, err := tls.Listen("tcp", "127.0.0.1:0", credentials.Server([]string{"h2", "http/1.1"}, trust.ClientRequired))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	serve := c.serveControl(listener, DefaultConfig().Control.HTTP, quiet())
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "https://" + listener.Addr().String(), cancel
}

// as returns a client with a member's certificate.
func as(t *testing.T, address string, who *trust.Credentials) *api.ControlClient {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: who.Client(trust.RoleCoordinator, "h2", "http/1.1"), ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := api.NewControlClient(address, &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// wish is a worker's ProbeAck.
func wish(worker model.WorkerID, hostname string) *crm.ProbeAck {
	return &crm.ProbeAck{ID: "1", Info: model.HostInfo{Hostname: hostname, Addr: netip.MustParseAddr("10.0.0.7"), Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: 10300}}},
		Ext: &crm.ProbeAckExt{WorkerID: worker, KeepAlive: 30 * time.Second, Version: "v1"}}
}

func source() netip.AddrPort { return netip.MustParseAddrPort("[::ffff:10.0.0.8]:4711") }

func TestOnlyTheCertificateOfACoordinatorWillDo(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	err := daemon.Embed(t.Context(), Spec(), loopback(t, fleet.Files(trust.RoleOperator, "me")), quiet(), nil)
	if err == nil || !strings.Contains(err.Error(), "certificate of the role operator, want coordinatord") {
		t.Errorf("got %v", err)
	}
}

func TestRunStopsInOrder(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	ctx, cancel := context.WithCancel(t.Context())
	if err := daemon.Embed(ctx, Spec(), loopback(t, fleet.Files(trust.RoleCoordinator, "hq")), quiet(), cancel); err != nil {
		t.Errorf("got %v, want an orderly end", err)
	}
}

func TestMetricsAreTheSameSeriesWhateverHappens(t *testing.T) {
	c, fleet := newCoordinator(t), trusttest.New(t, "lab")
	address, _ := serving(t, c, fleet)
	before := c.metrics()
	metricstest.Check(t, before)
	c.register(wish(id(1), "web"), source())
	c.register(&crm.ProbeAck{}, source())
	client := as(t, address, fleet.Member(trust.RoleCollector, "hq"))
	if _, err := client.Contacts(t.Context(), 0, []api.Contact{{ID: id(1)}, {ID: id(2)}}); err != nil {
		t.Fatal(err)
	}
	stats, err := client.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	metricstest.SameSeries(t, before, c.metrics())
	told := make([]model.Metric, len(stats.Metrics))
	for i, row := range stats.Metrics {
		if told[i], err = row.Metric(); err != nil {
			t.Error(err)
		}
	}
	metricstest.SameSeries(t, before, told)
}
