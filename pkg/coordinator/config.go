package coordinator

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// Config is coordinatord.toml.
type Config struct {
	// StateDirectory holds the fleet's authority, its members, the registry of
	// its workers and the audit log: about 3 KiB for each worker. It belongs to
	// one process at a time.
	StateDirectory string `toml:"state_directory"`
	// Fleet is the name of the fleet, a DNS label; empty: made at first start,
	// and kept from then on.
	Fleet string `toml:"fleet"`
	// Control says where collectord, workers and operators reach the coordinator.
	Control ControlConfig `toml:"control"`
	// Enrol says who may join.
	Enrol admission.Config `toml:"enrol"`
	// Audit bounds the log of who did what.
	Audit audit.Config `toml:"audit"`
	// Discovery says how workers are heard and answered.
	Discovery discovery.RegistrarConfig `toml:"discovery"`
	// Registry says for how long and how many workers are kept.
	Registry registry.Config `toml:"registry"`
	// Log says what is logged, and how.
	Log daemon.LogConfig `toml:"log"`
}

// ControlConfig says where collectord, workers and operators reach the
// coordinator.
type ControlConfig struct {
	// Listen is the TCP address, "host:port", of the control channel (HTTPS). An
	// empty host listens on all addresses of this host.
	Listen string `toml:"listen"`
	// Socket is the unix socket of administration, whose callers the kernel names;
	// empty: there is none.
	Socket string `toml:"socket"`
	// AdminGroup are those who may administer by the socket, besides root and the
	// user that coordinatord runs as.
	AdminGroup string `toml:"admin_group"`
	// CollectorUser is who may get a collectord's certificate by the socket, and
	// what else collectord may; empty: nobody.
	CollectorUser string `toml:"collector_user"`
	// Addresses are what join tokens tell workers to dial, host:port; none: this
	// host's own with the port of Listen.
	Addresses []string `toml:"addresses"`
	// MaxConnections bounds the open TCP connections of members, each worker has
	// one or two, about 80 KiB of memory each.
	MaxConnections int `toml:"max_connections"`
	// MaxStrangers bounds those of hosts that have shown no certificate yet, which
	// last 30 s at most.
	MaxStrangers int `toml:"max_strangers"`
	// HTTP bounds what a client may take from the server.
	HTTP middleware.Config `toml:"http"`
}

// DefaultConfig returns what an empty file means.
func DefaultConfig() Config {
	return Config{
		StateDirectory: "/var/lib/cloudless/" + model.DaemonCoordinator,
		Control: ControlConfig{
			Listen:         fmt.Sprintf(":%d", model.PortCoordinator),
			Socket:         "/run/cloudless/" + model.DaemonCoordinator + "/control.sock",
			AdminGroup:     "cloudless",
			CollectorUser:  "cloudless-" + model.DaemonCollector,
			MaxConnections: 20_000,
			MaxStrangers:   1024,
			HTTP:           middleware.DefaultConfig(),
		},
		Enrol:     admission.DefaultConfig(),
		Audit:     audit.DefaultConfig(),
		Discovery: discovery.DefaultRegistrarConfig(),
		Registry:  registry.DefaultConfig(),
		Log:       daemon.DefaultLogConfig(),
	}
}

// Validate names every key that is wrong.
func (c Config) Validate() error {
	var directory, fleet error
	if c.StateDirectory == "" {
		directory = model.Fieldf("state_directory", "want a folder")
	}
	if c.Fleet != "" {
		if err := trust.CheckFleet(c.Fleet); err != nil {
			fleet = &model.FieldError{Key: "fleet", Err: err}
		}
	}
	return errors.Join(directory, fleet,
		model.InSection("control", c.Control.Validate()),
		model.InSection("enrol", c.Enrol.Validate()),
		model.InSection("audit", c.Audit.Validate()),
		model.InSection("discovery", c.Discovery.Validate()),
		model.InSection("registry", c.Registry.Validate()),
		model.InSection("log", c.Log.Validate()))
}

// Validate names every key that is wrong.
func (c ControlConfig) Validate() error {
	var timeout, addresses error
	if c.HTTP.Timeout <= api.MaxWait {
		timeout = model.Fieldf("http.timeout", "%s: want more than %s, for which collectord may wait for news",
			model.FormatDuration(c.HTTP.Timeout), model.FormatDuration(api.MaxWait))
	}
	if len(c.Addresses) > token.MaxAddresses {
		addresses = model.Fieldf("addresses", "%d: want at most %d", len(c.Addresses), token.MaxAddresses)
	}
	for i, address := range c.Addresses {
		if !dialable(address) {
			addresses = errors.Join(addresses, model.Fieldf(fmt.Sprintf("addresses[%d]", i), "%.80q: want host:port", address))
		}
	}
	return errors.Join(
		model.FieldListen("listen", c.Listen),
		addresses,
		model.FieldWithin("max_connections", c.MaxConnections, 1, 1_000_000),
		model.FieldWithin("max_strangers", c.MaxStrangers, 1, 100_000),
		model.InSection("http", c.HTTP.Validate()),
		timeout)
}

func dialable(address string) bool {
	const longest = 255
	host, port, err := net.SplitHostPort(address)
	number, badPort := strconv.ParseUint(port, 10, 16)
	return err == nil && badPort == nil && number > 0 && host != "" && len(address) <= longest
}
