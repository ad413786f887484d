package coordinator

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/api/member"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust/authority"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
)

// Names of files in the state folder; those of packages registry and admission
// are theirs.
const (
	revokedFile = "revoked.json"
	auditFile   = "audit.jsonl"
)

// Spec describes coordinatord to package daemon.
func Spec() daemon.Spec[Config] {
	return daemon.Spec[Config]{
		Name:        model.DaemonCoordinator,
		DisplayName: "Cloudless coordinator",
		Summary:     "lets machines into a fleet and keeps the register of its workers",
		Default:     DefaultConfig,
		LogConfig:   func(c Config) daemon.LogConfig { return c.Log },
		Run:         Run,
		Unit:        daemon.Unit{User: "cloudless-coordinatord", OpenFiles: 65_536},
	}
}

// coordinator is what a running coordinatord is made of.
type coordinator struct {
	home        *home
	desk        *admission.Desk
	registry    *registry.Registry
	revoked     *revocation.List
	diary       *audit.Log
	registrar   *discovery.Registrar
	sessions    *sessions
	collectors  *collectors
	connections *connections // of the TCP port
	locals      *connections // of the unix socket
	guard       *guard
	channel     *member.Handlers
	http        *middleware.Stack
	enrol       admission.Config
	build       daemon.Build
	log         *slog.Logger
	now         func() time.Time
	// dialAddresses is what join tokens tell workers to dial.
	dialAddresses func() []string

	stepping    sync.Mutex    // one step of a roll-over at a time
	revision    atomic.Uint64 // of the newest plan
	rekeyed     *recently     // workers whose copies were told to re-key
	waiting     *recently     // pairing codes of machines that wait
	auditErrors atomic.Uint64

	// ProbeAck that could not be answered, by reason.
	withoutID, withoutPort atomic.Uint64
}

// Run is coordinatord until ctx ends or a part fails.
func Run(ctx context.Context, cfg Config, p *daemon.Process[Config]) error {
	defer lean(os.Getenv)()
	c, err := open(cfg, p.Build, p.Log, p.Teardown, time.Now)
	if err != nil {
		return err
	}
	p.OnReloaded(c.noteReload)
	tcp, err := c.start(cfg, p.Log, p.Teardown, p.Go)
	if err != nil {
		return err
	}
	p.Log.Info("coordinating", "fleet", c.home.Fleet(), "authority", c.home.Fingerprint().String(), "udp", c.registrar.Addr().String(),
		"tcp", tcp.String(), "socket", cfg.Control.Socket, "members", len(c.desk.Members()), "workers", len(c.registry.Workers()))
	p.Ready()
	return p.Wait(ctx)
}

// garbage is how much garbage there may be before it is collected, in percent of
// what is live. Nearly all of that are sessions, which last, and there is little
// garbage. More: less work. Less: less memory; 100, 50 and 25 are 99, 78 and 70 KiB
// for each session (docs/performance.md).
const garbage = 50

