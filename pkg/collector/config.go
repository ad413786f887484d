package collector

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/query"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Config is collectord.toml.
type Config struct {
	// Hostname is what workers and people are told; empty: the kernel's.
	Hostname string `toml:"hostname"`
	// Listen is the TCP address for the workers' streams and for HTTPS.
	Listen      string                 `toml:"listen"`
	TLS         trust.Files            `toml:"tls"`
	Coordinator CoordinatorConfig      `toml:"coordinator"`
	Discovery   discovery.ProberConfig `toml:"discovery"`
	Port        stream.PortConfig      `toml:"port"`
	Stream      stream.ServerConfig    `toml:"stream"`
	Store       store.Config           `toml:"store"`
	Query       query.Config           `toml:"query"`
	HTTP        middleware.Config      `toml:"http"`
	Self        SelfConfig             `toml:"self"`
	Log         daemon.LogConfig       `toml:"log"`
}

// CoordinatorConfig says where coordinatord is, for us and for the workers.
type CoordinatorConfig struct {
	// URL is where this daemon reaches its control API.
	URL string `toml:"url"`
	// Port is the UDP port to which workers are told to send their ProbeAck,
	// at the same address as ours.
	Port uint16 `toml:"port"`
}

// SelfConfig says how the collector measures itself.
type SelfConfig struct {
	// Interval is the time between two rounds of its own figures and those of
	// the coordinator.
	Interval time.Duration `toml:"interval"`
}

// DefaultConfig returns what an empty file means.
func DefaultConfig() Config {
	return Config{
		Listen: fmt.Sprintf(":%d", model.PortCollector),
		TLS:    trust.FilesIn(trust.DefaultDir, trust.RoleCollector),
		Coordinator: CoordinatorConfig{
			URL:  fmt.Sprintf("https://localhost:%d", model.PortCoordinator),
			Port: model.PortCoordinator,
		},
		Discovery: discovery.DefaultProberConfig(),
		Port:      stream.DefaultPortConfig(),
		Stream:    stream.DefaultServerConfig(),
		Store:     storeConfig(),
		Query:     query.DefaultConfig(),
		HTTP:      middleware.DefaultConfig(),
		Self:      SelfConfig{Interval: 15 * time.Second},
		Log:       daemon.DefaultLogConfig(),
	}
}

// Validate names every key that is wrong.
func (c Config) Validate() error {
	var listen error
	if at, err := net.ResolveTCPAddr("tcp", c.Listen); err != nil {
		listen = model.Fieldf("listen", "%q: want host:port: %w", c.Listen, err)
	} else if at.Port < 0 {
		listen = model.Fieldf("listen", "%q: want a port", c.Listen)
	}
	return errors.Join(listen,
		model.InSection("tls", c.TLS.Validate()),
		model.InSection("coordinator", c.Coordinator.Validate()),
		model.InSection("discovery", c.Discovery.Validate()),
		model.InSection("port", c.Port.Validate()),
		model.InSection("stream", c.Stream.Validate()),
		model.InSection("store", c.Store.Validate()),
		model.InSection("query", c.Query.Validate()),
		model.InSection("http", c.HTTP.Validate()),
		model.InSection("self", c.Self.Validate()),
		model.InSection("log", c.Log.Validate()))
}

// Validate names the first key that is wrong.
func (c CoordinatorConfig) Validate() error {
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		return model.Fieldf("url", "%q: want https://host:port", c.URL)
	}
	if c.Port == 0 {
		return model.Fieldf("port", "0: want the UDP port of coordinatord")
	}
	return nil
}

// Validate names the first key that is wrong.
func (c SelfConfig) Validate() error {
	if c.Interval < time.Second || c.Interval > time.Hour {
		return model.Fieldf("interval", "%s: want 1s to 1h", c.Interval)
	}
	return nil
}

// announcedPort is the port that workers are told: that of the listener.
func announcedPort(at net.Addr) uint16 {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return 0 // nobody can reach a listener that is not TCP
	}
	return tcp.AddrPort().Port()
}

// storeConfig is the store's default in its default folder.
func storeConfig() store.Config {
	cfg := store.DefaultConfig()
	cfg.Dir = "/var/lib/cloudless/" + model.DaemonCollector
	return cfg
}
