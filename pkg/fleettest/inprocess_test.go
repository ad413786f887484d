package fleettest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/collector"
	"github.com/cloudless-fleet/cloudless/pkg/coordinator"
	process "github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// inProcess is a fleet whose daemons all run in this process, on loopback. The
// members have to know each other's ports, so these are chosen before anybody
// listens. Nothing is in the fleet before it has come in by the way that every
// machine takes.
type inProcess struct {
	t   *testing.T
	log lockedBuffer
	// level is the least that is logged, for those that start from then on.
	level slog.Level
	dir   string // state folders, sockets, tokens: short, for the sockets' sake

	control, data int // ports: coordinatord's, TCP and UDP, and collectord's
	machines      map[string]*machine

	// Settings, which a test may change before it starts the daemon.
	coordinator coordinator.Config
	collector   collector.Config

	admin   *api.AdminClient // of coordinatord, through its socket
	client  *api.Client      // of collectord, through its socket
	sockets []*http.Client
	stops   map[string]func() // by daemon, of workers by the machine's name
}

// newInProcess prepares a fleet and machines for it, and starts nothing.
func newInProcess(t *testing.T, machines ...string) *inProcess {
	t.Helper()
	f := &inProcess{t: t, dir: shortDir(t), control: freePort(t), data: freePort(t), machines: map[string]*machine{}, stops: map[string]func(){}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemons said:\n%s", f.log.String())
		}
	})
	t.Cleanup(f.disconnect)
	f.coordinator, f.collector = f.coordinatorConfig(), f.collectorConfig()
	for _, name := range machines {
		f.plug(name)
	}
	var err error
	if f.admin, err = api.NewAdminClient(local.BaseURL, api.PrefixAdminCoordinator, f.socket(f.coordinator.Control.Socket)); err != nil {
		t.Fatal(err)
	}
	if f.client, err = api.NewClient(local.BaseURL, f.socket(f.collector.Socket)); err != nil {
		t.Fatal(err)
	}
	return f
}

// shortDir makes a temporary folder in whose subfolders unix sockets can be: their
// paths have at most 107 bytes, and t.TempDir may be longer than that.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ports counts those that were given away. Tests side by side choose ports that they
// listen on later: none may be given twice.
var ports atomic.Uint32

// freePort finds a port that is free on loopback for TCP and for UDP, and that the
// kernel gives to nobody's outgoing connection before it is used.
func freePort(t *testing.T) int {
	t.Helper()
	const first, most = 18_000, 12_000 // below what the kernel takes from by default
	var err error
	for range 100 {
		port := first + int((uint32(os.Getpid())*97+ports.Add(1))%most)
		var listener net.Listener
		if listener, err = net.Listen("tcp", loopback(port)); err != nil {
			continue
		}
		var conn net.PacketConn
		conn, err = net.ListenPacket("udp", loopback(port))
		listener.Close()
		if err == nil {
			conn.Close()
			return port
		}
	}
	t.Fatalf("no free port: %v", err)
	return 0
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (f *inProcess) path(names ...string) string {
	return filepath.Join(append([]string{f.dir}, names...)...)
}

func (f *inProcess) coordinatorConfig() coordinator.Config {
	cfg := coordinator.DefaultConfig()
	cfg.Fleet, cfg.StateDirectory = "test", f.path(model.DaemonCoordinator)
	cfg.Control.Listen, cfg.Discovery.Listen = loopback(f.control), loopback(f.control)
	cfg.Control.Socket = f.path("control.sock")
	return cfg
}

func (f *inProcess) collectorConfig() collector.Config {
	cfg := collector.DefaultConfig()
	cfg.Hostname, cfg.Listen, cfg.StateDirectory, cfg.Socket = "hq", loopback(f.data), f.path(model.DaemonCollector), f.path("api.sock")
	cfg.Coordinator.URL, cfg.Coordinator.Port = "https://"+loopback(f.control), uint16(f.control)
	cfg.Coordinator.Socket = f.path("control.sock")
	cfg.Discovery.AutoInterfaces, cfg.Discovery.Multicast, cfg.Discovery.Interval = false, false, 100*time.Millisecond
	cfg.Store.MinFree = 0
	cfg.Self.Interval = time.Second
	return cfg
}

// start runs a daemon and returns when it is ready. stop ends it.
func start[C config.Validator](f *inProcess, key string, spec process.Spec[C], cfg C) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	log := slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: f.level})).With("daemon", spec.Name, "of", key)
	go func() { done <- process.Embed(ctx, spec, cfg, log, func() { close(ready) }) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("%s: %v", key, err)
		}
	})
	f.t.Cleanup(stop)
	f.stops[key] = stop
	select {
	case <-ready:
	case err := <-done:
		done <- err
		f.t.Fatalf("%s ended before it served: %v", key, err)
	}
}

