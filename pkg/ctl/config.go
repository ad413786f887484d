package ctl

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Where cloudlessctl looks for its settings.
const (
	configPath = "/etc/cloudless/cloudlessctl.toml"
	envPrefix  = "CLOUDLESSCTL_"
)

// Config says which collector cloudlessctl talks to, and as whom.
type Config struct {
	// Collector is the address of collectord, as in "https://collector:9090".
	// Its certificate is checked by fleet and role, so any name will do by
	// which this machine reaches it.
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

// Validate names every key that is wrong (model.FieldError).
func (c Config) Validate() error {
	return errors.Join(checkAddress(c.Collector), model.InSection("tls", c.TLS.Validate()))
}

// checkAddress wants an address of collectord, which speaks nothing but TLS.
func checkAddress(address string) error {
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return model.Fieldf("collector", "%q: want an address like https://collector:%d", address, model.PortCollector)
	}
	return nil
}
