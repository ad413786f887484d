package discovery

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(playRole(role))
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // which leaves some of its own
	if left := goroutinesLeft(before); code == 0 && left > 0 && !fuzzing {
		buffer := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "%d goroutines were left behind:\n%s\n", left, buffer[:runtime.Stack(buffer, true)])
		code = 1
	}
	os.Exit(code)
}

// goroutinesLeft gives those which are ending a while to end.
func goroutinesLeft(before int) int {
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	return runtime.NumGoroutine() - before
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// guarded is a value that a test changes while an engine reads it.
type guarded[T any] struct {
	mu sync.Mutex
	v  T
}

func guard[T any](v T) *guarded[T] { return &guarded[T]{v: v} }

func (g *guarded[T]) get() T  { g.mu.Lock(); defer g.mu.Unlock(); return g.v }
func (g *guarded[T]) set(v T) { g.mu.Lock(); defer g.mu.Unlock(); g.v = v }

// fakeConn is a socket without a network.
type fakeConn struct {
	in     chan arrival
	out    chan departure
	closed chan struct{}
	once   sync.Once
	refuse func(to netip.AddrPort) error // nil: takes everything
}

type arrival struct {
	b    []byte
	from netip.AddrPort
	err  error
}

type departure struct {
	b  []byte
	to netip.AddrPort
	at time.Time
}

// newFakeConn is made inside the synctest bubble that uses it.
func newFakeConn() *fakeConn {
	return &fakeConn{in: make(chan arrival, 64), out: make(chan departure, 1024), closed: make(chan struct{})}
}

func (c *fakeConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case a := <-c.in:
		return copy(b, a.b), a.from, a.err
	case <-c.closed:
		return 0, netip.AddrPort{}, fmt.Errorf("read: %w", net.ErrClosed)
	}
}

func (c *fakeConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if c.refuse != nil {
		if err := c.refuse(to); err != nil {
			return 0, err
		}
	}
	c.out <- departure{b: append([]byte(nil), b...), to: to, at: time.Now()}
	return len(b), nil
}

func (c *fakeConn) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv6zero, Port: 1} }

func (c *fakeConn) Close() error {
	err := errors.New("closed twice")
	c.once.Do(func() { close(c.closed); err = nil })
	return err
}

func (c *fakeConn) arrive(t *testing.T, m crm.Message, from string) {
	t.Helper()
	c.in <- arrival{b: encode(t, m), from: netip.MustParseAddrPort(from)}
}

// sent takes all datagrams sent so far.
func (c *fakeConn) sent() (all []departure) {
	for {
		select {
		case d := <-c.out:
			all = append(all, d)
		default:
			return all
		}
	}
}

func encode(t testing.TB, m crm.Message) []byte {
	t.Helper()
	b, err := m.Append(nil)
	if err != nil {
		t.Fatalf("encode %+v: %v", m, err)
	}
	return b
}

func decode[M crm.Message](t *testing.T, b []byte) M {
	t.Helper()
	m, err := crm.Parse(b)
	if err != nil {
		t.Fatalf("sent what cannot be read: %v\n%s", err, b)
	}
	got, ok := m.(M)
	if !ok {
		t.Fatalf("sent a %T", m)
	}
	return got
}

func probeOf(host, addr string, fleetSize int) *crm.ProbeInit {
	p := &crm.ProbeInit{ID: "probe of " + host, Info: model.HostInfo{Hostname: host, Type: model.HostCollector,
		Ports: []model.PortInfo{{Daemon: model.DaemonCoordinator, Port: model.PortCoordinator}}},
		Ext: &crm.ProbeInitExt{Fleet: "lab", FleetSize: fleetSize, Interval: 10 * time.Second}}
	if addr != "" {
		p.Info.Addr = netip.MustParseAddr(addr)
	}
	return p
}

func ackOf(host, addr string) *crm.ProbeAck {
	a := &crm.ProbeAck{Info: model.HostInfo{Hostname: host, Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: model.PortWorker}}},
		Ext: &crm.ProbeAckExt{WorkerID: model.WorkerIDFrom([16]byte{1}), KeepAlive: 30 * time.Second}}
	if addr != "" {
		a.Info.Addr = netip.MustParseAddr(addr)
	}
	return a
}

func registerAck() *crm.RegisterAck {
	return &crm.RegisterAck{Info: crm.RegisterInfo{Status: true, Message: "Successfully registered at collector host."},
		Ext: &crm.RegisterAckExt{WorkerID: model.WorkerIDFrom([16]byte{1}), Instance: "worker1", State: model.Registered}}
}

// worker is a Handler that answers every probe at its HostInfo's address and
// keeps what it heard.
type worker struct {
	mu      sync.Mutex
	probes  []*crm.ProbeInit
	acks    []*crm.RegisterAck
	sources []netip.AddrPort
	port    uint16 // told to the coordinator; 0: the default
}

func (w *worker) Probed(p *crm.ProbeInit, source netip.AddrPort) (Answer, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes = append(w.probes, p)
	w.sources = append(w.sources, source)
	to, ok := p.Info.Endpoint(model.DaemonCoordinator, source.Addr())
	ack := ackOf("worker1", "")
	if w.port != 0 {
		ack.Info.Ports[0].Port = w.port
	}
	return Answer{To: to, Ack: ack}, ok
}

func (w *worker) Acknowledged(a *crm.RegisterAck, source netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = append(w.acks, a)
}

func (w *worker) heard() (probes, acks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.probes), len(w.acks)
}
