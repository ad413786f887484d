package collector

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/stream/streamtest"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// process is a worker's process: its stream to a collector, over real TLS.
type process struct {
	*stream.Client
	log  *streamtest.Source
	boot model.BootID
}

// start runs a process of a worker until the test ends. Its log holds a round
// of figures.
func (c *collector) start(t *testing.T, who *trust.Credentials, b model.BootID) *process {
	t.Helper()
	log := streamtest.NewSource(b, records(t, 1)...)
	cfg := stream.DefaultClientConfig()
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 20*time.Millisecond
	client, err := stream.NewClient(cfg, stream.ClientDeps{Supply: log.Supply(), Now: time.Now, Random: func() float64 { return 0.5 },
		Connect: stream.TLSConnect(func() *tls.Config { return who.Client(trust.RoleCollector, stream.ALPN) })})
	if err != nil {
		t.Fatal(err)
	}
	background(t, client.Run)
	client.SetEndpoint(c.port.Addr().String())
	return &process{client, log, b}
}

// streams is how many streams a worker has open; boot: of which process.
func (c *collector) connected(n int) (open int, b model.BootID) {
	for _, one := range c.streams.Connections() {
		if one.Worker == id(n) {
			open, b = open+1, one.Boot
		}
	}
	return open, b
}

// listed gives an office a revocation list.
func (o *office) listed(t *testing.T) *office {
	t.Helper()
	var err error
	if o.revoked, err = revocation.Open(filepath.Join(t.TempDir(), "revoked.json")); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestARevokedWorkerIsOutWithinTwoSeconds(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice(row(1, registered), row(2, registered)).listed(t)
	c := newCollector(t, fleet, o)
	background(t, c.revoked.follow)
	background(t, c.revoked.enforce)
	thief := c.start(t, fleet.Member(trust.RoleWorker, id(1).String()), boot(1))
	honest := c.start(t, fleet.Member(trust.RoleWorker, id(2).String()), boot(1))
	eventually(t, "both streams", func() bool { return thief.Stats().AckedSeq == 3 && honest.Stats().AckedSeq == 3 })

	began := time.Now()
	o.revoke(t, revocation.Worker(id(1)))
	eventually(t, "its stream is cut", func() bool { open, _ := c.connected(1); return open == 0 })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	eventually(t, "it has heard why", func() bool { return thief.Stats().LastRefusal.Cause == stream.CauseRevoked })
	thief.Retry()
	eventually(t, "the next handshake fails", func() bool { return c.port.Stats().Failed[stream.FailRevoked] > 0 })
	if open, _ := c.connected(2); open != 1 || honest.Stats().Connects != 1 {
		t.Errorf("the other worker: %d streams", open)
	}

	// Nobody comes back in by a restart of the collector without its coordinator.
	again, err := revocation.Open(c.cfg.inState(revokedFile))
	if err != nil || again.Len() != 1 {
		t.Errorf("after a restart: %v entries, %v", again, err)
	}
}

func TestARevokedKeyEndsItsStream(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice(row(1, registered)).listed(t)
	c := newCollector(t, fleet, o)
	background(t, c.revoked.follow)
	background(t, c.revoked.enforce)
	who := fleet.Member(trust.RoleWorker, id(1).String())
	worker := c.start(t, who, boot(1))
	eventually(t, "the stream", func() bool { return worker.Stats().AckedSeq == 3 })
	o.revoke(t, revocation.Key(trust.CertificateFingerprint(who.Leaf())))
	eventually(t, "it is cut", func() bool { open, _ := c.connected(1); return open == 0 })
}

// TestACopiedStateFolderDisturbsNobody: the copy has the worker's key and a boot of
// its own; only the process that the coordinator has admitted streams.
func TestACopiedStateFolderDisturbsNobody(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice(row(1, registered))
	c := newCollector(t, fleet, o)
	background(t, c.view.run)
	who := fleet.Member(trust.RoleWorker, id(1).String())
	first := c.start(t, who, boot(1))
	eventually(t, "the stream", func() bool { return first.Stats().AckedSeq == 3 })
	second := c.start(t, who, boot(2))
	eventually(t, "the copy is refused", func() bool { return second.Stats().Refused[stream.CauseUnknown] > 0 })
	if text := second.Stats().LastRefusal.Text; !strings.Contains(text, "another process") {
		t.Errorf("it is told %q", text)
	}
	if open, b := c.connected(1); open != 1 || b != boot(1) || first.Stats().Connects != 1 {
		t.Errorf("%d streams, of boot %v; the first has connected %d times", open, b, first.Stats().Connects)
	}

	moved := row(1, registered)
	moved.Boot = boot(2)
	o.write(moved)
	eventually(t, "the first one's stream ends", func() bool { return first.Stats().Refused[stream.CauseUnknown] > 0 })
	second.Retry()
	eventually(t, "the other one streams", func() bool { open, b := c.connected(1); return open == 1 && b == boot(2) })
}

// TestConnectionsToTheCoordinatorShowTheNewCertificate, although a long poll
// keeps the former one in use.
func TestConnectionsToTheCoordinatorShowTheNewCertificate(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	own := fleet.Member(trust.RoleCollector, "hq")
	transport := newControlTransport(own)
	var dials atomic.Int32
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newPatientServer(fleet.Member(trust.RoleCoordinator, "hq"), &dials)
	background(t, func(ctx context.Context) error { return server.run(ctx, listener) })
	clients, err := newClients("https://"+listener.Addr().String(), transport)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	held := make(chan struct{})
	go func() { defer close(held); _, _ = clients.control.Workers(ctx, 1, time.Minute) }()
	<-server.polling
	ask := func() {
		t.Helper()
		if _, err := clients.control.Stats(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	if got := dials.Load(); got != 1 {
		t.Errorf("%d connections, want one for all", got)
	}
	transport.renew()
	ask()
	if got := dials.Load(); got != 2 {
		t.Errorf("%d connections, want a new one", got)
	}
	cancel()
	<-held
	transport.CloseIdleConnections()
}
