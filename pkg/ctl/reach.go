package ctl

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// requestTimeout bounds one request, the answer included.
const requestTimeout = 2 * time.Minute

// localBase is the address behind a unix socket.
const localBase = local.BaseURL

// reach finds the daemons for a verb, by its options, the settings and the login.
type reach struct {
	config, collector string
	sockets           map[string]*string // by daemon

	settings *Config // read at the first use
	login    *login
	pins     *pins // of the login, when it was used
}

// reaching adds the options by which a verb finds the daemons that it needs.
func reaching(set *flag.FlagSet, daemons ...string) *reach {
	r := &reach{sockets: map[string]*string{}}
	set.StringVar(&r.config, "config", "", "settings `file` (default "+configPath+", which need not exist)")
	set.StringVar(&r.collector, "collector", "", "`address` of collectord, as in https://collector:9090 (default: from the settings, or where you have logged in)")
	for _, daemon := range daemons {
		option := map[string]string{model.DaemonCoordinator: "coordinator-socket", model.DaemonCollector: "collector-socket"}[daemon]
		r.sockets[daemon] = set.String(option, "", "unix socket `path` of "+daemon+" on this host (default from the settings)")
	}
	return r
}

// way is a route that can be gone.
type way struct {
	route
	base   string // of requests
	client *http.Client
}

// to makes the way to a daemon.
func (r *reach) to(daemon string) (way, error) {
	if err := r.read(); err != nil {
		return way{}, err
	}
	c := choices{settings: *r.settings, collector: r.collector, login: r.login, exists: pathExists}
	if socket := r.sockets[daemon]; socket != nil {
		c.socket = *socket
	}
	chosen, err := c.route(daemon)
	if err != nil {
		return way{}, err
	}
	if chosen.socket != "" {
		client := local.Client(chosen.socket)
		client.Timeout = requestTimeout
		return way{route: chosen, base: localBase, client: client}, nil
	}
	client, err := r.https(chosen)
	return way{route: chosen, base: chosen.address, client: client}, err
}

// queries makes the client of collectord's API.
func (r *reach) queries() (*api.Client, way, error) {
	w, err := r.to(model.DaemonCollector)
	if err != nil {
		return nil, way{}, err
	}
	client, err := api.NewClient(w.base, w.client)
	return client, w, err
}

// administration makes the client of coordinatord's administration, which
// collectord passes on.
func (r *reach) administration() (*api.AdminClient, way, error) {
	w, err := r.to(model.DaemonCoordinator)
	if err != nil {
		return nil, way{}, err
	}
	prefix := api.PrefixAdminCollector
	if w.socket != "" {
		prefix = api.PrefixAdminCoordinator
	}
	client, err := api.NewAdminClient(w.base, prefix, w.client)
	return client, w, err
}

func (r *reach) read() error {
	if r.settings != nil {
		return nil
	}
	from := config.Source{Path: configPath, Environ: os.Environ(), EnvPrefix: envPrefix}
	if r.config != "" {
		from.Path, from.Required = r.config, true
	}
	settings, _, err := config.Load(DefaultConfig(), from)
	if err != nil {
		return err
	}
	if r.collector != "" {
		if r.collector, err = addressOf(r.collector); err != nil {
			return usagef("--collector: %v", err)
		}
	}
	for daemon, socket := range r.sockets {
		if *socket != "" && r.collector != "" {
			return usagef("--collector and the socket of %s: want one of them", daemon)
		}
	}
	if r.login, err = readLogin(); err != nil {
		return err
	}
	r.settings = &settings
	return nil
}

// https makes the client of a collector: recognised by a certificate, and
// believed because of a certificate or a token of one's own.
func (r *reach) https(to route) (*http.Client, error) {
	files := r.settings.TLS
	if files.Cert != "" {
		credentials, err := trust.Load(trust.Files(files), time.Now)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("%w\nread it as its owner, or name a certificate of your own in [tls] of the settings", err)
		case err != nil:
			return nil, fmt.Errorf("%w\n`cloudlessctl ca issue operator` makes a certificate, [tls] in the settings says where it is; without one, `cloudlessctl login`", err)
		}
		return httpClient(credentials.Client(trust.RoleCollector), ""), nil
	}
	token, err := r.token(to)
	if err != nil {
		return nil, err
	}
	switch {
	case files.CA != "":
		config, err := trusting(files.CA)
		return httpClient(config, token), err
	case to.login != nil:
		r.pins = newPins(to.login.Fleet, to.login.Authorities...)
		return httpClient(r.pins.client(), token), nil
	}
	// As browsers do: the collector may have a certificate that all the world knows.
	return httpClient(&tls.Config{MinVersion: tls.VersionTLS13, Time: time.Now}, token), nil
}

// token is by what a program or somebody who has logged in is believed.
func (r *reach) token(to route) (string, error) {
	switch {
	case r.settings.Token != "":
		return r.settings.Token, nil
	case r.settings.TokenFile != "":
		return readToken(r.settings.TokenFile)
	case to.login != nil:
		return to.login.Token, nil
	}
	return "", fmt.Errorf("you are not logged in to %s\n`cloudlessctl login %s` logs in; programs use an API token, in the environment as %sTOKEN or by token_file in the settings",
		to.address, to.address, envPrefix)
}

func readToken(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read API token: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxLine))
	if err != nil {
		return "", fmt.Errorf("read API token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if !strings.HasPrefix(token, api.APITokenPrefix) || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("read API token: %q holds none: it begins with %s", path, api.APITokenPrefix)
	}
	return token, nil
}

// trusting recognises the collector by a file of authorities: of the fleet, or
// of whoever has made the collector's certificate for browsers.
func trusting(path string) (*tls.Config, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	if bundle, err := trust.ParseBundle(pem); err == nil {
		return bundle.Client(trust.RoleCollector, time.Now), nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load authority: %q holds no certificate in PEM", path)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Time: time.Now, RootCAs: roots}, nil
}

// httpClient sends the token with every request, and to nobody else: it follows
// no redirection.
func httpClient(config *tls.Config, token string) *http.Client {
	var transport http.RoundTripper = &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	if token != "" {
		transport = bearer{token, transport}
	}
	return &http.Client{Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// bearer puts an API token into requests.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(request)
}

// done is to be called when a verb has had its answers: a login remembers the
// fleet's new authorities. An error is not worth failing for.
func (r *reach) done() {
	if r.pins == nil || r.login == nil {
		return
	}
	if known := r.pins.authorities(); !slices.Equal(known, r.login.Authorities) {
		r.login.Authorities = known
		_ = r.login.write()
	}
}
