package ctl

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Where cloudlessctl looks for its settings.
const (
	configPath = "/etc/cloudless/cloudlessctl.toml"
	envPrefix  = "CLOUDLESSCTL_"
)

// requestTimeout bounds one request to collectord, the answer included.
const requestTimeout = 2 * time.Minute

// Config says which collector cloudlessctl talks to, and as whom.
type Config struct {
	// Collector is the address of collectord, as in "https://collector:9090".
	Collector string `toml:"collector"`
	// TLS names the operator's certificate.
	TLS trust.Files `toml:"tls"`
}

// DefaultConfig returns the settings that hold where a file is silent.
func DefaultConfig() Config {
	return Config{
		Collector: fmt.Sprintf("https://localhost:%d", model.PortCollector),
		TLS:       trust.FilesIn(trust.DefaultDir, trust.RoleOperator),
	}
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	if c.Collector == "" {
		return model.Fieldf("collector", "want an address like https://collector:%d", model.PortCollector)
	}
	return model.InSection("tls", c.TLS.Validate())
}

// connection adds the options by which every verb that talks to the fleet
// finds its collector, and returns what makes the client from them.
func connection(set *flag.FlagSet) func() (*api.Client, error) {
	path := set.String("config", "", "settings `file` (default "+configPath+")")
	collector := set.String("collector", "", "address of collectord, as in https://collector:9090 (default from the settings)")
	return func() (*api.Client, error) {
		from := config.Source{Path: configPath, Environ: os.Environ(), EnvPrefix: envPrefix}
		if *path != "" {
			from.Path, from.Required = *path, true
		}
		settings, _, err := config.Load(DefaultConfig(), from)
		if err != nil {
			return nil, err
		}
		if *collector != "" {
			settings.Collector = *collector
		}
		return newClient(settings)
	}
}

func newClient(settings Config) (*api.Client, error) {
	credentials, err := trust.Load(settings.TLS, time.Now)
	if err != nil {
		return nil, fmt.Errorf("%w (the certificate of an operator is made by `cloudlessctl ca issue operator`)", err)
	}
	transport := &http.Transport{TLSClientConfig: credentials.Client(trust.RoleCollector), ForceAttemptHTTP2: true}
	return api.NewClient(settings.Collector, &http.Client{Transport: transport, Timeout: requestTimeout})
}
