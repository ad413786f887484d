package coordinator

import (
	"errors"
	"fmt"
	"net"

	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Config is coordinatord.toml.
type Config struct {
	// StateDirectory holds registry.db, the memory of all workers.
	StateDirectory string                    `toml:"state_directory"`
	TLS            trust.Files               `toml:"tls"`
	Control        ControlConfig             `toml:"control"`
	Discovery      discovery.RegistrarConfig `toml:"discovery"`
	Registry       registry.Config           `toml:"registry"`
	Log            daemon.LogConfig          `toml:"log"`
}

// ControlConfig says where collectord and operators reach the coordinator.
type ControlConfig struct {
	// Listen is the TCP address of the control API (HTTPS, fleet certificates
	// only).
	Listen string            `toml:"listen"`
	HTTP   middleware.Config `toml:"http"`
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

// Validate names the first key that is wrong.
func (c ControlConfig) Validate() error {
	if _, err := net.ResolveTCPAddr("tcp", c.Listen); err != nil {
		return model.Fieldf("listen", "%q: want host:port: %w", c.Listen, err)
	}
	return model.InSection("http", c.HTTP.Validate())
}
