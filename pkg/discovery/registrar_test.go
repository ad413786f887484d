package discovery

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// registrar runs a Registrar in the bubble and stops it at the test's end.
func registrar(t *testing.T, cfg RegistrarConfig, deps RegistrarDeps) *Registrar {
	t.Helper()
	deps.Logger = quiet()
	if deps.Register == nil {
		deps.Register = admit
	}
	r, err := NewRegistrar(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, r.Close()); err != nil {
			t.Errorf("Run and Close: %v", err)
		}
	})
	return r
}

// admit registers everybody.
func admit(ack *crm.ProbeAck, source netip.AddrPort) (*crm.RegisterAck, netip.AddrPort, bool) {
	to, ok := ack.Info.Endpoint(model.DaemonWorker, source.Addr())
	return registerAck(), to, ok
}

func TestRegistrarReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn})
		f := func(d crm.Dialect, addr, source, want string) {
			t.Helper()
			ack := ackOf("worker1", addr)
			ack.ID, ack.Dialect = "ack", d
			conn.arrive(t, ack, source)
			synctest.Wait()
			sent := conn.sent()
			if len(sent) != 1 || sent[0].to.String() != want {
				t.Fatalf("sent %+v, want one reply to %s", sent, want)
			}
			reply := decode[*crm.RegisterAck](t, sent[0].b)
			if reply.ID != "ack" || reply.Dialect.Family != d.Family || reply.Dialect.NamedType != d.NamedType || !reply.Info.Status {
				t.Errorf("reply %+v, want dialect %+v", reply, d)
			}
		}
		f(crm.Dialect{}, "192.0.2.7", "192.0.2.8:55555", "192.0.2.7:10300")
		f(crm.Dialect{NamedType: true}, "", "192.0.2.8:55555", "192.0.2.8:10300")
		f(crm.Dialect{Family: crm.VrmJobs}, "0.0.0.0", "[fe80::8%eth0]:55555", "[fe80::8%eth0]:10300")

		conn.arrive(t, probeOf("collector", "", 0), "192.0.2.1:10120") // belongs on another port
		conn.arrive(t, registerAck(), "192.0.2.1:10110")
		conn.in <- arrival{b: []byte("garbage"), from: netip.MustParseAddrPort("192.0.2.1:1")}
		synctest.Wait()
		got := r.Stats()
		if got.ProbeAcks != 3 || got.Send.Sent != 3 || got.Listen.Unexpected != 2 || got.Listen.Refused[crm.NotJSON] != 1 || got.Addresses != 3 {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestRegistrarStaysSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn,
			Register: func(ack *crm.ProbeAck, source netip.AddrPort) (*crm.RegisterAck, netip.AddrPort, bool) {
				if ack.Info.Hostname == "nothing" {
					return nil, source, true
				}
				return registerAck(), source, false
			}})
		conn.arrive(t, ackOf("nothing", ""), "192.0.2.1:1")
		conn.arrive(t, ackOf("refused", ""), "192.0.2.1:1")
		synctest.Wait()
		if got := r.Stats(); got.ProbeAcks != 2 || len(conn.sent()) != 0 {
			t.Errorf("stats %+v, want nothing sent", got)
		}
	})
}

func TestReplyLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		cfg := DefaultRegistrarConfig()
		cfg.ReplyRate, cfg.ReplyRatePerAddress = 20, 5
		r := registrar(t, cfg, RegistrarDeps{conn: conn})
		for range 50 {
			conn.arrive(t, ackOf("worker1", ""), "192.0.2.1:1")
		}
		synctest.Wait()
		if got := len(conn.sent()); got != 5 {
			t.Errorf("%d replies to one address, want 5", got)
		}
		// Others are not hurt, until all together are too many.
		for host := range 50 {
			conn.arrive(t, ackOf("worker1", ""), netip.AddrPortFrom(hostAddr(host+1), 1).String())
		}
		synctest.Wait()
		if got := len(conn.sent()); got != 15 {
			t.Errorf("%d replies to the others, want 15", got)
		}
		got := r.Stats()
		if got.LimitedAddress != 45 || got.Send.Limited != 35 || got.ProbeAcks != 100 {
			t.Errorf("stats %+v, want 45 limited by address and 35 in all", got)
		}
		time.Sleep(time.Second)
		conn.arrive(t, ackOf("worker1", ""), "192.0.2.1:1")
		synctest.Wait()
		if got := len(conn.sent()); got != 1 {
			t.Errorf("%d replies a second later, want 1", got)
		}
	})
}

func TestRepliesThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		replies := map[string]*crm.RegisterAck{"large": registerAck(), "wrong": registerAck(), "multicast": registerAck()}
		replies["large"].Info.Message = strings.Repeat("x", 600)
		replies["wrong"].Info.MaxRetries = -1
		r := registrar(t, DefaultRegistrarConfig(), RegistrarDeps{conn: conn,
			Register: func(ack *crm.ProbeAck, source netip.AddrPort) (*crm.RegisterAck, netip.AddrPort, bool) {
				_, to, ok := admit(ack, source)
				return replies[ack.Info.Hostname], to, ok
			}})
		// As small as a ProbeAck gets.
		conn.in <- arrival{from: netip.MustParseAddrPort("192.0.2.1:1"), b: []byte(`{"py/object":"dtos.ProbeAck","id":"","type":2,"info":{"py/object":"dtos.HostInfo","hostname":"large","inet_addr":"","type":1,"ports":[{"py/object":"dtos.PortInfo","daemon":"workerd","port":1}]}}`)}
		conn.arrive(t, ackOf("wrong", ""), "192.0.2.1:1")
		conn.arrive(t, ackOf("multicast", "ff02::1"), "192.0.2.1:1")
		synctest.Wait()
		want := SendStats{TooLarge: 1, Unencodable: 1, BadDestination: 1}
		if got := r.Stats().Send; got != want || len(conn.sent()) != 0 {
			t.Errorf("stats %+v, want %+v", got, want)
		}
	})
}

func TestCloseEndsRun(t *testing.T) {
	r, err := NewRegistrar(RegistrarConfig{Listen: "127.0.0.1:0", ReplyRate: 1, ReplyRatePerAddress: 1, ReadBuffer: model.MiB},
		RegistrarDeps{Register: admit, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.Run(context.Background()) }()
	if err := errors.Join(r.Close(), r.Close(), <-done); err != nil {
		t.Error(err)
	}
}

func TestPortInUse(t *testing.T) {
	cfg := DefaultRegistrarConfig()
	cfg.Listen = "127.0.0.1:0"
	first, err := NewRegistrar(cfg, RegistrarDeps{Register: admit, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	cfg.Listen = first.Addr().String()
	if second, err := NewRegistrar(cfg, RegistrarDeps{Register: admit, Logger: quiet()}); err == nil || !strings.Contains(err.Error(), cfg.Listen) {
		t.Errorf("a second registrar on %s: %v, %v", cfg.Listen, second, err)
	}
}
