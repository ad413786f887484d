package coordinator

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

func localClient(h *hall) *http.Client {
	client := local.Client(h.cfg.Control.Socket)
	h.t.Cleanup(client.CloseIdleConnections)
	return client
}

// dialFrom opens a connection from an address of this host and says nothing.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestAFloodOfSilentConnectionsIsBoundedAndHonestOnesGetThrough(t *testing.T) {
	cfg := loopback(t)
	cfg.Control.MaxStrangers = 100
	h := startWith(t, cfg, func(c *coordinator) { c.connections.life = 2 * time.Second })
	var flood []net.Conn
	for range 80 {
		flood = append(flood, dialFrom(t, "127.0.0.2", h.tcp))
	}
	figures := func() connectionFigures { return h.connections.figures() }
	soon(t, "one address is bounded", 5*time.Second, func() bool {
		f := figures()
		return f.refused.place == 80-strangersPerPlace && f.strangers == strangersPerPlace
	})
	m := h.machine(1)
	h.join(m) // from 127.0.0.1
	for range 60 {
		flood = append(flood, dialFrom(t, "127.0.0.3", h.tcp))
	}
	soon(t, "all together are bounded", 5*time.Second, func() bool { return figures().refused.full > 0 && figures().strangers <= 100 })
	soon(t, "silent ones are closed", 10*time.Second, func() bool { return figures().strangers == 0 })
	for i, conn := range flood {
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, errTimeout(err)) {
			t.Errorf("connection %d: got %v, want it closed", i, err)
			break
		}
	}
	if figures().lapsed == 0 {
		t.Errorf("not counted")
	}
	if _, err := h.worker(m).KeepAlive(t.Context(), m.alive("")); err != nil {
		t.Errorf("a member after the flood: %v", err)
	}
}

// A rack behind one address joins at once: whoever was answered makes room.
func TestMoreMachinesJoinFromOneAddressThanMayConnectAtOnce(t *testing.T) {
	h := start(t, func(c *Config) { c.Enrol.EnrolRate, c.Enrol.EnrolRatePerAddress = 1000, 1000 })
	join, _ := h.token(api.TokenRequest{Uses: 100})
	for n := range byte(strangersPerPlace + 10) {
		if answer := h.enrol(h.machine(n+1), &join); answer.Outcome != api.Admitted {
			t.Fatalf("machine %d: %+v", n, answer)
		}
	}
	soon(t, "all of them have gone", 10*time.Second, func() bool { return h.connections.figures().strangers == 0 })
	if f := h.connections.figures(); f.refused.place != 0 || f.lapsed != 0 {
		t.Errorf("got %+v, want nobody turned away", f)
	}
}

// errTimeout returns err if it is a time-out, and otherwise one that nothing is.
func errTimeout(err error) error {
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return err
	}
	return io.ErrNoProgress
}

func TestAMembersConnectionOutlivesAStrangers(t *testing.T) {
	h := startWith(t, loopback(t), func(c *coordinator) { c.connections.life = 300 * time.Millisecond })
	m := h.machine(1)
	h.join(m)
	stream := h.session(m)
	next(t, stream)
	lapsed := make(chan struct{})
	time.AfterFunc(600*time.Millisecond, func() { close(lapsed) })
	<-lapsed
	h.sessions.retell(m.id)
	if d := next(t, stream); d.Bundle == "" {
		t.Errorf("got %+v", d)
	}
}

func TestOneMemberHasABoundedNumberOfConnections(t *testing.T) {
	table := newConnections(1000, 1000)
	leaf, who := &x509.Certificate{}, trust.Identity{Fleet: "lab", Role: trust.RoleWorker, Name: id(1).String()}
	open := func() *connection {
		t.Helper()
		one, other := net.Pipe()
		t.Cleanup(func() { other.Close() })
		c, ok := table.take(one)
		if !ok {
			t.Fatal("not taken")
		}
		return c
	}
	table.life = time.Hour
	var all []*connection
	for i := range connectionsPerMember {
		c := open()
		if all = append(all, c); !c.admit(leaf, who) || !c.admit(leaf, who) {
			t.Fatalf("connection %d is too many", i)
		}
		if i%32 == 31 { // pipes share one place
			table.mu.Lock()
			clear(table.byPlace)
			table.mu.Unlock()
		}
	}
	extra := open()
	if extra.admit(leaf, who) {
		t.Errorf("one more was admitted")
	}
	all[0].Close()
	all[0].Close()
	if !extra.admit(leaf, who) {
		t.Errorf("there is room again, and it is not admitted")
	}
	if n := table.cutIf(func(_ *x509.Certificate, one trust.Identity) bool { return one == who }); n != connectionsPerMember {
		t.Errorf("cut %d, want %d", n, connectionsPerMember)
	}
	if f := table.figures(); f.members != 0 || f.strangers != 0 || f.refused.member != 1 || len(table.byMember) != 0 || len(table.open) != 0 {
		t.Errorf("left behind: %+v", f)
	}
}

// A connection does not carry on with a certificate that has ended.
func TestACertificateEndsOnAnOpenConnection(t *testing.T) {
	var later atomic.Int64
	h := startWith(t, loopback(t), func(c *coordinator) {
		c.guard.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	m := h.machine(1)
	h.join(m)
	client := h.worker(m)
	if _, err := client.KeepAlive(t.Context(), m.alive("")); err != nil {
		t.Fatal(err)
	}
	later.Store(int64(8 * 24 * time.Hour))
	if _, err := client.KeepAlive(t.Context(), m.alive("")); status(err) != http.StatusForbidden {
		t.Errorf("got %v, want 403", err)
	}
}

func TestWhoMayAskForWhat(t *testing.T) {
	leaf := &x509.Certificate{}
	callers := map[string]caller{
		"stranger": {}, "worker": {role: trust.RoleWorker, leaf: leaf}, "collectord": {role: trust.RoleCollector, leaf: leaf},
		"operator": {role: trust.RoleOperator, leaf: leaf}, "coordinatord": {role: trust.RoleCoordinator, leaf: leaf},
		"root": {role: trust.RoleOperator, local: true}, "user of collectord": {role: trust.RoleCollector, local: true}, "local user": {local: true},
	}
	for path, may := range map[string][]string{
		api.PathEnrol:              {"stranger", "worker"},
		api.PathRenewal:            {"stranger", "worker"},
		api.PathRenew:              {"worker", "collectord"},
		api.PathRegister:           {"worker"},
		api.PathKeepAlive:          {"worker"},
		api.PathSession:            {"worker"},
		api.PathLeave:              {"worker"},
		api.PathControlWorkers:     {"collectord", "operator", "root", "user of collectord"},
		api.PathControlStats:       {"collectord", "operator", "root", "user of collectord"},
		api.PathControlContacts:    {"collectord", "root", "user of collectord"},
		api.PathControlRevocations: {"collectord", "root", "user of collectord"},
		api.PathControlCollector:   {"collectord", "root", "user of collectord"},
		"/v1/admin/tokens":         {"collectord", "operator", "root", "user of collectord"},
		"/v1/administrator":        nil,
		"/":                        nil,
		"/metrics":                 nil,
	} {
		want := map[string]bool{}
		for _, name := range may {
			want[name] = true
		}
		for name, who := range callers {
			if got := who.may(path); got != want[name] {
				t.Errorf("%s may ask for %s: %v, want %v", name, path, got, want[name])
			}
		}
	}
}
