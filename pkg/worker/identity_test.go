package worker

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func TestWhatIsNotConfiguredIsLookedUp(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	info := identity{id: id(1), kernel: os.Hostname}.ack(at("127.0.0.1:10100")).Info
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

// TestEveryKernelNameMakesAPacket: a host without a name, or with bytes in it
// that no packet carries, used to stay silent for good; so did a long version.
func TestEveryKernelNameMakesAPacket(t *testing.T) {
	for name, want := range map[string]string{
		"node-7":                         "node-7",
		"b\xfccher":                      "b-cher",
		"tab\tand\x00":                   "tab-and-",
		"":                               id(1).String(),
		strings.Repeat("\U0001f600", 16): strings.Repeat("\U0001f600", 16), // 64 bytes, the kernel's limit
		strings.Repeat("h", 300):         id(1).String(),
	} {
		ack := identity{id: id(1), keepAlive: time.Second, port: 1, version: strings.Repeat("1.", 99), kernel: func() (string, error) { return name, nil }}.ack(at("127.0.0.1:10100"))
		ack.ID = "a"
		if _, err := ack.Append(nil); err != nil || ack.Info.Hostname != want {
			t.Errorf("kernel's name %q: told %q, %v; want %q", name, ack.Info.Hostname, err, want)
		}
	}
}
