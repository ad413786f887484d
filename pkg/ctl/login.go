package ctl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// loginTTL is how long a login lasts: somebody who has left is out after that
// time even if nobody has thought of his token.
const loginTTL = 30 * 24 * time.Hour

// adminUser is the name that goes with the admin secret.
const adminUser = "admin"

func (c *command) login(ctx context.Context, args []string) error {
	set := c.flags("login")
	config := set.String("config", "", "settings `file` (default "+configPath+", which need not exist)")
	user := set.String("user", "", "`name` of the user (default: asked for, or "+adminUser+")")
	authority := set.String("authority", "", "`fingerprint` of the fleet's authority, as `cloudlessctl fleet` on the servers' host shows it")
	ttl := set.Duration("ttl", loginTTL, "`time` for which the login lasts")
	rest, err := c.parse(set, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 1:
		return usagef("unexpected argument %q", rest[1])
	case *ttl <= 0:
		return usagef("--ttl %s: want more than 0s", model.FormatDuration(*ttl))
	}
	var pinned trust.Fingerprint
	if *authority != "" {
		if pinned, err = trust.ParseFingerprint(*authority); err != nil {
			return usagef("--authority: %v", err)
		}
	}
	r := &reach{config: *config}
	if err := r.read(); err != nil {
		return err
	}
	former := r.login
	address, err := loginAddress(rest, *r.settings, former)
	if err != nil {
		return err
	}
	known, err := c.recognise(ctx, address, pinned, former)
	if err != nil {
		return err
	}
	name, password, err := c.loginName(ctx, *user, former)
	if err != nil {
		return err
	}
	made, err := logIn(ctx, address, known, api.Login{Name: name, Password: password}, *ttl)
	if err != nil {
		return err
	}
	if err := made.write(); err != nil {
		return err
	}
	if former != nil && former.TokenID != made.TokenID {
		_ = revokeLogin(ctx, former) // nobody has it any more; it ends by itself
	}
	fmt.Fprintf(c.Out, "Logged in to fleet %q as %s (%s), until %s.\n", made.Fleet, made.User, made.Scope, when(made.Expires))
	return nil
}

func loginAddress(rest []string, settings Config, former *login) (string, error) {
	switch {
	case len(rest) == 1:
		return addressOf(rest[0])
	case settings.Collector != "":
		return strings.TrimSuffix(settings.Collector, "/"), nil
	case former != nil:
		return former.Collector, nil
	}
	return "", usagef("want the address of collectord, like https://collector:%d", model.PortCollector)
}

// recognise makes sure that the server at address is the collector of the fleet
// that was meant: by an authority that was given, that was pinned by the former
// login, or that somebody has confirmed. No secret was sent before.
func (c *command) recognise(ctx context.Context, address string, given trust.Fingerprint, former *login) (*pins, error) {
	w := way{route: route{daemon: model.DaemonCollector, address: address}}
	if given.IsZero() && former != nil && former.Collector == address {
		w.login = former
		known := newPins(former.Fleet, former.Authorities...)
		_, err := identity(ctx, address, known.client())
		switch {
		case err == nil:
			return known, nil
		case !errors.Is(err, trust.ErrPin):
			return nil, w.explain(err)
		}
		fmt.Fprintf(c.Err, "%s does not show the authority any more that you trusted when you logged in as %s to fleet %q.\n"+
			"Its fleet may have a new one. Somebody may also stand between you and it.\n", address, former.User, former.Fleet)
	}
	// Whoever answers may claim anything now; the next connection proves it.
	claim, err := identity(ctx, address, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true})
	if err != nil {
		return nil, w.explain(err)
	}
	if err := trust.CheckFleet(claim.Fleet); err != nil || len(claim.Authorities) == 0 || len(claim.Authorities) > maxPins {
		return nil, fmt.Errorf("%s: it is not a collectord that can be logged in to", address)
	}
	known := newPins(claim.Fleet, claim.Authorities...)
	if !given.IsZero() {
		if !slices.Contains(claim.Authorities, given) {
			return nil, fmt.Errorf("%s: it says to be of fleet %q with the authority\n  %s\nwhich is not the one that you gave: nothing was sent to it",
				address, claim.Fleet, claim.Authorities[0])
		}
		known = newPins(claim.Fleet, given)
	}
	if _, err := identity(ctx, address, known.client()); err != nil {
		return nil, w.explain(err)
	}
	if given.IsZero() {
		return known, c.confirm(ctx, address, claim.Fleet, known.vouched())
	}
	return known, nil
}

