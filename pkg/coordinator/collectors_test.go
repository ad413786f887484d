package coordinator

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

func TestWhereCollectorsAre(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := newCollectors(func() time.Time { return now })
	c.ownAddress = func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") }
	says := func(name, from, told string, news bool) {
		t.Helper()
		got, err := c.hello(name, addr(from), api.CollectorHello{Hostname: name, Address: told, Port: 9090, Bundle: "new"})
		if err != nil || got != news {
			t.Errorf("%s: news %v, %v; want %v", name, got, err, news)
		}
	}
	are := func(want ...string) {
		t.Helper()
		var got []string
		for _, a := range c.addresses() {
			got = append(got, a.Hostname+" "+a.Host)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	says("b", "127.0.0.1", "", true)
	says("a", "192.0.2.9", "", true)
	says("c", "::ffff:192.0.2.1", "", true) // ours
	says("d", "192.0.2.9", "198.51.100.7", true)
	says("e", "192.0.2.9", "monitor.example.com", true)
	says("f", "", "", true) // by the unix socket
	says("g", "192.0.2.9", "192.0.2.1", true)
	are("a 192.0.2.9", "b ", "c ", "d 198.51.100.7", "e monitor.example.com", "f ", "g ")
	now = now.Add(2 * time.Minute)
	says("b", "127.0.0.1", "", false)
	says("d", "192.0.2.9", "", true)
	now = now.Add(2 * time.Minute) // b and d are there, the others away
	are("b ", "d 192.0.2.9", "a 192.0.2.9", "c ", "e monitor.example.com", "f ", "g ")
	if diff := cmp.Diff([]string{"b", "d"}, c.behind("old")); diff != "" {
		t.Errorf("behind (-want +got):\n%s", diff)
	}
	if got := c.behind("new"); len(got) != 0 {
		t.Errorf("behind the present authorities: %v", got)
	}
	now = now.Add(57 * time.Minute)
	are("b ", "d 192.0.2.9")
	now = now.Add(time.Hour)
	are()
	for i := range maxCollectors {
		says(string(rune('A'+i)), "192.0.2.9", "", true)
	}
	if _, err := c.hello("late", addr("192.0.2.9"), api.CollectorHello{Hostname: "late", Port: 1}); err == nil {
		t.Errorf("the table grows without bound")
	}
}

func TestWhatTokensTellWorkersToDial(t *testing.T) {
	own := func(networks ...string) (all []net.Addr) {
		for _, n := range networks {
			ip, network, err := net.ParseCIDR(n)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return all
	}
	f := func(listening string, own []net.Addr, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, dialAddresses(netip.MustParseAddrPort(listening), own)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	f("192.0.2.1:10100", own("198.51.100.1/24"), "192.0.2.1:10100")
	f("[::]:10100", own("127.0.0.1/8", "2001:db8::1/64", "fe80::1/64", "192.0.2.1/24", "192.0.2.1/32"), "192.0.2.1:10100", "[2001:db8::1]:10100")
	f("0.0.0.0:7", nil, "127.0.0.1:7")
	f("127.0.0.1:7", nil, "127.0.0.1:7")
	var many []string
	for range 20 {
		many = append(many, "192.0.2.1/24")
	}
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}).String() + "/24"
	}
	if got := dialAddresses(netip.MustParseAddrPort("[::]:1"), own(many...)); len(got) != 8 {
		t.Errorf("got %d addresses, want 8", len(got))
	}
	for name, inside := range map[string]bool{"eth0": false, "enp3s0": false, "docker0": true, "br-1234": true, "bridge0": false, "veth12": true} {
		if insideOnly(name) != inside {
			t.Errorf("%s leads to this host only: %v", name, !inside)
		}
	}
}

func TestWhatIsToldOnce(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRecently(time.Minute, 2)
	f := func(key string, again, want bool) {
		t.Helper()
		if got := r.first(key, now, again); got != want {
			t.Errorf("%s: news %v, want %v", key, got, want)
		}
	}
	f("a", false, true)
	f("a", false, false)
	now = now.Add(59 * time.Second)
	f("a", true, false) // and stays old for another minute
	now = now.Add(59 * time.Second)
	f("a", false, false)
	now = now.Add(time.Second)
	f("a", false, true)
	f("b", false, true)
	f("c", false, true) // full: all is forgotten
	f("a", false, true)
	if len(r.at) > 2 {
		t.Errorf("it has grown to %d", len(r.at))
	}
}
