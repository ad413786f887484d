package discovery

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// fakeWire keeps what is sent.
type fakeWire struct {
	mu     sync.Mutex
	sent   []wired
	fail   func(route) error
	closed int
}

type wired struct {
	probe *crm.ProbeInit
	b     []byte
	by    route
	at    time.Time
}

func (w *fakeWire) Send(b []byte, by route) error {
	if w.fail != nil {
		if err := w.fail(by); err != nil {
			return err
		}
	}
	m, err := crm.Parse(b)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, wired{m.(*crm.ProbeInit), append([]byte(nil), b...), by, time.Now()})
	return nil
}

func (w *fakeWire) Source(to netip.AddrPort) netip.Addr {
	if to.Addr().IsLinkLocalUnicast() {
		return netip.MustParseAddr("fe80::9")
	}
	return netip.MustParseAddr("203.0.113.9")
}

func (w *fakeWire) Close() error { w.closed++; return nil }

func (w *fakeWire) take() []wired {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent = nil
	return sent
}

// destinations lists "to asks-for" of what was sent.
func destinations(sent []wired) (all []string) {
	for _, s := range sent {
		addr := ""
		if s.probe.Info.Addr.IsValid() {
			addr = s.probe.Info.Addr.String()
		}
		all = append(all, s.by.To.String()+" "+addr)
	}
	return all
}

func announce(time.Time) Announcement {
	return Announcement{Hostname: "collector", Fleet: "lab", FleetSize: 3,
		Ports: []model.PortInfo{{Daemon: model.DaemonCoordinator, Port: 10100}, {Daemon: model.DaemonCollector, Port: 9090}}}
}

// prober runs a Prober in the bubble and stops it at the test's end.
func prober(t *testing.T, cfg ProberConfig, deps ProberDeps) *Prober {
	t.Helper()
	if deps.Announce == nil {
		deps.Announce = announce
	}
	deps.Logger = quiet()
	p, err := NewProber(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func TestProberRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWire{}
		all := guard([]Interface{loopback(), lan(2, "eth0", "192.0.2.5/24", "fe80::5/64")})
		look := func() ([]Interface, error) { return all.get(), nil }
		p := prober(t, DefaultProberConfig(), ProberDeps{Look: look, wire: w})

		synctest.Wait()
		first := w.take()
		if diff := cmp.Diff([]string{"192.0.2.255:10300 192.0.2.5", "[ff12::c10d:1e55]:10300 "}, destinations(first)); diff != "" {
			t.Errorf("first round (-want +got):\n%s", diff)
		}
		got := first[0].probe
		want := &crm.ProbeInit{ID: got.ID, Info: model.HostInfo{Hostname: "collector", Addr: netip.MustParseAddr("192.0.2.5"),
			Ports: announce(time.Time{}).Ports, Type: model.HostCollector},
			Ext: &crm.ProbeInitExt{Fleet: "lab", FleetSize: 3, Interval: 10 * time.Second}}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("ProbeInit (-want +got):\n%s", diff)
		}
		if len(got.ID) != 36 || got.ID[14] != '4' || got.ID == first[1].probe.ID {
			t.Errorf("ids %q and %q, want random UUIDs", got.ID, first[1].probe.ID)
		}

		// A new interface is found in the next round, a gone one forgotten.
		all.set([]Interface{lan(3, "eth1", "198.51.100.1/25")})
		time.Sleep(9999 * time.Millisecond)
		synctest.Wait()
		if sent := w.take(); len(sent) != 0 {
			t.Errorf("sent %v before its time", destinations(sent))
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if diff := cmp.Diff([]string{"198.51.100.127:10300 198.51.100.1"}, destinations(w.take())); diff != "" {
			t.Errorf("second round (-want +got):\n%s", diff)
		}
		stats := p.Stats()
		if diff := cmp.Diff(ProberStats{Rounds: 2, Sent: 3, Interfaces: []InterfaceStats{{Name: "eth1", Sent: 1}}}, stats); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
	})
}

func TestErrorOnOneInterfaceStaysThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWire{fail: func(by route) error {
			if by.Index == 2 {
				return errors.New("network is down")
			}
			return nil
		}}
		all := []Interface{lan(2, "eth0", "192.0.2.5/24"), lan(3, "eth1", "198.51.100.1/24"), lan(4, "br0")}
		all[2].Kind = "bridge"
		p := prober(t, DefaultProberConfig(), ProberDeps{Look: func() ([]Interface, error) { return all, nil }, wire: w})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want := ProberStats{Rounds: 2, Sent: 2, Errors: 2,
			Interfaces: []InterfaceStats{{Name: "eth0", Errors: 2, LastError: "network is down"}, {Name: "eth1", Sent: 2}},
			Skipped:    []SkippedInterface{{"br0", SkipBridge}}}
		if diff := cmp.Diff(want, p.Stats()); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
	})
}

func TestProberWithoutInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWire{}
		look := func() ([]Interface, error) { return nil, errors.New("no netlink") }
		cfg := DefaultProberConfig()
		cfg.Targets = []string{"192.0.2.77"}
		p := prober(t, cfg, ProberDeps{Look: look, wire: w})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want := ProberStats{Rounds: 2, LookErrors: 2, Targets: TargetStats{Sent: 2}}
		if diff := cmp.Diff(want, p.Stats()); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
	})
}

func TestProberTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWire{}
		answers := guard(map[string][]netip.Addr{
			"both.example": {netip.MustParseAddr("192.0.2.8"), netip.MustParseAddr("2001:db8::8")},
			"many.example": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"),
				netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("10.0.0.5")},
		})
		ask := func(ctx context.Context, network, host string) ([]netip.Addr, error) {
			if found, ok := answers.get()[host]; ok {
				return found, nil
			}
			return nil, errors.New("no such host")
		}
		cfg := DefaultProberConfig()
		cfg.Targets = []string{"both.example:10500", "gone.example", "many.example", "192.0.2.77", "fe80::77%eth0"}
		p := prober(t, cfg, ProberDeps{Look: func() ([]Interface, error) { return nil, nil }, Resolve: ask, wire: w})
		synctest.Wait()
		got := destinations(w.take())
		want := []string{"192.0.2.8:10500 203.0.113.9", "[2001:db8::8]:10500 203.0.113.9", "10.0.0.1:10300 203.0.113.9",
			"10.0.0.2:10300 203.0.113.9", "10.0.0.3:10300 203.0.113.9", "10.0.0.4:10300 203.0.113.9", "192.0.2.77:10300 203.0.113.9",
			"[fe80::77%eth0]:10300 "}
		less := cmp.Transformer("sort", func(all []string) map[string]int {
			counts := make(map[string]int)
			for _, s := range all {
				counts[s]++
			}
			return counts
		})
		if diff := cmp.Diff(want, got, less); diff != "" {
			t.Errorf("first round (-want +got):\n%s", diff)
		}
		// Names are looked up anew.
		answers.set(map[string][]netip.Addr{"gone.example": {netip.MustParseAddr("192.0.2.66")}})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want = []string{"192.0.2.66:10300 203.0.113.9", "192.0.2.77:10300 203.0.113.9", "[fe80::77%eth0]:10300 "}
		if diff := cmp.Diff(want, destinations(w.take()), less); diff != "" {
			t.Errorf("second round (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(TargetStats{Sent: 11, LookupErrors: 3}, p.Stats().Targets); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
	})
}

func TestSlowLookupsDoNotDelayTheNextRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWire{}
		hang := func(ctx context.Context, network, host string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		cfg := DefaultProberConfig()
		for i := range maxTargets {
			cfg.Targets = append(cfg.Targets, strings.Repeat("x", i%60+1)+".example")
		}
		look := func() ([]Interface, error) { return []Interface{lan(2, "eth0", "192.0.2.5/24")}, nil }
		start := time.Now()
		prober(t, cfg, ProberDeps{Look: look, Resolve: hang, wire: w})
		time.Sleep(25 * time.Second)
		synctest.Wait()
		var at []time.Duration
		for _, s := range w.take() {
			at = append(at, s.at.Sub(start))
		}
		if diff := cmp.Diff([]time.Duration{0, 10 * time.Second, 20 * time.Second}, at); diff != "" {
			t.Errorf("broadcasts at (-want +got):\n%s", diff)
		}
	})
}

func TestProberOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWire{}
		cfg := DefaultProberConfig()
		cfg.AdvertiseAddress = netip.MustParseAddr("203.0.113.1")
		cfg.NameForm = true
		cfg.Port = 10500
		cfg.AutoInterfaces = false
		cfg.Interfaces = []string{"lo"}
		look := func() ([]Interface, error) { return []Interface{loopback(), lan(2, "eth0", "192.0.2.5/24")}, nil }
		big := func(now time.Time) Announcement {
			a := announce(now)
			a.FleetSize = crm.MaxFleetSize + 1
			return a
		}
		prober(t, cfg, ProberDeps{Look: look, Announce: big, wire: w})
		synctest.Wait()
		sent := w.take()
		if diff := cmp.Diff([]string{"127.0.0.1:10500 203.0.113.1"}, destinations(sent)); diff != "" {
			t.Fatalf("sent (-want +got):\n%s", diff)
		}
		if got := sent[0].probe; !got.Dialect.NamedType || got.Ext.FleetSize != crm.MaxFleetSize {
			t.Errorf("ProbeInit %+v, want the name form and the largest fleet", got)
		}
	})
}

// An announcement that fits into no packet is counted, not fatal.
func TestUnencodableAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWire{}
		look := func() ([]Interface, error) { return []Interface{lan(2, "eth0", "192.0.2.5/24")}, nil }
		long := func(time.Time) Announcement { return Announcement{Hostname: strings.Repeat("x", 300), Fleet: "lab"} }
		p := prober(t, DefaultProberConfig(), ProberDeps{Look: look, Announce: long, wire: w})
		synctest.Wait()
		if got := p.Stats(); got.Errors != 1 || got.Sent != 0 {
			t.Errorf("stats %+v, want one error", got)
		}
	})
}

func TestProberClosesOnce(t *testing.T) {
	w := &fakeWire{}
	p, err := NewProber(DefaultProberConfig(), ProberDeps{Announce: announce, Logger: quiet(), wire: w,
		Look: func() ([]Interface, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(p.Run(ctx), p.Close(), p.Close()); err != nil || w.closed != 1 {
		t.Errorf("closed %d times, %v", w.closed, err)
	}
}
