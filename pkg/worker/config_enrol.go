package worker

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// EnrolConfig says how the worker comes into its fleet. With nothing set it asks
// the first coordinator that it hears of, and waits for an operator's approval.
type EnrolConfig struct {
	// TokenFile holds a join token; empty: $CREDENTIALS_DIRECTORY/join.token
	// (systemd's LoadCredential) or else /etc/cloudless/join.token. What `workerd
	// join` has stored goes before it. With a token the coordinator has to prove
	// that it is the right one before it is told anything, and nobody has to
	// approve.
	TokenFile string `toml:"token_file"`
	// Coordinators are asked besides those that were heard of, host or
	// host:port (TCP): for networks that no broadcast reaches. At most 16.
	Coordinators []string `toml:"coordinators"`
	// Fleet is the only fleet that is asked; empty: whichever is heard of.
	// Setting it keeps a machine out of a fleet on the same wire.
	Fleet string `toml:"fleet"`
	// Authority is the fingerprint that a coordinator of Fleet has to prove
	// before it is asked without a token. Unset, whoever answers first on a
	// hostile network takes the machine in.
	Authority trust.Fingerprint `toml:"authority"`
	// Labels are what the machine claims of itself when it asks: a fleet may
	// approve by them. They are claims; anybody can make them.
	Labels map[string]string `toml:"labels"`
}

// DefaultEnrolConfig returns what an empty section means.
func DefaultEnrolConfig() EnrolConfig {
	return EnrolConfig{Coordinators: []string{}, Labels: map[string]string{}}
}

// maxCoordinators bounds what one round of asking tries.
const maxCoordinators = 16

// Validate names every key that is wrong.
func (c EnrolConfig) Validate() error {
	var errs []error
	if len(c.Coordinators) > maxCoordinators {
		errs = append(errs, model.Fieldf("coordinators", "%d of them: want at most %d", len(c.Coordinators), maxCoordinators))
	}
	for i, text := range c.Coordinators {
		if _, err := controlAddress(text); err != nil {
			errs = append(errs, model.Fieldf(fmt.Sprintf("coordinators[%d]", i), "%w", err))
		}
	}
	if c.Fleet != "" {
		if err := trust.CheckFleet(c.Fleet); err != nil {
			errs = append(errs, model.Fieldf("fleet", "%w", err))
		}
	}
	if !c.Authority.IsZero() && c.Fleet == "" {
		errs = append(errs, model.Fieldf("authority", "want enrol.fleet beside it: a coordinator proves both"))
	}
	if err := token.CheckLabels(c.Labels); err != nil {
		errs = append(errs, model.Fieldf("labels", "%w", err))
	}
	return errors.Join(errs...)
}

// addresses are the listed coordinators as host:port.
func (c EnrolConfig) addresses() []string {
	var found []string
	for _, text := range c.Coordinators {
		if address, err := controlAddress(text); err == nil {
			found = append(found, address)
		}
	}
	return found
}

// controlAddress completes "host", "host:port", "[v6]:port" or a bare IPv6
// address with the default port of coordinatord.
func controlAddress(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), strconv.Itoa(model.PortCoordinator)
	}
	number, portErr := strconv.ParseUint(port, 10, 16)
	if portErr != nil || number == 0 || host == "" || len(host) > 253 || strings.ContainsAny(host, " \t\r\n/\\[]@?#") ||
		strings.Contains(host, ":") && net.ParseIP(strings.Split(host, "%")[0]) == nil {
		return "", fmt.Errorf("%.80q: want host or host:port", text)
	}
	return net.JoinHostPort(host, strconv.FormatUint(number, 10)), nil
}