// lean sets how eagerly garbage is collected, unless the environment does, and
// returns what sets it back.
func lean(environ func(string) string) (restore func()) {
	if environ("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(garbage)
	return func() { debug.SetGCPercent(before) }
}

// start opens the ports and starts all parts, by run. It returns the address of
// the TCP port.
func (c *coordinator) start(cfg Config, log *slog.Logger, teardown *daemon.Teardown, run func(string, func(context.Context) error)) (net.Addr, error) {
	var err error
	c.registrar, err = discovery.NewRegistrar(cfg.Discovery, discovery.RegistrarDeps{Register: c.register,
		Judge: c.judge, Screen: c.home.verifier.Screen, Seal: c.home.seal, Logger: log, Now: c.now})
	if err != nil {
		return nil, err
	}
	teardown.AddClose("registrar", c.registrar.Close)
	ports, err := c.listen(cfg.Control, teardown)
	if err != nil {
		return nil, err
	}
	run("registry", c.registry.Run)
	run("admission", c.desk.Run)
	run("authority", c.home.run)
	run("revocation", c.cutRevoked)
	run("revocation list", c.pruneRevoked)
	run("registrar", c.registrar.Run)
	for _, port := range ports {
		run(port.name, port.serve)
	}
	return ports[0].listener.Addr(), nil
}

// open opens everything that is kept on disk; teardown closes it. The registry is
// first: its lock keeps a second process out of the folder.
func open(cfg Config, build daemon.Build, log *slog.Logger, teardown *daemon.Teardown, now func() time.Time) (*coordinator, error) {
	c := &coordinator{build: build, log: component(log, "coordinator"), now: now, enrol: cfg.Enrol, sessions: newSessions(),
		collectors: newCollectors(now), connections: newConnections(cfg.Control.MaxConnections, cfg.Control.MaxStrangers),
		locals: newConnections(maxLocals, maxLocalStrangers), rekeyed: newRecently(time.Hour, maxRecent), waiting: newRecently(10*time.Minute, maxRecent),
		dialAddresses: func() []string { return cfg.Control.Addresses }}
	var err error
	c.registry, err = registry.Open(cfg.StateDirectory, cfg.Registry, registry.Deps{Logger: component(log, "registry"), Now: now})
	if err != nil {
		return nil, err
	}
	teardown.AddClose("registry", c.registry.Close)
	if c.diary, err = audit.Open(filepath.Join(cfg.StateDirectory, auditFile), cfg.Audit, now); err != nil {
		return nil, err
	}
	teardown.AddClose("audit log", c.diary.Close)
	if c.home, err = openHome(cfg, component(log, "authority"), now); err != nil {
		return nil, err
	}
	if err := c.greet(); err != nil {
		return nil, err
	}
	if c.revoked, err = revocation.Open(filepath.Join(cfg.StateDirectory, revokedFile)); err != nil {
		return nil, err
	}
	c.home.credentials.Refuse(c.revoked.Check)
	c.desk, err = admission.Open(cfg.StateDirectory, cfg.Enrol, admission.Deps{Logger: component(log, "admission"), Now: now, Authority: c.home,
		Revoked: c.isRevoked, OnSession: func(id model.WorkerID, boot model.BootID) { c.registry.SetBoot(id, boot) }})
	if err != nil {
		return nil, err
	}
	teardown.AddClose("admission", c.desk.Close)
	c.introduce()
	c.http = middleware.New(cfg.Control.HTTP, component(log, "control"), now)
	c.guard = &guard{refuse: c.revoked.Check, issued: c.home.issued, keyOf: c.desk.Key, log: component(log, "control"), now: now, socket: ruleOf(cfg.Control)}
	return c, nil
}

// maxRecent bounds what is remembered to be told once.
const maxRecent = 4096

// greet tells of a fleet that was made just now.
func (c *coordinator) greet() error {
	if !c.home.created {
		return nil
	}
	err := c.write(audit.Entry{What: audit.FleetCreate, Who: model.DaemonCoordinator, On: c.home.Fleet(), OK: true,
		More: map[string]string{"authority": c.home.Fingerprint().String()}})
	c.log.Info("fleet created", "fleet", c.home.Fleet(), "authority", c.home.Fingerprint().String(),
		"admin_secret_file", authority.AdminSecretFile(c.home.dir))
	return err
}

// introduce tells the registry what it does not keep itself.
func (c *coordinator) introduce() {
	for _, m := range c.desk.Members() {
		c.registry.SetBoot(m.ID, m.Boot)
		c.registry.SetLabels(m.ID, m.Labels)
		if w, known := c.registry.Worker(m.ID); known && w.State != model.Left && c.isRevoked(m.ID, m.Fingerprint) {
			c.registry.Leave(m.ID) // a crash came in between
		}
	}
}

// noteReload writes how a reload ended into the audit log.
func (c *coordinator) noteReload(err error) {
	c.note(audit.ReloadEntry(err))
}

func component(log *slog.Logger, name string) *slog.Logger {
	return log.With(logkey.Component, name)
}
