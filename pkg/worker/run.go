package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	randv2 "math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
)

// serviceUser is who the service runs as.
const serviceUser = "cloudless-" + model.DaemonWorker

// Spec describes workerd to package daemon.
func Spec() daemon.Spec[Config] { return SpecOn(os.DirFS("/")) }

// SpecOn is Spec for a machine that is told from others by the facts below
// machine (home.ReadFacts): in tests, several machines share one host.
func SpecOn(machine fs.FS) daemon.Spec[Config] {
	return spec(environment{
		machine: machine, kernel: kernel.Host(), now: time.Now, random: rand.Reader, jitter: randv2.Float64,
		dial: (&net.Dialer{}).DialContext, getenv: os.Getenv, hostname: os.Hostname, stdin: os.Stdin,
	})
}

// environment is what workerd takes from its surroundings.
type environment struct {
	machine  fs.FS     // where the machine's facts are
	kernel   kernel.FS // what is measured
	now      func() time.Time
	random   io.Reader
	jitter   func() float64 // 0 to below 1; called by several goroutines
	dial     dialFunc
	getenv   func(string) string
	hostname func() (string, error)
	stdin    io.Reader
}

func spec(env environment) daemon.Spec[Config] {
	s := daemon.Spec[Config]{
		Name:        model.DaemonWorker,
		DisplayName: "Cloudless worker",
		Summary:     "measures this host and streams what it finds to the fleet's collector",
		Default:     DefaultConfig,
		LogConfig:   func(c Config) daemon.LogConfig { return c.Log },
		Run: func(ctx context.Context, cfg Config, p *daemon.Process[Config]) error {
			return run(ctx, env, cfg, p)
		},
		Unit: daemon.Unit{User: serviceUser, ReadsHost: true},
	}
	s.Verbs, s.Status = verbs(env), env.showStatus
	return s
}

// worker is a running workerd.
type worker struct {
	cfg   Config
	env   environment
	log   *slog.Logger
	build daemon.Build
	tell  func(text string) // the service manager's status line
	state stateDir
	facts home.Facts
	home  *home.Home
	self  identity // without id and fleet, which a life has

	port        *port
	responder   *discovery.Responder
	clock       *clock
	status      *statusBook
	credentials atomic.Pointer[trust.Credentials] // nil: none that are good
	renewals    struct{ ok, failed atomic.Uint64 }
	life        atomic.Pointer[life]

	// Of the goroutine of belong: what it was before it made itself a new
	// identity, until it is admitted under the new one.
	former *trust.Credentials
}

// run is workerd until ctx ends or a part fails.
func run(ctx context.Context, env environment, cfg Config, p *daemon.Process[Config]) error {
	w := &worker{cfg: cfg, env: env, log: p.Log, build: p.Build, tell: p.Status, state: stateDir(cfg.StateDirectory)}
	if err := w.state.make(); err != nil {
		return err
	}
	unlock, err := w.state.lock()
	if err != nil {
		return err
	}
	p.Teardown.AddClose("state folder", unlock)
	if err := w.open(); err != nil {
		return err
	}
	w.responder, err = discovery.NewResponder(cfg.Discovery, discovery.ResponderDeps{Handler: w.port, Judge: w.port.judge,
		Screen: w.port.screen, Seal: w.port.seal, Logger: p.Log, Now: env.now})
	if err != nil {
		return err
	}
	p.Teardown.AddClose("responder", w.responder.Close)
	w.self.port = w.responder.Addr().Port()

	p.Go("status file", w.status.run)
	p.Go("responder", w.responder.Run)
	p.Go("membership", w.belong)
	p.Log.Info("working", logkey.Worker, w.home.Worker(), logkey.Listen, w.responder.Addr().String(), "interval", cfg.Sampling.Interval)
	p.Watch("sampling", roundsGoOn(w.rounds(), cfg.Sampling.Interval, env.now))
	p.OnReload(w.reloadCertificates())
	// A machine that waits for approval is as ready as it can be: what starts
	// after it must not wait for a person.
	p.Ready()
	return p.Wait(ctx)
}

