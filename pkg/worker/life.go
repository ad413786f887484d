package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/sampler"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// life is all that is done under one identity in one fleet: measuring, keeping,
// streaming, and the registration. Another identity is another life, with a new
// boot; the spool drops what it finds of the one before: nothing that was measured
// under one name is ever sent under another.
type life struct {
	id           model.WorkerID
	fleet        string
	sampler      *sampler.Sampler
	spool        *spool.Spool
	client       *stream.Client
	registration *registration
	gate         *gate
	stop         []func() // last in, first out
	failed       chan error
}

// begin starts a life.
func (w *worker) begin(id model.WorkerID, fleet string) (_ *life, err error) {
	l := &life{id: id, fleet: fleet, failed: make(chan error, 4)}
	defer func() {
		if err != nil {
			l.end()
		}
	}()
	var random [16]byte
	rand.Read(random[:]) // never fails
	l.spool, err = spool.Open(w.cfg.Spool, spool.Deps{Dir: w.state.path(spoolFolder), Boot: model.BootIDFrom(random),
		Worker: id, Fleet: fleet, HostStarted: hostStarted(w.env.kernel), Log: w.log, Now: w.env.now})
	if err != nil {
		return nil, err
	}
	l.stop = append(l.stop, func() {
		if err := l.spool.Close(); err != nil {
			w.log.Warn("cannot close the spool in an orderly way", logkey.Err, err)
		}
	})
	l.client, err = stream.NewClient(w.cfg.Stream, stream.ClientDeps{
		Supply:  supply{l.spool, func() { l.registration.alive() }},
		Connect: w.toCollector, Now: w.env.now, Random: w.env.jitter, Log: w.log,
	})
	if err != nil {
		return nil, err
	}
	l.gate = &gate{steer: l.client.SetEndpoint}
	self := w.self
	self.id, self.fleet = id, fleet
	l.registration = newRegistration(self, w.cfg.Registration.policy(), l.gate.registered, component(w.log, "registration"), w.env.now)
	l.registration.admitted, l.registration.fallback = l.gate.isOpen, l.gate.planned
	l.sampler, err = sampler.New(w.cfg.Sampling, w.env.kernel,
		sampler.Deps{Log: w.log, Now: w.env.now, Worker: id, Self: func() []model.Metric { return w.metrics(l) }})
	if err != nil {
		return nil, err
	}
	l.stop = append(l.stop, func() { _ = l.sampler.Close() })
	// The stream stops after the sampler, so that the last round still goes out.
	l.run(l.spool.Run)
	l.run(l.client.Run)
	l.run(l.registration.run)
	l.run(func(ctx context.Context) error { return l.sampler.Run(ctx, l.spool) })
	w.port.life.Store(l)
	return l, nil
}

// hostStarted is when the host was started; zero if the kernel does not say.
func hostStarted(fs kernel.FS) time.Time {
	file := fs.ProcFile("stat")
	defer file.Close()
	content, err := file.Read(nil)
	var stat kernel.Stat
	if err != nil || kernel.ParseStat(content, &stat) != nil || stat.BootTime == 0 {
		return time.Time{}
	}
	return time.Unix(int64(stat.BootTime), 0)
}

// toCollector makes a connection with the newest credentials.
func (w *worker) toCollector(ctx context.Context, addr string) (net.Conn, error) {
	credentials := w.credentials.Load()
	if credentials == nil {
		return nil, errors.New("no certificate")
	}
	raw, err := w.env.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return stream.Handshake(ctx, raw, addr, credentials.Client(trust.RoleCollector, stream.ALPN))
}

// run starts a part, and lets end stop it and wait for it.
func (l *life) run(part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := part(ctx); err != nil && ctx.Err() == nil {
			select {
			case l.failed <- err:
			default: // the first ones tell enough
			}
		}
	}()
	l.stop = append(l.stop, func() { cancel(); <-done })
}

// end stops everything: the last round is sent first, as far as the stream's
// stop_timeout allows.
func (l *life) end() {
	for len(l.stop) > 0 {
		last := len(l.stop) - 1
		l.stop[last]()
		l.stop = l.stop[:last]
	}
}

// drop is end for a life that must not send another record.
func (l *life) drop() {
	l.gate.close()
	l.end()
}

// gate lets the stream go where the registration says, while this process is
// admitted. Safe for concurrent use.
type gate struct {
	steer func(endpoint string) // must not block

	mu        sync.Mutex // held while steering, so that the last word counts
	open      bool
	to        netip.AddrPort // where the registration wants the stream
	collector netip.AddrPort // where the plan wants it, for when the registration does not know
}

func (g *gate) change(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	if g.open && g.to.IsValid() {
		g.steer(g.to.String())
	} else {
		g.steer("")
	}
}

func (g *gate) admit(collector netip.AddrPort) {
	g.change(func() { g.open, g.collector = true, collector })
}

func (g *gate) close() { g.change(func() { g.open = false }) }

// registered takes where the stream goes by the registration; the zero value
// means nowhere.
func (g *gate) registered(to netip.AddrPort) { g.change(func() { g.to = to }) }

func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

func (g *gate) planned() netip.AddrPort {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.collector
}
