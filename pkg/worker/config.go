package worker

import (
	"errors"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/sampler"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Config is workerd.toml.
type Config struct {
	// Hostname is what the fleet is told; empty: the kernel's.
	Hostname     string                    `toml:"hostname"`
	TLS          trust.Files               `toml:"tls"`
	Registration RegistrationConfig        `toml:"registration"`
	Discovery    discovery.ResponderConfig `toml:"discovery"`
	Sampling     sampler.Config            `toml:"sampling"`
	Spool        spool.Config              `toml:"spool"`
	Stream       stream.ClientConfig       `toml:"stream"`
	Log          daemon.LogConfig          `toml:"log"`
}

// RegistrationConfig says how the worker presents itself.
type RegistrationConfig struct {
	// KeepAlive is the lease that the worker asks for: after such a silence the
	// fleet takes it for gone.
	KeepAlive time.Duration `toml:"keep_alive"`
	// AdvertiseAddress is where the coordinator answers, when it is not the
	// address that the kernel takes to reach it.
	AdvertiseAddress netip.Addr `toml:"advertise_address"`
}

// DefaultConfig returns what an empty file means.
func DefaultConfig() Config {
	return Config{
		TLS:          trust.FilesIn(trust.DefaultDir, trust.RoleWorker),
		Registration: RegistrationConfig{KeepAlive: 30 * time.Second},
		Discovery:    discovery.DefaultResponderConfig(),
		Sampling:     sampler.DefaultConfig(),
		Spool:        spool.DefaultConfig(),
		Stream:       stream.DefaultClientConfig(),
		Log:          daemon.DefaultLogConfig(),
	}
}

// Validate names every key that is wrong.
func (c Config) Validate() error {
	return errors.Join(
		model.InSection("tls", c.TLS.Validate()),
		model.InSection("registration", c.Registration.Validate()),
		model.InSection("discovery", c.Discovery.Validate()),
		model.InSection("sampling", c.Sampling.Validate()),
		model.InSection("spool", c.Spool.Validate()),
		model.InSection("stream", c.Stream.Validate()),
		model.InSection("log", c.Log.Validate()))
}

// Validate names the first key that is wrong.
func (c RegistrationConfig) Validate() error {
	if c.KeepAlive < time.Second || c.KeepAlive > crm.MaxPeriod || c.KeepAlive%time.Millisecond != 0 {
		return model.Fieldf("keep_alive", "%s: want whole milliseconds from 1s to %s", c.KeepAlive, crm.MaxPeriod)
	}
	if a := c.AdvertiseAddress; a.IsValid() && (a.Zone() != "" || a.IsMulticast() || a.IsUnspecified()) {
		return model.Fieldf("advertise_address", "%v: want the address of this host, without a zone", a)
	}
	return nil
}
