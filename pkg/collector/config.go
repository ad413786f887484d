package collector

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/query"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Config is collectord.toml.
type Config struct {
	// Hostname is the name that workers and people are told, and the instance
	// of the collector's own series; empty: the kernel's, asked once at start.
	Hostname string `toml:"hostname"`
	// Listen is the TCP address, "host:port", for the workers' streams and for
	// HTTPS; workers are told its port. An empty host listens on all addresses
	// of this host, a single address on that one only.
	Listen string `toml:"listen"`
	// TLS names the collector's certificate.
	TLS trust.Files `toml:"tls"`
	// Coordinator says where coordinatord is, for us and for the workers.
	Coordinator CoordinatorConfig `toml:"coordinator"`
	// Discovery says where and how often workers are called.
	Discovery discovery.ProberConfig `toml:"discovery"`
	// Port bounds what the listener takes on.
	Port stream.PortConfig `toml:"port"`
	// Stream bounds what workers may take of the collector.
	Stream stream.ServerConfig `toml:"stream"`
	// Store says where and how much is kept.
	Store store.Config `toml:"store"`
	// Query bounds what queries may cost.
	Query query.Config `toml:"query"`
	// HTTP bounds what a client may take from the server.
	HTTP middleware.Config `toml:"http"`
	// Self says how the collector measures itself.
	Self SelfConfig `toml:"self"`
	// Log says what is logged, and how.
	Log daemon.LogConfig `toml:"log"`
}

// CoordinatorConfig says where coordinatord is, for us and for the workers.
type CoordinatorConfig struct {
	// URL is where this daemon reaches its control API. Away from this host, a
	// break of the network between the two lets every lease run out.
	URL string `toml:"url"`
	// Port is the UDP port to which workers are told to send their answers to
	// a probe, at the address of this host: coordinatord's discovery.listen.
	// With a wrong one no worker registers.
	Port uint16 `toml:"port"`
}

// SelfConfig says how the collector measures itself.
type SelfConfig struct {
	// Interval is the time between two rounds of the collector's own figures
	// and those of the coordinator. Shorter shows short events and stores more,
	// longer the reverse. 1s to 1h.
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
	var hostname, timeout error
	if c.Hostname != "" {
		if err := crm.CheckHostname(c.Hostname); err != nil {
			hostname = model.Fieldf("hostname", "%w", err)
		}
	}
	if c.HTTP.Timeout <= c.Query.Timeout {
		timeout = model.Fieldf("http.timeout", "%s: want more than query.timeout, %s, or long queries are cut off in the middle",
			model.FormatDuration(c.HTTP.Timeout), model.FormatDuration(c.Query.Timeout))
	}
	return errors.Join(hostname,
		model.FieldListen("listen", c.Listen),
		model.InSection("tls", c.TLS.Validate()),
		model.InSection("coordinator", c.Coordinator.Validate()),
		model.InSection("discovery", c.Discovery.Validate()),
		model.InSection("port", c.Port.Validate()),
		model.InSection("stream", c.Stream.Validate()),
		model.InSection("store", c.Store.Validate()),
		model.InSection("query", c.Query.Validate()),
		model.InSection("http", c.HTTP.Validate()),
		timeout,
		model.InSection("self", c.Self.Validate()),
		model.InSection("log", c.Log.Validate()))
}

// Validate names every key that is wrong.
func (c CoordinatorConfig) Validate() error {
	var address, port error
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		address = model.Fieldf("url", "%q: want https://host:port", c.URL)
	}
	if c.Port == 0 {
		port = model.Fieldf("port", "0: want the UDP port of coordinatord, 1 to 65535")
	}
	return errors.Join(address, port)
}

// Validate names the key that is wrong.
func (c SelfConfig) Validate() error {
	return model.FieldWithin("interval", c.Interval, time.Second, time.Hour)
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