// startServers starts coordinatord, which makes the fleet, and collectord, which
// gets its certificate from it.
func (f *inProcess) startServers() {
	f.t.Helper()
	f.startCoordinator()
	f.startCollector()
}

func (f *inProcess) startCoordinator() {
	f.t.Helper()
	start(f, model.DaemonCoordinator, coordinator.Spec(), f.coordinator)
}

func (f *inProcess) startCollector() {
	f.t.Helper()
	start(f, model.DaemonCollector, collector.Spec(), f.collector)
}

// stop ends a daemon: "coordinatord", "collectord", or the workerd of the machine
// of that name. It may be started again.
func (f *inProcess) stop(key string) { f.stops[key]() }

// socket is a client through a unix socket.
func (f *inProcess) socket(path string) *http.Client {
	client := local.Client(path)
	client.Timeout = patience
	f.sockets = append(f.sockets, client)
	return client
}

// disconnect closes the connections that clients keep for later.
func (f *inProcess) disconnect() {
	for _, client := range f.sockets {
		client.CloseIdleConnections()
	}
}

// overTLS is a client of the fleet's HTTPS that shows no certificate and checks
// those of the servers.
func (f *inProcess) overTLS(role trust.Role) *http.Client {
	f.t.Helper()
	status, err := f.admin.Status(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	bundle, err := trust.ParseBundle([]byte(status.Bundle))
	if err != nil {
		f.t.Fatal(err)
	}
	return f.keep(&http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: bundle.Client(role, time.Now)})
}

// keep makes a client whose connections end with the fleet.
func (f *inProcess) keep(transport *http.Transport) *http.Client {
	client := &http.Client{Transport: transport, Timeout: patience}
	f.sockets = append(f.sockets, client)
	return client
}

// people is a client of collectord's HTTPS that has not shown who it is:
// WithToken and WithSession do.
func (f *inProcess) people() *api.Client {
	f.t.Helper()
	client, err := api.NewClient("https://"+loopback(f.data), f.overTLS(trust.RoleCollector))
	if err != nil {
		f.t.Fatal(err)
	}
	return client
}

// operator has a certificate of an operator made, as `cloudlessctl ca issue` does.
func (f *inProcess) operator(name string) *trust.Credentials {
	f.t.Helper()
	credentials, err := issueOperator(f.t.Context(), f.admin, name)
	if err != nil {
		f.t.Fatal(err)
	}
	return credentials
}

func issueOperator(ctx context.Context, admin *api.AdminClient, name string) (*trust.Credentials, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	answer, err := admin.Issue(ctx, api.IssueRequest{Role: trust.RoleOperator, Name: name, PublicKey: der})
	if err != nil {
		return nil, err
	}
	if answer.Outcome != api.Admitted {
		return nil, fmt.Errorf("%s: %s %s", answer.Outcome, answer.Reason, answer.Text)
	}
	bundle, err := trust.ParseBundle([]byte(answer.Bundle))
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	issued := trust.Issued{Cert: []byte(answer.Certificate), Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})}
	return trust.NewCredentials(bundle, issued, time.Now)
}

// audited reads the audit log of a server, oldest first.
func (f *inProcess) audited(daemon string) []audit.Entry {
	f.t.Helper()
	return readAudit(f.t, f.path(daemon, "audit.jsonl"))
}

// patience is for how long something may take on a very busy machine.
const patience = 30 * time.Second

// eventually waits until check returns nil and fails with its last error
// otherwise.
func (f *inProcess) eventually(what string, check func() error) {
	f.t.Helper()
	eventually(f.t, patience, 20*time.Millisecond, what, check)
}

// value evaluates an expression that must give one sample.
func (f *inProcess) value(expr string) (float64, error) {
	result, err := f.client.Query(f.t.Context(), expr, time.Time{})
	if err == nil && len(result.Vector) != 1 {
		err = fmt.Errorf("%s: %d samples, want 1", expr, len(result.Vector))
	}
	if err != nil {
		return 0, err
	}
	return result.Vector[0].Value.Value, nil
}

// lockedBuffer is a bytes.Buffer for several writers.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
