package coordinator

import (
	"errors"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Config is coordinatord.toml.
type Config struct {
	// StateDirectory holds registry.db, the memory of all workers: about 1 KiB
	// for each. Without it every worker registers again, and names may change.
	// It belongs to one process at a time.
	StateDirectory string `toml:"state_directory"`
	// TLS names the coordinator's certificate.
	TLS trust.Files `toml:"tls"`
	// Control says where collectord and operators reach the coordinator.
	Control ControlConfig `toml:"control"`
	// Discovery says how workers are heard and answered.
	Discovery discovery.RegistrarConfig `toml:"discovery"`
	// Registry says for how long and how many workers are kept.
	Registry registry.Config `toml:"registry"`
	// Log says what is logged, and how.
	Log daemon.LogConfig `toml:"log"`
}

// ControlConfig says where collectord and operators reach the coordinator.
type ControlConfig struct {
	// Listen is the TCP address, "host:port", of the control API (HTTPS, fleet
	// certificates only). An empty host listens on all addresses of this host;
	// "127.0.0.1:10100" is enough when collectord runs on it, too.
	Listen string `toml:"listen"`
	// HTTP bounds what a client may take from the server.
	HTTP middleware.Config `toml:"http"`
}

// DefaultConfig returns what an empty file means.
func DefaultConfig() Config {
	return Config{
		StateDirectory: "/var/lib/cloudless/" + model.DaemonCoordinator,
		TLS:            trust.FilesIn(trust.DefaultDir, trust.RoleCoordinator),
		Control: ControlConfig{
			Listen: fmt.Sprintf(":%d", model.PortCoordinator),
			HTTP:   middleware.DefaultConfig(),
		},
		Discovery: discovery.DefaultRegistrarConfig(),
		Registry:  registry.DefaultConfig(),
		Log:       daemon.DefaultLogConfig(),
	}
}

// Validate names every key that is wrong.
func (c Config) Validate() error {
	var directory error
	if c.StateDirectory == "" {
		directory = model.Fieldf("state_directory", "want a folder")
	}
	return errors.Join(directory,
		model.InSection("tls", c.TLS.Validate()),
		model.InSection("control", c.Control.Validate()),
		model.InSection("discovery", c.Discovery.Validate()),
		model.InSection("registry", c.Registry.Validate()),
		model.InSection("log", c.Log.Validate()))
}

// Validate names every key that is wrong.
func (c ControlConfig) Validate() error {
	var timeout error
	if c.HTTP.Timeout <= api.MaxWait {
		timeout = model.Fieldf("http.timeout", "%s: want more than %s, for which collectord may wait for news",
			model.FormatDuration(c.HTTP.Timeout), model.FormatDuration(api.MaxWait))
	}
	return errors.Join(
		model.FieldListen("listen", c.Listen),
		model.InSection("http", c.HTTP.Validate()),
		timeout)
}
