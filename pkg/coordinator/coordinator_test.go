package coordinator

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func id(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }

// loopback is a configuration that needs nothing of the host.
func loopback(t testing.TB) Config {
	cfg := DefaultConfig()
	cfg.StateDirectory = t.TempDir()
	// The path of a socket has 107 bytes at most; a test's folder may be longer.
	sockets, err := os.MkdirTemp("", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	cfg.Control.Socket = filepath.Join(sockets, "control.sock")
	cfg.Control.Listen, cfg.Discovery.Listen = "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

// hall is a running coordinator.
type hall struct {
	*coordinator
	t    testing.TB
	cfg  Config
	tcp  string // address of the control channel
	udp  string
	logs *logbook
	stop func()

	office *api.AdminClient
}

// logbook is all that was logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs a coordinator with real sockets.
func start(t testing.TB, change ...func(*Config)) *hall {
	t.Helper()
	cfg := loopback(t)
	for _, edit := range change {
		edit(&cfg)
	}
	return startWith(t, cfg)
}

// startWith does the same with a configuration; before is called when the ports are
// not open yet.
func startWith(t testing.TB, cfg Config, before ...func(*coordinator)) *hall {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	logs := &logbook{}
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	teardown := daemon.NewTeardown(log)
	stop := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := teardown.Run(ctx); err != nil {
			t.Errorf("teardown: %v", err)
		}
	})
	t.Cleanup(stop)
	c, err := open(cfg, daemon.Build{Version: "v1"}, log, teardown, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, prepare := range before {
		prepare(c)
	}
	at, err := c.start(cfg, log, teardown, daemon.NewGroup(log, teardown).Go)
	if err != nil {
		t.Fatal(err)
	}
	return &hall{coordinator: c, t: t, cfg: cfg, tcp: at.String(), udp: c.registrar.Addr().String(), logs: logs, stop: stop}
}

// bare is a coordinator whose ports are not open.
func bare(t testing.TB, now func() time.Time) *coordinator {
	t.Helper()
	teardown := daemon.NewTeardown(quiet())
	t.Cleanup(func() { _ = teardown.Run(context.Background()) })
	c, err := open(loopback(t), daemon.Build{Version: "v1"}, quiet(), teardown, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// admin administers by the unix socket.
func (h *hall) admin() *api.AdminClient {
	h.t.Helper()
	if h.office != nil {
		return h.office
	}
	client, err := api.NewAdminClient(local.BaseURL, api.PrefixAdminCoordinator, local.Client(h.cfg.Control.Socket))
	if err != nil {
		h.t.Fatal(err)
	}
	h.office = client
	return client
}

// wish is a worker's ProbeAck.
func wish(worker model.WorkerID, hostname string) *crm.ProbeAck {
	return &crm.ProbeAck{ID: "1", Info: model.HostInfo{Hostname: hostname, Addr: netip.MustParseAddr("10.0.0.7"), Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: 10300}}},
		Ext: &crm.ProbeAckExt{WorkerID: worker, KeepAlive: 30 * time.Second, Version: "v1"}}
}

func source() netip.AddrPort { return netip.MustParseAddrPort("[::ffff:10.0.0.8]:4711") }

// soon waits until a condition holds.
func soon(t testing.TB, what string, within time.Duration, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func TestRunStopsInOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if err := daemon.Embed(ctx, Spec(), loopback(t), quiet(), cancel); err != nil {
		t.Errorf("got %v, want an orderly end", err)
	}
}

func TestFirstStartMakesAFleetAndLaterOnesKeepIt(t *testing.T) {
	cfg := loopback(t)
	h := startWith(t, cfg)
	fleet, authority := h.home.Fleet(), h.home.Fingerprint()
	secretPath := filepath.Join(cfg.StateDirectory, "fleet", "admin.secret")
	secret, err := os.ReadFile(secretPath)
	if err != nil {
		t.Fatal(err)
	}
	if logs := h.logs.String(); !strings.Contains(logs, secretPath) || !strings.Contains(logs, "fleet="+fleet) ||
		strings.Contains(logs, strings.TrimSpace(string(secret))) {
		t.Errorf("the log must name the fleet and the secret's file, and not the secret:\n%s", logs)
	}
	for _, name := range []string{"fleet/admin.secret", "fleet/fleet.json", "fleet/web.pem", "admission.db", "registry.db", "audit.jsonl"} {
		if info, err := os.Stat(filepath.Join(cfg.StateDirectory, name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v; want it for its owner only", name, info, err)
		}
	}
	told := h.audited("fleet.create")
	if len(told) != 1 || told[0].On != fleet {
		t.Errorf("audit log: %+v, want that the fleet was made", told)
	}
	second := daemon.NewTeardown(quiet())
	cfg.Registry.LockTimeout = 10 * time.Millisecond
	if _, err := open(cfg, daemon.Build{}, quiet(), second, time.Now); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second coordinator in the same folder: %v", err)
	}
	h.stop()

	again := startWith(t, cfg)
	if again.home.Fleet() != fleet || again.home.Fingerprint() != authority || len(again.audited("fleet.create")) != 1 {
		t.Errorf("started again: fleet %s, authority %s", again.home.Fleet(), again.home.Fingerprint())
	}
	again.stop()

	cfg.Fleet = "another"
	third := daemon.NewTeardown(quiet())
	_, err = open(cfg, daemon.Build{}, quiet(), third, time.Now)
	if err == nil || !strings.HasPrefix(err.Error(), `fleet: "another": a fleet keeps its name`) || !strings.Contains(err.Error(), fleet) {
		t.Errorf("another name: got %v", err)
	}
	_ = third.Run(t.Context())
}

func TestMetricsAreTheSameSeriesWhateverHappens(t *testing.T) {
	h := start(t)
	before := h.metrics()
	metricstest.Check(t, before)
	one := h.machine(1)
	h.join(one)
	h.register(wish(one.id, "web"), source())
	h.register(&crm.ProbeAck{}, source())
	one.Body[0]++
	if e := h.enrol(h.machine(2), nil); e.Outcome != api.Pending {
		t.Errorf("got %+v", e)
	}
	stats, err := h.as(h.member(trust.RoleCollector, "hq")).Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	metricstest.SameSeries(t, before, h.metrics())
	told := make([]model.Metric, len(stats.Metrics))
	for i, row := range stats.Metrics {
		if told[i], err = row.Metric(); err != nil {
			t.Error(err)
		}
	}
	metricstest.SameSeries(t, before, told)
}

func TestASocketThatIsInTheWayIsTold(t *testing.T) {
	cfg := loopback(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg.Control.Listen = taken.Addr().String()
	if err := daemon.Embed(t.Context(), Spec(), cfg, quiet(), nil); err == nil || !strings.Contains(err.Error(), "listen for the control channel") {
		t.Errorf("got %v", err)
	}
}
