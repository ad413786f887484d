package collector

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/query"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
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
	// StateDirectory holds what must outlive a restart: the collector's
	// certificate, users and their API tokens, the audit log, and the store
	// unless that has a folder of its own. It belongs to one process at a time.
	StateDirectory string `toml:"state_directory"`
	// Socket is the path of a unix socket on which the same API is served to
	// programs of this host, who are known by their user; empty: none.
	Socket string `toml:"socket"`
	// AdminGroup is the group of this host whose members may do everything by
	// the socket, as root may; empty: only root.
	AdminGroup string `toml:"admin_group"`
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
	// Web says how browsers know the collector.
	Web WebConfig `toml:"web"`
	// People bounds sessions and guesses at passwords.
	People people.Config `toml:"people"`
	// Audit bounds the log of who did what.
	Audit audit.Config `toml:"audit"`
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
	// Socket is coordinatord's unix socket, from which this daemon gets its
	// certificate when it has none; empty: coordinatord is on another host, and
	// the certificate is put into state_directory/tls by hand.
	Socket string `toml:"socket"`
	// Port is the UDP port to which workers are told to send their answers to
	// a probe, at the address of this host: coordinatord's discovery.listen.
	// With a wrong one no worker registers.
	Port uint16 `toml:"port"`
}

// WebConfig says how browsers know the collector.
type WebConfig struct {
	// Cert and Key are the operator's own certificate for browsers, with its
	// chain, and its key, PEM. Empty: one of the fleet's authority for browsers.
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
	// Hosts are names and addresses under which people reach the collector,
	// besides the host's own: requests for others are refused, and the fleet's
	// certificate is made for them.
	Hosts []string `toml:"hosts"`
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
		Listen:         fmt.Sprintf(":%d", model.PortCollector),
		StateDirectory: "/var/lib/cloudless/" + model.DaemonCollector,
		Socket:         "/run/cloudless/" + model.DaemonCollector + "/api.sock",
		AdminGroup:     "cloudless",
		Coordinator: CoordinatorConfig{
			URL:    fmt.Sprintf("https://localhost:%d", model.PortCoordinator),
			Socket: "/run/cloudless/" + model.DaemonCoordinator + "/control.sock",
			Port:   model.PortCoordinator,
		},
		Discovery: discovery.DefaultProberConfig(),
		Port:      stream.DefaultPortConfig(),
		Stream:    stream.DefaultServerConfig(),
		Store:     storeConfig(),
		Query:     query.DefaultConfig(),
		HTTP:      middleware.DefaultConfig(),
		People:    people.DefaultConfig(),
		Audit:     audit.DefaultConfig(),
		Self:      SelfConfig{Interval: 15 * time.Second},
		Log:       daemon.DefaultLogConfig(),
	}
}

// Validate names every key that is wrong.
func (c Config) Validate() error {
	var hostname, directory, timeout error
	if c.Hostname != "" {
		if err := crm.CheckHostname(c.Hostname); err != nil {
			hostname = model.Fieldf("hostname", "%w", err)
		}
	}
	if c.StateDirectory == "" {
		directory = model.Fieldf("state_directory", "want a folder")
	}
	if c.HTTP.Timeout <= c.Query.Timeout {
		timeout = model.Fieldf("http.timeout", "%s: want more than query.timeout, %s, or long queries are cut off in the middle",
			model.FormatDuration(c.HTTP.Timeout), model.FormatDuration(c.Query.Timeout))
	}
	return errors.Join(hostname,
		model.FieldListen("listen", c.Listen),
		directory,
		fieldSocket("socket", c.Socket),
		model.InSection("coordinator", c.Coordinator.Validate()),
		model.InSection("discovery", c.Discovery.Validate()),
		model.InSection("port", c.Port.Validate()),
		model.InSection("stream", c.Stream.Validate()),
		model.InSection("store", c.store().Validate()),
		model.InSection("query", c.Query.Validate()),
		model.InSection("http", c.HTTP.Validate()),
		timeout,
		model.InSection("web", c.Web.Validate()),
		model.InSection("people", c.People.Validate()),
		model.InSection("audit", c.Audit.Validate()),
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
	return errors.Join(address, fieldSocket("socket", c.Socket), port)
}

// Validate names every key that is wrong.
func (c WebConfig) Validate() error {
	var errs []error
	switch {
	case c.Cert != "" && c.Key == "":
		errs = append(errs, model.Fieldf("key", "want the path of a PEM file, as web.cert has one"))
	case c.Cert == "" && c.Key != "":
		errs = append(errs, model.Fieldf("cert", "want the path of a PEM file, as web.key has one"))
	}
	if len(c.Hosts) > mostHosts {
		errs = append(errs, model.Fieldf("hosts", "%d of them: want at most %d", len(c.Hosts), mostHosts))
	}
	for i, host := range c.Hosts {
		if err := trust.CheckHost(host); err != nil {
			errs = append(errs, model.Fieldf(fmt.Sprintf("hosts[%d]", i), "%w", err))
		}
	}
	return errors.Join(errs...)
}

// fieldSocket returns a FieldError unless path is empty or can be that of a unix
// socket, wherever the daemon is started.
func fieldSocket(key, path string) error {
	const longest = 107 // what the kernel has room for, in bytes
	if path != "" && (!filepath.IsAbs(path) || len(path) > longest) {
		return model.Fieldf(key, "%q: want an absolute path of at most %d bytes, or nothing", path, longest)
	}
	return nil
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

// storeConfig is the store's default: in the state folder.
func storeConfig() store.Config {
	cfg := store.DefaultConfig()
	cfg.Dir = ""
	return cfg
}

// store is the store's configuration with the folder that it means.
func (c Config) store() store.Config {
	cfg := c.Store
	cfg.Dir = cmp.Or(cfg.Dir, c.StateDirectory)
	return cfg
}
