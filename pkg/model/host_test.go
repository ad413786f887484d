package model

import (
	"net/netip"
	"testing"
)

func TestEndpointPrefersTheAnnouncedAddress(t *testing.T) {
	announced, source := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.9")
	ports := []PortInfo{{DaemonCoordinator, 10100}, {DaemonCollector, 9090}, {"broken", 0}}
	for _, test := range []struct {
		name, daemon string
		addr, source netip.Addr
		want         string
	}{
		{"announced", "coordinatord", announced, source, "10.0.0.2:10100"},
		{"other port", "collectord", announced, source, "10.0.0.2:9090"},
		{"no address", "coordinatord", netip.Addr{}, source, "10.0.0.9:10100"},
		{"0.0.0.0", "coordinatord", netip.IPv4Unspecified(), source, "10.0.0.9:10100"},
		{"::", "coordinatord", netip.IPv6Unspecified(), source, "10.0.0.9:10100"},
		{"mapped source", "coordinatord", netip.Addr{}, netip.MustParseAddr("::ffff:10.0.0.9"), "10.0.0.9:10100"},
		{"daemon not announced", "workerd", announced, source, ""},
		{"port zero", "broken", announced, source, ""},
		{"nothing known", "collectord", netip.Addr{}, netip.Addr{}, ""},
	} {
		at, ok := HostInfo{Addr: test.addr, Ports: ports}.Endpoint(test.daemon, test.source)
		got := ""
		if ok {
			got = at.String()
		}
		if got != test.want {
			t.Errorf("%s: Endpoint(%q) = %q, want %q", test.name, test.daemon, got, test.want)
		}
	}
}

func TestHostInfoText(t *testing.T) {
	host := HostInfo{Hostname: "collector", Type: HostCollector,
		Ports: []PortInfo{{DaemonCoordinator, 10100}, {DaemonCollector, 9090}}}
	if got, want := host.String(), "COLLECTOR-collector[] - ports: [coordinatord:10100, collectord:9090]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
