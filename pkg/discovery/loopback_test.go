package discovery

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// until waits for the network: the condition comes true or the test fails.
func until(t *testing.T, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !true(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for: %s", what)
		}
	}
}

// start runs an engine until the test's end.
func start(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
}

// The whole conversation on this host's loopback: probe, answer, registration.
func TestConversationOnLoopback(t *testing.T) {
	f := func(listen string, name, addr string) {
		t.Helper()
		w := &worker{}
		var answeredFrom netip.Addr // guarded by w.mu
		register := func(ack *crm.ProbeAck, source netip.AddrPort) (*crm.RegisterAck, netip.AddrPort, bool) {
			w.mu.Lock()
			answeredFrom = source.Addr()
			w.mu.Unlock()
			return admit(ack, source)
		}
		coordinatorCfg := DefaultRegistrarConfig()
		coordinatorCfg.Listen = listen
		coordinator, err := NewRegistrar(coordinatorCfg, RegistrarDeps{Register: register, Logger: quiet()})
		if err != nil {
			t.Skipf("listen on %s: %v", listen, err)
		}
		start(t, coordinator.Run)

		responderCfg := DefaultResponderConfig()
		responderCfg.Listen, responderCfg.MaxDelay = listen, 10*time.Millisecond
		respond, err := NewResponder(responderCfg, ResponderDeps{Handler: w, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		w.port = respond.Addr().Port()
		start(t, respond.Run)

		proberCfg := DefaultProberConfig()
		proberCfg.AutoInterfaces, proberCfg.Interfaces = false, []string{name}
		proberCfg.Port = w.port
		proberCfg.Interval = 100 * time.Millisecond
		if name == "" {
			proberCfg.Interfaces = nil
			proberCfg.Targets = []string{addr}
		}
		probe, err := NewProber(proberCfg, ProberDeps{Logger: quiet(), Announce: func(now time.Time) Announcement {
			a := announce(now)
			a.Ports[0].Port = coordinator.Addr().Port()
			return a
		}})
		if err != nil {
			t.Fatal(err)
		}
		start(t, probe.Run)

		until(t, "two registrations", func() bool { _, acks := w.heard(); return acks >= 2 })
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := w.probes[0].Info.Addr; got != netip.MustParseAddr(addr) {
			t.Errorf("listening on %s: the probe asks for answers at %v, want %s", listen, got, addr)
		}
		if got := w.acks[0]; !got.Info.Status || got.Ext.State != model.Registered {
			t.Errorf("registered with %+v", got)
		}
		if answeredFrom != netip.MustParseAddr(addr) {
			t.Errorf("the answer came from %v, want %s", answeredFrom, addr)
		}
	}
	f("127.0.0.1:0", "lo", "127.0.0.1")
	f(":0", "lo", "127.0.0.1")
	f("127.0.0.1:0", "", "127.0.0.1")
	f("[::1]:0", "", "::1")
	f(":0", "", "::1")
}

// A destination read from a packet that is a subnet's broadcast address must
// not make us shout.
func TestSocketsRefuseToBroadcast(t *testing.T) {
	for _, listening := range []string{":0", "0.0.0.0:0"} {
		conn, err := listen(listening, model.MiB)
		if err != nil {
			t.Fatal(err)
		}
		p := newPort(conn, quiet())
		p.send(registerAck(), netip.MustParseAddrPort("127.255.255.255:9"), crm.MaxPacket)
		if _, spoken := p.stats(); spoken.SendErrors != 1 {
			t.Errorf("listening on %s: stats %+v, want the kernel to refuse", listening, spoken)
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}
}
