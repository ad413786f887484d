package discovery

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const lanFlags = unix.IFF_UP | unix.IFF_BROADCAST | unix.IFF_MULTICAST

func lan(index int, name string, subnets ...string) Interface {
	i := Interface{Index: index, Name: name, Type: unix.ARPHRD_ETHER, Flags: lanFlags}
	for _, s := range subnets {
		i.Addrs = append(i.Addrs, netip.MustParsePrefix(s))
	}
	return i
}

func loopback() Interface {
	return Interface{Index: 1, Name: "lo", Type: unix.ARPHRD_LOOPBACK, Flags: unix.IFF_UP | unix.IFF_LOOPBACK,
		Addrs: []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.1/8")}}
}

func TestChoose(t *testing.T) {
	f := func(i Interface, listed, excluded, auto bool, want Skip) {
		t.Helper()
		c := DefaultProberConfig()
		c.AutoInterfaces = auto
		if listed {
			c.Interfaces = []string{"other", i.Name}
		}
		if excluded {
			c.ExcludeInterfaces = []string{i.Name}
		}
		if got := c.choose(i); got != want {
			t.Errorf("choose(%+v) = %q, want %q; listed %v, excluded %v, auto %v", i, got, want, listed, excluded, auto)
		}
	}
	down := lan(2, "eth0")
	down.Flags = unix.IFF_BROADCAST
	f(lan(2, "eth0"), false, false, true, "")
	f(lan(2, "eth0"), false, true, true, SkipExcluded)
	f(lan(2, "eth0"), true, true, true, SkipExcluded)
	f(lan(2, "eth0"), false, false, false, SkipNotListed)
	f(lan(2, "eth0"), true, false, false, "")
	f(down, false, false, true, SkipDown)
	f(down, true, false, true, SkipDown)

	kind := func(kind string, link uint16, flags uint32) Interface {
		return Interface{Index: 3, Name: "x0", Kind: kind, Type: link, Flags: flags}
	}
	for _, c := range []struct {
		i    Interface
		want Skip
	}{
		{loopback(), SkipLoopback},
		{kind("bridge", unix.ARPHRD_ETHER, lanFlags), SkipBridge},
		{kind("openvswitch", unix.ARPHRD_ETHER, lanFlags), SkipBridge},
		{kind("veth", unix.ARPHRD_ETHER, lanFlags), SkipVeth},
		{kind("tun", unix.ARPHRD_NONE, lanFlags|unix.IFF_POINTOPOINT), SkipTunnel},
		{kind("tun", unix.ARPHRD_ETHER, lanFlags), SkipTunnel}, // a tap
		{kind("wireguard", unix.ARPHRD_NONE, unix.IFF_UP), SkipTunnel},
		{kind("gre", unix.ARPHRD_IPGRE, unix.IFF_UP), SkipTunnel},
		{kind("gretap", unix.ARPHRD_ETHER, lanFlags), SkipTunnel},
		{kind("sit", unix.ARPHRD_SIT, unix.IFF_UP), SkipTunnel},
		{kind("vxlan", unix.ARPHRD_ETHER, lanFlags), SkipTunnel},
		{kind("", unix.ARPHRD_PPP, unix.IFF_UP|unix.IFF_POINTOPOINT), SkipPointToPoint},
		{kind("", unix.ARPHRD_NONE, unix.IFF_UP), SkipTunnel},
		{kind("unheard of", unix.ARPHRD_TUNNEL, unix.IFF_UP), SkipTunnel},
		{kind("vlan", unix.ARPHRD_ETHER, lanFlags), ""},
		{kind("bond", unix.ARPHRD_ETHER, lanFlags), ""},
		{kind("macvlan", unix.ARPHRD_ETHER, lanFlags), ""},
		{kind("ipoib", unix.ARPHRD_INFINIBAND, lanFlags), ""},
	} {
		f(c.i, false, false, true, c.want)
		f(c.i, true, false, true, "")
	}
}

func TestBroadcastAddress(t *testing.T) {
	f := func(subnet, want string) {
		t.Helper()
		got, ok := broadcast(netip.MustParsePrefix(subnet))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("broadcast(%s) = %v, %v; want %q", subnet, got, ok, want)
		}
	}
	f("192.0.2.5/24", "192.0.2.255")
	f("10.1.2.3/8", "10.255.255.255")
	f("172.16.5.4/20", "172.16.15.255")
	f("192.0.2.1/25", "192.0.2.127")
	f("192.0.2.129/25", "192.0.2.255")
	f("192.0.2.5/30", "192.0.2.7")
	f("192.0.2.5/31", "")
	f("192.0.2.5/32", "")
	f("128.0.0.1/1", "255.255.255.255")
	f("1.2.3.4/0", "")
	f("2001:db8::1/64", "")
}

func TestRoutes(t *testing.T) {
	c := DefaultProberConfig()
	f := func(i Interface, want ...string) {
		t.Helper()
		var got []string
		for _, r := range c.routes(i) {
			text := r.To.String()
			if r.From.IsValid() {
				text += " from " + r.From.String()
			}
			if r.Index != 0 && r.Index != i.Index || r.Index == 0 && !i.loopback() {
				t.Errorf("%s: by interface %d, want %d", text, r.Index, i.Index)
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("routes of %s %v (-want +got):\n%s", i.Name, i.Addrs, diff)
		}
	}
	f(lan(2, "eth0"))
	f(lan(2, "eth0", "192.0.2.5/24"), "192.0.2.255:10300 from 192.0.2.5")
	f(lan(2, "eth0", "192.0.2.5/24", "192.0.2.6/24", "10.0.0.1/16"), "192.0.2.255:10300 from 192.0.2.5", "10.0.255.255:10300 from 10.0.0.1")
	f(lan(2, "eth0", "192.0.2.5/24", "fe80::1/64"), "192.0.2.255:10300 from 192.0.2.5", "[ff12::c10d:1e55]:10300")
	f(lan(2, "eth0", "2001:db8::1/64"))
	f(lan(2, "eth0", "192.0.2.5/32"))
	deaf := lan(2, "eth0", "fe80::1/64")
	deaf.Flags &^= unix.IFF_MULTICAST
	f(deaf)
	f(loopback(), "127.0.0.1:10300 from 127.0.0.1")
	six := loopback()
	six.Addrs = six.Addrs[:1]
	f(six, "[::1]:10300 from ::1")
	six.Addrs = nil
	f(six)
	c.Multicast = false
	f(lan(2, "eth0", "fe80::1/64"))
}