// confirm has somebody compare the authority.
func (c *command) confirm(ctx context.Context, address, fleet string, authority trust.Fingerprint) error {
	who := c.terminal()
	if who == nil {
		return fmt.Errorf("%s: not known yet, and no terminal to ask at\n"+
			"--authority FINGERPRINT says that you trust it; `cloudlessctl fleet` on the servers' host shows the fingerprint", address)
	}
	fmt.Fprintf(c.Err, "%s belongs to fleet %q with the authority\n  %s\nCompare it with what `cloudlessctl fleet` on the servers' host shows.\n", address, fleet, authority)
	answer, err := who.Ask(ctx, "Is it the same? [yes/no] ")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "yes" && answer != "y" {
		return errors.New("not confirmed: nothing was sent to it")
	}
	return nil
}

// identity asks who the server is.
func identity(ctx context.Context, address string, config *tls.Config) (api.FleetIdentity, error) {
	h := httpClient(config, "")
	defer h.CloseIdleConnections()
	client, err := api.NewClient(address, h)
	if err != nil {
		return api.FleetIdentity{}, err
	}
	return client.Identity(ctx)
}

// loginName finds out who logs in.
func (c *command) loginName(ctx context.Context, name string, former *login) (user, password string, err error) {
	if name == "" {
		name = adminUser
		if former != nil && former.User != "" {
			name = former.User
		}
		if who := c.terminal(); who != nil {
			typed, err := who.Ask(ctx, fmt.Sprintf("User [%s]: ", name))
			if err != nil {
				return "", "", err
			}
			if typed = strings.TrimSpace(typed); typed != "" {
				name = typed
			}
		}
	}
	password, err = c.password(ctx, "Password of "+name, false)
	return name, password, err
}

// logIn makes an API token by way of a session, which ends at once.
func logIn(ctx context.Context, address string, known *pins, who api.Login, ttl time.Duration) (*login, error) {
	w := way{route: route{daemon: model.DaemonCollector, address: address}}
	h := httpClient(known.client(), "")
	defer h.CloseIdleConnections()
	client, err := api.NewClient(address, h)
	if err != nil {
		return nil, err
	}
	principal, session, err := client.Login(ctx, who.Name, who.Password)
	if refused, ok := errors.AsType[*api.Error](err); ok && refused.Status == http.StatusUnauthorized {
		return nil, err // it says what is wrong; logging in is what was tried
	}
	if err != nil {
		return nil, w.explain(err)
	}
	client = client.WithSession(session)
	defer func() { _ = client.Logout(ctx) }()
	token, err := client.CreateAPIToken(ctx, api.APITokenRequest{Name: "cloudlessctl on " + hostname(), Scope: principal.Scope, TTL: ttl.Milliseconds()})
	if err != nil {
		return nil, w.explain(err)
	}
	return &login{Version: loginVersion, Collector: address, Fleet: known.fleet, Authorities: known.authorities(),
		User: principal.Name, Scope: string(principal.Scope), TokenID: token.ID, Token: token.Token, Expires: token.Expires}, nil
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "a host without name"
	}
	return name
}

func (c *command) logout(ctx context.Context, args []string) error {
	if err := c.parseAll(c.flags("logout"), args); err != nil {
		return err
	}
	l, err := readLogin()
	if err != nil {
		return err
	}
	if l == nil {
		fmt.Fprintln(c.Err, "You are not logged in.")
		return nil
	}
	if err := l.forget(); err != nil {
		return err
	}
	if err := revokeLogin(ctx, l); err != nil {
		return fmt.Errorf("the login is removed here, but its API token %s could not be revoked: %w\nIt ends on %s; `cloudlessctl api-token revoke %s` ends it before",
			l.TokenID, err, when(l.Expires), l.TokenID)
	}
	fmt.Fprintf(c.Out, "Logged out of fleet %q.\n", l.Fleet)
	return nil
}

// revokeLogin ends the API token of a login. One that has ended by itself is no
// error.
func revokeLogin(ctx context.Context, l *login) error {
	w := way{route: route{daemon: model.DaemonCollector, address: l.Collector, login: l}}
	h := httpClient(newPins(l.Fleet, l.Authorities...).client(), l.Token)
	defer h.CloseIdleConnections()
	client, err := api.NewClient(l.Collector, h)
	if err != nil {
		return err
	}
	err = client.RevokeAPIToken(ctx, l.TokenID)
	if refused, ok := errors.AsType[*api.Error](err); ok && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusNotFound) {
		return nil
	}
	return w.explain(err)
}
