package worker

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	randv2 "math/rand/v2"
	"net/netip"
	"os"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/sampler"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Spec describes workerd to package daemon.
func Spec() daemon.Spec[Config] {
	return daemon.Spec[Config]{
		Name:        model.DaemonWorker,
		DisplayName: "Cloudless worker",
		Summary:     "measures this host and streams what it finds to the fleet's collector",
		Default:     DefaultConfig,
		LogConfig:   func(c Config) daemon.LogConfig { return c.Log },
		Run:         Run,
		Unit:        daemon.Unit{User: "cloudless-workerd", ReadsHost: true},
	}
}

// worker is what a running workerd is made of.
type worker struct {
	sampler      *sampler.Sampler
	spool        *spool.Spool
	client       *stream.Client
	responder    *discovery.Responder
	registration *registration
	build        daemon.Build
}

// Run is workerd until ctx ends or a part fails.
func Run(ctx context.Context, cfg Config, p *daemon.Process[Config]) error {
	credentials, err := trust.Load(cfg.TLS, time.Now)
	if err != nil {
		return err
	}
	id, ok := credentials.Identity().WorkerID()
	if !ok {
		return model.Fieldf("tls.cert", "%q: certificate of the role %s, want %s", cfg.TLS.Cert, credentials.Identity().Role, trust.RoleWorker)
	}
	w := &worker{build: p.Build}

	var random [16]byte
	rand.Read(random[:]) // never fails
	w.spool, err = spool.New(cfg.Spool, model.BootIDFrom(random), time.Now)
	if err != nil {
		return err
	}
	w.client, err = stream.NewClient(cfg.Stream, stream.ClientDeps{
		Source: heardSource{w.spool, func() { w.registration.alive() }},
		Connect: stream.TLSConnect(func() *tls.Config {
			return credentials.Client(trust.RoleCollector, stream.ALPN)
		}),
		Now: time.Now, Random: randv2.Float64, Log: p.Log,
	})
	if err != nil {
		return err
	}
	p.OnReload(w.reloadCertificates(credentials))
	w.registration = newRegistration(identity{
		id: id, fleet: credentials.Identity().Fleet, hostname: cfg.Hostname, kernel: os.Hostname, address: cfg.Registration.AdvertiseAddress,
		keepAlive: cfg.Registration.KeepAlive, version: p.Build.Version,
	}, cfg.Registration.policy(), w.connect, component(p.Log, "registration"), time.Now)
	w.responder, err = discovery.NewResponder(cfg.Discovery,
		discovery.ResponderDeps{Handler: w.registration, Logger: p.Log})
	if err != nil {
		return err
	}
	p.Teardown.AddClose("responder", w.responder.Close)
	w.registration.self.port = w.responder.Addr().Port()
	w.sampler, err = sampler.New(cfg.Sampling, kernel.Host(),
		sampler.Deps{Log: p.Log, Now: time.Now, Worker: id, Self: func() []model.Metric { return w.metrics() }})
	if err != nil {
		return err
	}
	p.Teardown.AddClose("sampler", w.sampler.Close)

	// The stream stops after the sampler, so that the last round still goes out.
	p.Go("stream", w.client.Run)
	p.Go("sampling", func(ctx context.Context) error { return w.sampler.Run(ctx, w.spool) })
	p.Go("registration", w.registration.run)
	p.Go("responder", w.responder.Run)
	p.Log.Info("working", "fleet", credentials.Identity().Fleet, logkey.Worker, id, logkey.Listen, w.responder.Addr().String(),
		"interval", cfg.Sampling.Interval)
	p.Watch("sampling", roundsGoOn(func() uint64 { return w.sampler.Stats().Rounds }, cfg.Sampling.Interval, time.Now))
	p.Ready()
	return p.Wait(ctx)
}

// reloadCertificates reads the certificates again: the next connection uses
// them, and a stream that was refused tries at once.
func (w *worker) reloadCertificates(credentials *trust.Credentials) daemon.Reloader[Config] {
	return daemon.Reloader[Config]{Name: "certificates", Keys: []string{"tls"},
		Prepare: func(_ context.Context, next Config) (func(), error) {
			apply, err := credentials.Prepare(next.TLS)
			if err != nil {
				return nil, err
			}
			return func() { apply(); w.client.Retry() }, nil
		}}
}

// connect tells the stream where the collector is. It does not block, and calls
// nothing back.
func (w *worker) connect(to netip.AddrPort) {
	if !to.IsValid() {
		w.client.SetEndpoint("")
		return
	}
	w.client.SetEndpoint(to.String())
}

// heardSource is the spool, telling besides that the collector is alive.
type heardSource struct {
	*spool.Spool
	heard func()
}

var _ stream.Source = heardSource{}

func (s heardSource) Acked(through uint64) {
	s.Spool.Acked(through)
	s.heard()
}

func component(log *slog.Logger, name string) *slog.Logger {
	return log.With(logkey.Component, name)
}