// open finds out who this worker is, and makes it somebody at its first start.
func (w *worker) open() error {
	w.facts = home.ReadFacts(w.env.machine)
	var err error
	if w.home, err = home.Open(string(w.state), w.facts, w.env.random, w.env.now()); err != nil {
		return err
	}
	last, err := readStatus(w.state)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("the status file of the last run is passed over", logkey.Err, err)
	}
	w.self = identity{hostname: w.cfg.Hostname, kernel: w.env.hostname, address: w.cfg.Registration.AdvertiseAddress,
		keepAlive: w.cfg.Registration.KeepAlive, version: w.build.Version[:min(len(w.build.Version), maxVersion)]}
	w.clock = &clock{log: component(w.log, "clock")}
	w.port = newPort(w.env.now, w.env.random, w.clock)
	w.status = newStatusBook(w.state, Status{PID: os.Getpid(), Worker: w.home.Worker(), Coordinator: last.Coordinator, Former: last.Former},
		w.env.now, w.log)
	w.status.refresh = w.refreshStatus
	switch w.home.Bound(w.facts) {
	case home.Copied:
		w.log.Warn("this state folder is of another machine: this one makes itself an identity of its own", logkey.Was, w.home.Worker())
		return w.rekey()
	case home.Doubtful:
		w.log.Info("this machine is hard to tell from others; the coordinator will judge", logkey.Worker, w.home.Worker())
	}
	return nil
}

// rekey makes the machine a new identity. The certificate of the former one stays
// in memory: with it, the fleet lets the new one in.
func (w *worker) rekey() error {
	former, err := trust.Load(w.home.Files(), w.env.now)
	if err != nil {
		w.log.Info("there is no good certificate of the former identity: the new one has to be let in as a new machine", logkey.Err, err)
		former = nil
	}
	was, err := w.home.Rekey(w.facts, w.env.random, w.env.now())
	if err != nil {
		return err
	}
	if former != nil { // a second time, it is still the first that the fleet knows
		w.former = former
	}
	w.credentials.Store(nil)
	w.status.update(func(s *Status) { s.Worker, s.Former = w.home.Worker(), was.String() })
	w.log.Warn("new identity", logkey.Worker, w.home.Worker(), logkey.Was, was)
	return nil
}

// tokenFiles are the places of the join token.
func (w *worker) tokenFiles() []string {
	return tokenFiles(w.cfg.Enrol, w.state, w.env.getenv("CREDENTIALS_DIRECTORY"))
}

// hostname is what the machine calls itself.
func (w *worker) hostname() string {
	if w.cfg.Hostname != "" {
		return w.cfg.Hostname
	}
	self := w.self
	self.id = w.home.Worker()
	return self.kernelName()
}

// rounds counts rounds of measurements for the watchdog; while there is nothing
// to be measured it goes on by itself. For one goroutine.
func (w *worker) rounds() func() uint64 {
	var idle uint64
	return func() uint64 {
		if l := w.life.Load(); l != nil {
			return l.sampler.Stats().Rounds
		}
		idle++
		return idle
	}
}

// reloadCertificates reads the certificates again, for an operator who has
// mended something: the next connection uses them.
func (w *worker) reloadCertificates() daemon.Reloader[Config] {
	return daemon.Reloader[Config]{Name: "certificates", Prepare: func(context.Context, Config) (func(), error) {
		credentials := w.credentials.Load()
		if credentials == nil {
			return nil, nil
		}
		apply, err := credentials.Prepare(w.home.Files())
		if err != nil {
			return nil, err
		}
		return func() {
			apply()
			if err := w.use(credentials); err != nil {
				w.log.Error("cannot use the certificate", logkey.Err, err)
			}
			if l := w.life.Load(); l != nil {
				l.client.Retry()
			}
		}, nil
	}}
}

func component(log *slog.Logger, name string) *slog.Logger {
	return log.With(logkey.Component, name)
}
