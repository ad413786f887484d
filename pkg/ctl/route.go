package ctl

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// route is the way to a daemon: a unix socket of this host, or the HTTPS address
// of the collector.
type route struct {
	daemon  string // that answers in the end
	socket  string // path; empty when it is by HTTPS
	address string
	login   *login // when this user has logged in there
}

// choices are what says which way to go.
type choices struct {
	settings Config
	// collector and socket are the options; empty unless given.
	collector, socket string
	// login of this user; nil when there is none.
	login *login
	// exists tells whether there is something at a path.
	exists func(path string) bool
}

// errNoWay says that nothing tells where the fleet is.
var errNoWay = errors.New("where is the fleet?")

// route goes where it was told most explicitly: options, settings, login, and
// then the socket of this host, if there is one.
func (c choices) route(daemon string) (route, error) {
	configured, usual := c.settings.CollectorSocket, defaultCollectorSocket
	if daemon == model.DaemonCoordinator {
		configured, usual = c.settings.CoordinatorSocket, defaultCoordinatorSocket
	}
	socket := route{daemon: daemon, socket: configured}
	switch {
	case c.collector != "":
		return c.https(daemon, c.collector), nil
	case c.socket != "":
		socket.socket = c.socket
		return socket, nil
	case c.settings.Collector != "":
		return c.https(daemon, c.settings.Collector), nil
	case configured != usual:
		return socket, nil
	case c.login != nil:
		return c.https(daemon, c.login.Collector), nil
	case c.exists(configured):
		return socket, nil
	}
	return route{}, fmt.Errorf("%w\n%s does not run on this host (no socket %q), and you are not logged in elsewhere.\n"+
		"`cloudlessctl login https://COLLECTOR:%d` logs in; on the servers' host start the daemons", errNoWay, daemon, configured, model.PortCollector)
}

func (c choices) https(daemon, address string) route {
	r := route{daemon: daemon, address: strings.TrimSuffix(address, "/")}
	if c.login != nil && c.login.Collector == r.address {
		r.login = c.login
	}
	return r
}

// String names the way for people.
func (r route) String() string {
	if r.socket != "" {
		return r.socket
	}
	return r.address
}

func pathExists(path string) bool {
	_, err := os.Stat(path)
	// A folder that may not be entered is no proof that nothing is in it.
	return err == nil || errors.Is(err, os.ErrPermission)
}
