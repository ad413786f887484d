package worker

import (
	"net/netip"
	"os"
	"testing"
)

func TestWhatIsNotConfiguredIsLookedUp(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	info := identity{id: id(1)}.ack(at("127.0.0.1:10100")).Info
	if info.Hostname != hostname || info.Addr != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got %q at %v, want %q at 127.0.0.1", info.Hostname, info.Addr, hostname)
	}
}

func TestLocalAddress(t *testing.T) {
	f := func(to, want string) {
		t.Helper()
		got := localAddress(at(to))
		if text := got.String(); got.IsValid() && text != want || !got.IsValid() && want != "" {
			t.Errorf("to %s: got %v, want %q", to, got, want)
		}
	}
	f("127.0.0.1:10100", "127.0.0.1")
	f("[::ffff:127.0.0.1]:10100", "127.0.0.1")
	f("[fe80::1%no-such-link]:10100", "") // the datagram's source serves
}
