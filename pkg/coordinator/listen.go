package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/api/control"
	"github.com/cloudless-fleet/cloudless/pkg/api/member"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// Bounds of the unix socket's connections.
const (
	maxLocals         = 256
	maxLocalStrangers = 256
)

// served is one of our ports with what answers there.
type served struct {
	name     string
	listener net.Listener
	handler  http.Handler
	context  func(context.Context, net.Conn) context.Context
	config   middleware.Config
	log      *slog.Logger
}

// listen opens the ports, the TCP one first.
func (c *coordinator) listen(cfg ControlConfig, teardown *daemon.Teardown) ([]served, error) {
	log := component(c.log, "control")
	tcp, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the control channel: %w", err)
	}
	teardown.AddClose("control listener", tcp.Close)
	if len(cfg.Addresses) == 0 {
		at := tcp.Addr().(*net.TCPAddr).AddrPort()
		c.dialAddresses = func() []string { return dialAddresses(at, ownAddresses()) }
	}
	mux := c.routes(cfg, log)
	secure := newHandshaker(listener{tcp, c.connections}, c.home.credentials.Server([]string{"h2", "http/1.1"}, trust.ClientOptional), log)
	ports := []served{{name: "control", listener: secure, handler: c.guard.tcp(mux), context: connContext, config: cfg.HTTP, log: log}}
	if cfg.Socket == "" {
		return ports, nil
	}
	socket, err := local.Listen(cfg.Socket)
	if err != nil {
		return nil, err
	}
	teardown.AddClose("control socket", socket.Close)
	named := func(ctx context.Context, conn net.Conn) context.Context {
		return connContext(local.ConnContext(ctx, conn), conn)
	}
	return append(ports, served{name: "socket", listener: listener{socket, c.locals}, handler: c.guard.unix(mux), context: named, config: cfg.HTTP, log: log}), nil
}

func ruleOf(cfg ControlConfig) socketRule {
	return socketRule{rule: local.Rule{AdminGroup: cfg.AdminGroup}, collectorUser: cfg.CollectorUser}
}

// routes are all paths. Both ports have the same; the guards in front tell who may
// ask for what.
func (c *coordinator) routes(cfg ControlConfig, log *slog.Logger) *http.ServeMux {
	mux := http.NewServeMux()
	c.channel = member.New(members{c}, member.Config{MaxSessions: cfg.MaxConnections},
		member.Deps{Logger: log, Now: c.now, Refuse: c.revoked.Check})
	c.channel.Register(mux, c.http.Wrap)
	readers := allow(trust.RoleCollector, trust.RoleOperator)
	handlers := control.New(controlRegistry{c}, control.Roles{
		Workers:  readers,
		Contacts: allowCollectors, // who takes the frames knows who sent them
		Stats:    readers,
	}, log, c.now)
	handlers.Register(mux, c.http.Wrap)
	handlers.RegisterTrust(mux, c.http.Wrap, collectorFeed{c}, control.TrustRoles{Revocations: allowCollectors, Hello: allowCollectors})
	rule := ruleOf(cfg)
	gate := admin.Gate{Rule: rule.rule, CollectorUser: rule.collectorUser, Refuse: c.revoked.Check}
	admin.New(office{c}, gate.Authorize, log).Register(mux, api.PrefixAdminCoordinator, c.http.Wrap)
	return mux
}

// serve answers until ctx ends.
func (s served) serve(ctx context.Context) error {
	server := &http.Server{Handler: s.handler, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), ConnContext: s.context,
		BaseContext: func(net.Listener) context.Context { return control.Stopping(ctx) }} // ends polls and sessions
	s.config.Apply(server)
	// A daemon has a session and a request or two under way. Bodies are small; a
	// connection that tells the same few headers now and then needs no table for
	// them, which would be 2 KiB for each worker.
	server.HTTP2.MaxConcurrentStreams, server.HTTP2.MaxEncoderHeaderTableSize = 64, 1
	server.HTTP2.MaxReceiveBufferPerConnection, server.HTTP2.MaxReceiveBufferPerStream = 256<<10, 64<<10
	return middleware.Serve(ctx, server, s.listener)
}

// ownAddresses are those of interfaces that are up and lead somewhere: bridges and
// pairs of containers lead to this host only.
func ownAddresses() (found []net.Addr) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, one := range interfaces {
		if one.Flags&net.FlagUp == 0 || one.Flags&net.FlagLoopback != 0 || insideOnly(one.Name) {
			continue
		}
		if addresses, err := one.Addrs(); err == nil {
			found = append(found, addresses...)
		}
	}
	return found
}
