package worker

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/configtest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
)

func TestReferenceEqualsDefaults(t *testing.T) {
	configtest.CheckReference(t, "../../configs/workerd.toml", DefaultConfig())
}

func TestValidateListsEveryWrongKey(t *testing.T) {
	configtest.CheckComplaints(t, DefaultConfig, []configtest.Spoiled[Config]{
		{Spoil: func(c *Config) { c.Hostname = "web\n1" },
			Want: []string{`hostname: "web\n1" holds the character U+000A`}},
		{Spoil: func(c *Config) { c.Hostname = strings.Repeat("x", 254) },
			Want: []string{`hostname: 254 bytes, at most 253`}},
		{Spoil: func(c *Config) { c.StateDirectory = "" }, Want: []string{"state_directory: want a folder"}},
		{Spoil: func(c *Config) {
			c.Enrol.Coordinators = []string{"hq", "hq:0", "http://hq", "fe80::1%eth0", "[fd00::1]:10100", "10.0.0.1"}
			c.Enrol.Fleet, c.Enrol.Labels = "Lab", map[string]string{"a-b": "c"}
		}, Want: []string{
			`enrol.coordinators[1]: "hq:0": want host or host:port`,
			`enrol.coordinators[2]: "http://hq": want host or host:port`,
			`enrol.fleet: fleet name "Lab": want 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit`,
			`enrol.labels: label "a-b"="c": want a name like a metric's label and up to 128 printable characters`,
		}},
		{Spoil: func(c *Config) { c.Enrol.Authority[0], c.Enrol.Coordinators = 1, make([]string, 17) },
			Want: append([]string{"enrol.coordinators: 17 of them: want at most 16"}, append(seventeen(),
				"enrol.authority: want enrol.fleet beside it: a coordinator proves both")...)},
		{Spoil: func(c *Config) { c.Registration.KeepAlive = 999 * time.Millisecond },
			Want: []string{"registration.keep_alive: 999ms: want 1s to 24h"}},
		{Spoil: func(c *Config) { c.Registration.KeepAlive = 25 * time.Hour },
			Want: []string{"registration.keep_alive: 25h: want 1s to 24h"}},
		{Spoil: func(c *Config) { c.Registration.KeepAlive = 1500500 * time.Microsecond },
			Want: []string{"registration.keep_alive: 1.5005s: want whole milliseconds"}},
		{Spoil: func(c *Config) { c.Registration.AdvertiseAddress = netip.MustParseAddr("0.0.0.0") },
			Want: []string{"registration.advertise_address: 0.0.0.0: want the address of this host, without a zone"}},
		{Spoil: func(c *Config) { c.Registration.AdvertiseAddress = netip.MustParseAddr("fe80::1%eth0") },
			Want: []string{"registration.advertise_address: fe80::1%eth0: want the address of this host, without a zone"}},
		{Spoil: func(c *Config) {
			c.Registration.KeepAlive, c.Registration.AdvertiseAddress = 0, netip.MustParseAddr("224.0.0.1")
			c.Registration.CoolDown = 0
			c.Discovery.Listen, c.Discovery.AnswerRate, c.Discovery.ReadBuffer = "10300", 0, 1
			c.Discovery.Group = netip.MustParseAddr("ff05::1")
			c.Sampling.Interval, c.Sampling.KeyEvery = time.Millisecond, 0
			c.Sampling.Collectors.Netdev.DeviceExclude = "("
			c.Sampling.Collectors.Filesystem.StatWorkers = 0
			c.Spool = spool.Config{MaxBytes: 1, Order: "sideways", LiveBacklog: model.TiB}
			c.Stream.IdleTimeout, c.Stream.BackoffMax = time.Second, 0
			c.Log.RepeatsPerMinute = -1
		}, Want: []string{
			"registration.keep_alive: 0s: want 1s to 24h",
			"registration.advertise_address: 224.0.0.1: want the address of this host, without a zone",
			"registration.cool_down: 0s: want 1s to 24h",
			`discovery.listen: "10300": want host:port, or :port for all addresses of this host`,
			"discovery.answer_rate: 0: want 1 to 10000",
			"discovery.group: ff05::1: want an IPv6 link-local multicast address like ff12::c10d:1e55",
			"discovery.read_buffer: 1B: want 4KiB to 1GiB",
			"sampling.interval: 1ms: want 100ms to 1h",
			"sampling.key_every: 0: want 1 to 1048575",
			"sampling.collectors.filesystem.stat_workers: 0: want 1 to 256",
			"sampling.collectors.netdev.device_exclude: error parsing regexp: missing closing ): `(`",
			"spool.max_bytes: 1B: want 4MiB to 1TiB",
			"spool.max_age: 0s: want at least 1s",
			"spool.sync_interval: 0s: want 100ms to 1h",
			`spool.order: is "sideways"; want "newest-first" or "oldest-first"`,
			"spool.live_backlog: 1TiB: want 0B to 1GiB",
			"stream.idle_timeout: 1s: want 30s to 24h (twice ping_interval or more)",
			"stream.backoff_max: 0s: want 500ms to 1h (backoff_min or more)",
			"log.repeats_per_minute: -1: want at least 0",
		}},
	})
}

// seventeen are the complaints of that many empty addresses.
func seventeen() (lines []string) {
	for i := range 17 {
		lines = append(lines, fmt.Sprintf(`enrol.coordinators[%d]: "": want host or host:port`, i))
	}
	return lines
}

func TestControlAddress(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got, _ := controlAddress(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("hq", "hq:10100")
	f("hq:1", "hq:1")
	f("10.0.0.1", "10.0.0.1:10100")
	f("fd00::1", "[fd00::1]:10100")
	f("[fd00::1]", "[fd00::1]:10100")
	f("[fd00::1]:7", "[fd00::1]:7")
	f("fe80::1%eth0", "[fe80::1%eth0]:10100")
	f("", "")
	f("hq:", "")
	f("hq:65536", "")
	f("a b", "")
	f("hq/x", "")
	f("user@hq", "")
	f("a:b:c", "")
}
