package worker

import (
	"errors"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry/agent"
	"github.com/cloudless-fleet/cloudless/pkg/sampler"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// Config is workerd.toml.
type Config struct {
	// Hostname is the name that the fleet is told; empty: the kernel's, asked
	// anew for every answer. The first one a worker comes with becomes its
	// instance name, the label of all its series, for good; of two workers with
	// one name the second gets a number behind it.
	Hostname string `toml:"hostname"`
	// StateDirectory holds who this worker is (its id, key and certificate) and
	// how it fares. It belongs to one process and one machine: another folder is
	// another worker, with a history of its own.
	StateDirectory string `toml:"state_directory"`
	// Enrol says how the worker comes into its fleet.
	Enrol EnrolConfig `toml:"enrol"`
	// Registration says how the worker presents itself.
	Registration RegistrationConfig `toml:"registration"`
	// Discovery says how probes are heard and answered.
	Discovery discovery.ResponderConfig `toml:"discovery"`
	// Sampling says what is measured and how often.
	Sampling sampler.Config `toml:"sampling"`
	// Spool bounds what waits for the collector.
	Spool spool.Config `toml:"spool"`
	// Stream says how the connection to the collector is kept.
	Stream stream.ClientConfig `toml:"stream"`
	// Log says what is logged, and how.
	Log daemon.LogConfig `toml:"log"`
}

// RegistrationConfig says how the worker presents itself.
type RegistrationConfig struct {
	// KeepAlive is the lease that the worker asks for: after half of it in
	// silence the fleet suspects the worker, after all of it it takes it for
	// gone. Every frame and every answer to a probe is a sign of life, so less
	// than twice the shorter of their intervals (15s and 10s by default) makes
	// a healthy worker suspect between two of them. Shorter notices a dead
	// host sooner; longer bears a longer break of the network. The coordinator
	// has bounds of its own (registry.keep_alive_min and _max). 1s to 24h.
	KeepAlive time.Duration `toml:"keep_alive"`
	// AdvertiseAddress is where the coordinator answers; empty: the address
	// that the kernel takes to reach it, which is right unless addresses are
	// translated on the way. A wrong one keeps the worker from registering.
	AdvertiseAddress netip.Addr `toml:"advertise_address"`
	// CoolDown is for how long the worker answers no probe after the
	// coordinator has refused it for good. Longer: fewer fruitless packets.
	// Shorter: it is in sooner once the cause is gone. 1s to 24h.
	CoolDown time.Duration `toml:"cool_down"`
}

// DefaultConfig returns what an empty file means.
func DefaultConfig() Config {
	return Config{
		StateDirectory: "/var/lib/cloudless/" + model.DaemonWorker,
		Enrol:          DefaultEnrolConfig(),
		Registration:   RegistrationConfig{KeepAlive: 30 * time.Second, CoolDown: agent.DefaultPolicy().CoolDown},
		Discovery:      discovery.DefaultResponderConfig(),
		Sampling:       sampler.DefaultConfig(),
		Spool:          spool.DefaultConfig(),
		Stream:         stream.DefaultClientConfig(),
		Log:            daemon.DefaultLogConfig(),
	}
}

// Validate names every key that is wrong.
func (c Config) Validate() error {
	var hostname error
	if c.Hostname != "" {
		if err := crm.CheckHostname(c.Hostname); err != nil {
			hostname = model.Fieldf("hostname", "%w", err)
		}
	}
	return errors.Join(hostname,
		c.checkStateDirectory(),
		model.InSection("enrol", c.Enrol.Validate()),
		model.InSection("registration", c.Registration.Validate()),
		model.InSection("discovery", c.Discovery.Validate()),
		model.InSection("sampling", c.Sampling.Validate()),
		model.InSection("spool", c.Spool.Validate()),
		model.InSection("stream", c.Stream.Validate()),
		model.InSection("log", c.Log.Validate()))
}

func (c Config) checkStateDirectory() error {
	if c.StateDirectory == "" {
		return model.Fieldf("state_directory", "want a folder")
	}
	return nil
}

// Validate names every key that is wrong.
func (c RegistrationConfig) Validate() error {
	keepAlive := model.FieldWithin("keep_alive", c.KeepAlive, time.Second, crm.MaxPeriod)
	if c.KeepAlive%time.Millisecond != 0 { // the unit in which it travels
		keepAlive = model.Fieldf("keep_alive", "%s: want whole milliseconds", c.KeepAlive)
	}
	var address error
	if a := c.AdvertiseAddress; a.IsValid() && (a.Zone() != "" || a.IsMulticast() || a.IsUnspecified()) {
		address = model.Fieldf("advertise_address", "%s: want the address of this host, without a zone", a)
	}
	return errors.Join(keepAlive, address, model.FieldWithin("cool_down", c.CoolDown, time.Second, crm.MaxPeriod))
}

// policy is what the worker's own side of the registration goes by.
func (c RegistrationConfig) policy() agent.Policy {
	policy := agent.DefaultPolicy()
	policy.CoolDown = c.CoolDown
	return policy
}
