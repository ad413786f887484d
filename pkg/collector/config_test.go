package collector

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/configtest"
)

func TestReferenceEqualsDefaults(t *testing.T) {
	configtest.CheckReference(t, "../../configs/collectord.toml", DefaultConfig())
}

func TestValidateListsEveryWrongKey(t *testing.T) {
	configtest.CheckComplaints(t, DefaultConfig, []configtest.Spoiled[Config]{
		{Spoil: func(c *Config) { c.Hostname = "\u202ecollector" },
			Want: []string{"hostname: \"\\u202ecollector\" holds the character U+202E"}},
		{Spoil: func(c *Config) { c.Listen = ":http" },
			Want: []string{`listen: ":http": want host:port, or :port for all addresses of this host`}},
		{Spoil: func(c *Config) { c.Coordinator.URL = "http://localhost:10100" },
			Want: []string{`coordinator.url: "http://localhost:10100": want https://host:port`}},
		{Spoil: func(c *Config) { c.Coordinator.URL, c.Coordinator.Port = "localhost:10100", 0 }, Want: []string{
			`coordinator.url: "localhost:10100": want https://host:port`,
			"coordinator.port: 0: want the UDP port of coordinatord, 1 to 65535"}},
		{Spoil: func(c *Config) { c.Query.Timeout = 5 * time.Minute },
			Want: []string{"http.timeout: 2m30s: want more than query.timeout, 5m, or long queries are cut off in the middle"}},
		{Spoil: func(c *Config) { c.Store.Retention, c.Store.MinuteRetention = 24*time.Hour, time.Hour },
			Want: []string{"store.minute_retention: 1h: want at least 24h (retention or more, or 0 for none)"}},
		{Spoil: func(c *Config) {
			c.Listen, c.StateDirectory, c.Socket = "", "", "run/api.sock"
			c.Coordinator.Socket = "/" + strings.Repeat("x", 107)
			c.Web.Key, c.Web.Hosts = "key.pem", []string{"monitor.example.com", "*.example.com", "collectord.lab.cloudless.internal", "::1"}
			c.People.LockAfter, c.Audit.Keep = 0, 0
			c.Discovery.Interval, c.Discovery.Port = 1500*time.Microsecond, 0
			c.Discovery.Interfaces = []string{"eth0", "", "a-name-of-17-bytes"}
			c.Discovery.Targets = []string{"good", "a b", "x:0"}
			c.Port.MaxHTTP, c.Port.MaxHandshakes = 0, 1<<20+1
			c.Stream.Window, c.Stream.WindowTotal = 1, 0
			c.Store.Dir, c.Store.SyncInterval, c.Store.MaxNewSeries = "", time.Second, 1
			c.Query.MaxSamples, c.Query.Lookback = 0, 0
			c.HTTP.MaxBody = 0
			c.Self.Interval = time.Millisecond
			c.Log.RepeatsPerMinute = -1
		}, Want: []string{
			`listen: "": want host:port, or :port for all addresses of this host`,
			"state_directory: want a folder",
			`socket: "run/api.sock": want an absolute path of at most 107 bytes, or nothing`,
			`coordinator.socket: "/` + strings.Repeat("x", 107) + `": want an absolute path of at most 107 bytes, or nothing`,
			"discovery.interval: 1.5ms: want whole milliseconds",
			`discovery.interfaces[1]: "": want an interface's name, 1 to 15 bytes`,
			`discovery.interfaces[2]: "a-name-of-17-bytes": want an interface's name, 1 to 15 bytes`,
			`discovery.targets[1]: "a b": want host, host:port or [address]:port`,
			`discovery.targets[2]: "x:0": port "0": want 1 to 65535`,
			"discovery.port: 0: want the UDP port of workerd, 1 to 65535",
			"port.max_handshakes: 1048577: want 1 to 1048576",
			"port.max_http: 0: want 1 to 1048576",
			"stream.window: 1B: want 64KiB to 1GiB",
			"stream.window_total: 0B: want 1B to 1TiB (window or more)",
			"store.dir: want a folder",
			"store.sync_interval: 1s: want 1ms to 200ms",
			"store.max_new_series: 1: want at least 20000 (max_series or more)",
			"query.max_samples: 0: want at least 1000",
			"query.lookback: 0s: want 1s to 24h",
			"http.max_body: 0B: want 1KiB to 1GiB",
			"web.cert: want the path of a PEM file, as web.key has one",
			`web.hosts[1]: "*.example.com": want a DNS name or an IP address`,
			`web.hosts[2]: "collectord.lab.cloudless.internal": want a DNS name or an IP address`,
			"people.lock_after: 0: want 1 to 1000",
			"audit.keep: 0: want 1 to 1000",
			"self.interval: 1ms: want 1s to 1h",
			"log.repeats_per_minute: -1: want at least 0",
		}},
	})
}
