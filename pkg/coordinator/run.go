package coordinator

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api/control"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Spec describes coordinatord to package daemon.
func Spec() daemon.Spec[Config] {
	return daemon.Spec[Config]{
		Name:        model.DaemonCoordinator,
		DisplayName: "Cloudless coordinator",
		Summary:     "keeps the register of a fleet's workers",
		Default:     DefaultConfig,
		LogConfig:   func(c Config) daemon.LogConfig { return c.Log },
		Run:         Run,
		Unit:        daemon.Unit{User: "cloudless-coordinatord", OpenFiles: 4096},
	}
}

// coordinator is what a running coordinatord is made of.
type coordinator struct {
	registry  *registry.Registry
	registrar *discovery.Registrar
	http      *middleware.Stack
	build     daemon.Build
	now       func() time.Time

	// ProbeAck that could not be answered, by reason.
	withoutID, withoutPort atomic.Uint64
}

// Run is coordinatord until ctx ends or a part fails.
func Run(ctx context.Context, cfg Config, p *daemon.Process[Config]) error {
	c := &coordinator{build: p.Build, now: time.Now}
	credentials, err := trust.Load(cfg.TLS, c.now)
	if err != nil {
		return err
	}
	if role := credentials.Identity().Role; role != trust.RoleCoordinator {
		return model.Fieldf("tls.cert", "%q: certificate of the role %s, want %s", cfg.TLS.Cert, role, trust.RoleCoordinator)
	}
	p.OnReload(reloadCertificates(credentials))

	c.registry, err = registry.Open(cfg.StateDirectory, cfg.Registry, registry.Deps{Logger: component(p.Log, "registry"), Now: c.now})
	if err != nil {
		return err
	}
	p.Teardown.AddClose("registry", c.registry.Close)
	c.registrar, err = discovery.NewRegistrar(cfg.Discovery,
		discovery.RegistrarDeps{Register: c.register, Logger: p.Log, Now: c.now})
	if err != nil {
		return err
	}
	p.Teardown.AddClose("registrar", c.registrar.Close)
	listener, err := tls.Listen("tcp", cfg.Control.Listen,
		credentials.Server([]string{"h2", "http/1.1"}, trust.ClientRequired))
	if err != nil {
		return fmt.Errorf("listen for the control API: %w", err)
	}
	p.Teardown.AddClose("control listener", listener.Close)
	c.http = middleware.New(cfg.Control.HTTP, component(p.Log, "control"), c.now)

	p.Go("registry", c.registry.Run)
	p.Go("registrar", c.registrar.Run)
	p.Go("control", c.serveControl(listener, cfg.Control.HTTP, component(p.Log, "control")))
	p.Log.Info("coordinating", "fleet", credentials.Identity().Fleet, "udp", c.registrar.Addr().String(), "tcp", listener.Addr().String(),
		"workers", len(c.registry.Workers()))
	p.Ready()
	return p.Wait(ctx)
}

// serveControl returns the part that answers collectord and operators.
func (c *coordinator) serveControl(listener net.Listener, cfg middleware.Config, log *slog.Logger) func(context.Context) error {
	mux := http.NewServeMux()
	readers := allow(trust.RoleCollector, trust.RoleOperator)
	control.New(controlRegistry{c}, control.Roles{
		Workers:  readers,
		Contacts: allow(trust.RoleCollector), // who takes the frames knows who sent them
		Stats:    readers,
	}, log, c.now).Register(mux, c.http.Wrap)
	return func(ctx context.Context) error {
		server := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
			BaseContext: func(net.Listener) context.Context { return control.Stopping(ctx) }} // ends the long polls
		cfg.Apply(server)
		return middleware.Serve(ctx, server, listener)
	}
}

// reloadCertificates reads the certificates again: connections made from then
// on use them.
func reloadCertificates(credentials *trust.Credentials) daemon.Reloader[Config] {
	return daemon.Reloader[Config]{Name: "certificates", Keys: []string{"tls"},
		Prepare: func(_ context.Context, next Config) (func(), error) { return credentials.Prepare(next.TLS) }}
}

func component(log *slog.Logger, name string) *slog.Logger {
	return log.With(logkey.Component, name)
}
