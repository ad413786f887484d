package coordinator

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/configtest"
)

func TestReferenceEqualsDefaults(t *testing.T) {
	configtest.CheckReference(t, "../../configs/coordinatord.toml", DefaultConfig())
}

func TestValidateListsEveryWrongKey(t *testing.T) {
	configtest.CheckComplaints(t, DefaultConfig, []configtest.Spoiled[Config]{
		{Spoil: func(c *Config) { c.StateDirectory = "" },
			Want: []string{"state_directory: want a folder"}},
		{Spoil: func(c *Config) { c.Control.Listen = "localhost" },
			Want: []string{`control.listen: "localhost": want host:port, or :port for all addresses of this host`}},
		{Spoil: func(c *Config) { c.Control.HTTP.Timeout = 30 * time.Second },
			Want: []string{"control.http.timeout: 30s: want more than 30s, for which collectord may wait for news"}},
		{Spoil: func(c *Config) { c.Registry.KeepAlive = 2 * time.Hour },
			Want: []string{"registry.keep_alive: 2h: want 1s to 1h (keep_alive_min to keep_alive_max)"}},
		{Spoil: func(c *Config) { c.Registry.KeepAliveMax = time.Millisecond },
			Want: []string{"registry.keep_alive_max: 1ms: want 1s to 24h (keep_alive_min or more)"}},
		{Spoil: func(c *Config) {
			c.Fleet, c.Control.Addresses = "Lab", []string{"here"}
			c.Control.MaxConnections, c.Control.MaxStrangers = 0, 0
			c.Enrol.Clones, c.Audit.Keep = "never", 0
			c.Control.Listen, c.Control.HTTP.MaxBody = ":", 1
			c.Discovery.Listen, c.Discovery.ReplyRate, c.Discovery.ReplyRatePerAddress = "x", 0, 1_000_001
			c.Registry.KeepAliveMin, c.Registry.RetryLimit, c.Registry.CoolDown = 0, 0, -time.Second
			c.Registry.ForgetAfter, c.Registry.MaxWorkers = time.Second, 0
			c.Registry.PersistInterval, c.Registry.LockTimeout = 0, time.Hour
			c.Log.RepeatsPerMinute = -1
		}, Want: []string{
			`fleet: fleet name "Lab": want 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit`,
			`control.listen: ":": want host:port, or :port for all addresses of this host`,
			`control.addresses[0]: "here": want host:port`,
			"control.max_connections: 0: want 1 to 1000000",
			"control.max_strangers: 0: want 1 to 100000",
			"control.http.max_body: 1B: want 1KiB to 1GiB",
			`enrol.clones: "never": want "admit" or "approve"`,
			"audit.keep: 0: want 1 to 1000",
			`discovery.listen: "x": want host:port, or :port for all addresses of this host`,
			"discovery.reply_rate: 0: want 1 to 1000000",
			"discovery.reply_rate_per_address: 1000001: want 1 to 1000000",
			"registry.keep_alive_min: 0s: want 100ms to 24h",
			"registry.retry_limit: 0: want 1 to 1000",
			"registry.cool_down: -1s: want 0s to 24h",
			"registry.forget_after: 1s: want 0s (never) or at least 1m",
			"registry.max_workers: 0: want 1 to 1000000",
			"registry.persist_interval: 0s: want 1ms to 1m",
			"registry.lock_timeout: 1h: want 1ms to 1m",
			"log.repeats_per_minute: -1: want at least 0",
		}},
	})
}
