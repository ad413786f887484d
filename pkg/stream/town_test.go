package stream

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// town is a fleet's authority, a collector's port with everything behind it, and
// whoever comes to it. Sockets are on the loopback, time is real.
type town struct {
	t      *testing.T
	ca     *trust.CA
	own    *trust.Credentials
	sink   *testSink
	server *Server
	port   *Port
	addr   string
}

// credentials issues and loads a certificate.
func credentials(t testing.TB, ca *trust.CA, req trust.Request, now func() time.Time) *trust.Credentials {
	t.Helper()
	issued, err := ca.Issue(req, rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files, err := trust.WriteCredentials(t.TempDir(), issued)
	if err != nil {
		t.Fatal(err)
	}
	c, err := trust.Load(files, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newCA(t testing.TB, fleet string) *trust.CA {
	t.Helper()
	ca, err := trust.NewCA(fleet, rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// newTown opens a port; change may adapt its configuration, wrap its listener.
func newTown(t *testing.T, change func(*PortConfig), wrap func(net.Listener) net.Listener) *town {
	t.Helper()
	v := &town{t: t, ca: newCA(t, "lab"), sink: newTestSink()}
	v.own = credentials(t, v.ca, trust.Request{Role: trust.RoleCollector, Name: "monitor"}, time.Now)
	var err error
	if v.server, err = NewServer(DefaultServerConfig(), ServerDeps{Sink: sinks{testWorker: v.sink}, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v.addr = listener.Addr().String()
	if wrap != nil {
		listener = wrap(listener)
	}
	config := DefaultPortConfig()
	if change != nil {
		change(&config)
	}
	v.port, err = NewPort(config, PortDeps{Listener: listener, TLS: v.own.Server(PortProtocols(), trust.ClientOptional), Stream: v.server.Serve})
	if err != nil {
		t.Fatal(err)
	}
	v.run()
	return v
}

// run starts the port and an HTTP server, and stops both when the test ends.
func (v *town) run() {
	web := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, err := trust.PeerIdentity(*r.TLS)
			if err != nil {
				who = trust.Identity{}
			}
			fmt.Fprintf(w, "%s %s", r.Proto, who.Name)
		})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := v.port.Run(ctx); err != nil {
			v.t.Errorf("Run: %v", err)
		}
	})
	running.Go(func() { web.Serve(v.port.HTTP()) })
	v.t.Cleanup(func() {
		cancel()
		web.Close()
		running.Wait()
		if stats := v.port.Stats(); stats.Handshakes+stats.Streams+stats.HTTP+stats.Lingering != 0 {
			v.t.Errorf("connections left: %+v", stats)
		}
		if _, faults := v.sink.snapshot(); len(faults) > 0 {
			v.t.Errorf("faults: %q", faults)
		}
	})
}

func (v *town) worker() *trust.Credentials {
	return credentials(v.t, v.ca, trust.Request{Role: trust.RoleWorker, Name: testWorker.String()}, time.Now)
}

// pool is what a browser needs to know of the fleet.
func (v *town) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(v.ca.CertPEM())
	return pool
}

// eventually waits for something that happens on its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// honest runs a real worker and returns its source; it stops with the test.
func (v *town) honest() (*testSource, *Client) {
	v.t.Helper()
	source, who := newTestSource(1), v.worker()
	return source, v.runClient(singleOf(source), func() *tls.Config { return who.Client(trust.RoleCollector, ALPN) })
}

func (v *town) runClient(supply Supply, config func() *tls.Config) *Client {
	v.t.Helper()
	limits := DefaultClientConfig()
	limits.BackoffMin, limits.BackoffMax = time.Millisecond, 50*time.Millisecond
	client, err := NewClient(limits, ClientDeps{Supply: supply, Now: time.Now, Random: func() float64 { return 0.5 }, Connect: TLSConnect(config)})
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.Run(ctx)
	}()
	v.t.Cleanup(func() { cancel(); <-done })
	client.SetEndpoint(v.addr)
	return client
}
