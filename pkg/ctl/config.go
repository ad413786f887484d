package ctl

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Where cloudlessctl looks for its settings.
const (
	configPath = "/etc/cloudless/cloudlessctl.toml"
	envPrefix  = "CLOUDLESSCTL_"
)

// Where the daemons of this host listen for those who sit at it.
const (
	defaultCoordinatorSocket = "/run/cloudless/coordinatord/control.sock"
	defaultCollectorSocket   = "/run/cloudless/collectord/api.sock"
)

// Config says how cloudlessctl reaches the fleet, and as whom.
type Config struct {
	// Collector is the address of collectord, as in "https://collector:9090".
	// Empty: where this user has logged in, or else the sockets of this host.
	Collector string `toml:"collector"`
	// CoordinatorSocket and CollectorSocket are unix sockets of daemons on this
	// host. They know the caller by the kernel's word, so nobody has to log in.
	CoordinatorSocket string `toml:"coordinator_socket"`
	CollectorSocket   string `toml:"collector_socket"`
	// Token is an API token; TokenFile a file that holds one, for when there is
	// none. For programs: people log in.
	Token     string `toml:"token" secret:"true"`
	TokenFile string `toml:"token_file"`
	TLS       TLS    `toml:"tls"`
}

// TLS says by what the collector is recognised, and how an operator with a
// certificate proves himself. All are paths of PEM files.
type TLS struct {
	CA   string `toml:"ca"`
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// DefaultConfig returns the settings that hold where a file is silent.
func DefaultConfig() Config {
	return Config{CoordinatorSocket: defaultCoordinatorSocket, CollectorSocket: defaultCollectorSocket}
}

// Validate names every key that is wrong (model.FieldError).
func (c Config) Validate() error {
	var errs []error
	if c.Collector != "" {
		errs = append(errs, checkAddress(c.Collector))
	}
	for _, socket := range []struct{ key, path string }{
		{"coordinator_socket", c.CoordinatorSocket}, {"collector_socket", c.CollectorSocket},
	} {
		if !filepath.IsAbs(socket.path) {
			errs = append(errs, model.Fieldf(socket.key, "%q: want the whole path of a unix socket", socket.path))
		}
	}
	return errors.Join(append(errs, model.InSection("tls", c.TLS.validate()))...)
}

func (t TLS) validate() error {
	switch {
	case (t.Cert == "") != (t.Key == ""):
		missing := "key"
		if t.Cert == "" {
			missing = "cert"
		}
		return model.Fieldf(missing, "want cert and key, or neither")
	case t.Cert != "" && t.CA == "":
		return model.Fieldf("ca", "want the certificate of the fleet's authority that goes with cert")
	}
	return nil
}

// checkAddress wants an address of collectord, which speaks nothing but TLS.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return model.Fieldf("collector", "%q: want an address like https://collector:%d", address, model.PortCollector)
	}
	return nil
}

// addressOf completes what somebody has typed: "collector" is
// "https://collector:9090". With a scheme it is taken as it is.
func addressOf(typed string) (string, error) {
	address := typed
	if !strings.Contains(typed, "://") {
		address = "https://" + typed
		if u, err := url.Parse(address); err == nil && u.Host != "" && u.Port() == "" {
			u.Host = fmt.Sprintf("%s:%d", u.Host, model.PortCollector)
			address = u.String()
		}
	}
	if err := checkAddress(address); err != nil {
		return "", usagef("%q: want an address like https://collector:%d", typed, model.PortCollector)
	}
	return strings.TrimRight(address, "/"), nil
}
