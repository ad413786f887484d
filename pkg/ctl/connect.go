package ctl

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// requestTimeout bounds one request to collectord, the answer included.
const requestTimeout = 2 * time.Minute

// connection adds the options by which every verb that talks to the fleet
// finds its collector, and returns what makes the client from them.
func connection(set *flag.FlagSet) func() (*api.Client, error) {
	path := set.String("config", "", "settings `file` (default "+configPath+", which need not exist)")
	collector := set.String("collector", "", "`address` of collectord, as in https://collector:9090 (default from the settings)")
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
			if err := checkAddress(*collector); err != nil {
				return nil, usagef("--%v", err)
			}
		}
		return newClient(settings)
	}
}

func newClient(settings Config) (*api.Client, error) {
	credentials, err := trust.Load(settings.TLS, time.Now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w\n`cloudlessctl ca issue operator` makes your certificate; [tls] in the settings says where it is", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w\nread it as its owner, or name a certificate of your own in [tls] of the settings", err)
	case err != nil:
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: credentials.Client(trust.RoleCollector), ForceAttemptHTTP2: true}
	return api.NewClient(settings.Collector, &http.Client{Transport: transport, Timeout: requestTimeout})
}

// explain adds to an error of a request what the library cannot know: what the
// operator should look at.
func explain(err error) error {
	request, failed := errors.AsType[*url.Error](err)
	if !failed {
		return err
	}
	address := request.URL
	if u, err := url.Parse(address); err == nil {
		address = u.Scheme + "://" + u.Host
	}
	operation, _ := errors.AsType[*net.OpError](err)
	_, isForeign := errors.AsType[x509.UnknownAuthorityError](err)
	_, isOther := errors.AsType[x509.HostnameError](err)
	var hint string
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer within %s", address, model.FormatDuration(requestTimeout))
	case isOther:
		hint = "\nIt is not the collectord of your fleet."
	case isForeign:
		hint = "\nIt belongs to another fleet, or the ca in your settings is not the fleet's any more."
	case operation != nil && operation.Op == "dial":
		hint = "\nIs collectord running there? --collector or the settings name another address."
	}
	return fmt.Errorf("%s: %w%s", address, request.Err, hint)
}
