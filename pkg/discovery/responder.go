package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
)

// Handler decides for a worker. Its methods are called one at a time, from
// the goroutine that reads the socket: they must not block. The source is the
// sender of the datagram, which anybody can forge.
type Handler interface {
	// Probed is called for every ProbeInit that is believed. It returns the answer
	// and where to send it; false stays silent.
	Probed(probe *crm.ProbeInit, source netip.AddrPort) (Answer, bool)
	// Acknowledged is called for every RegisterAck that is believed.
	Acknowledged(ack *crm.RegisterAck, source netip.AddrPort)
}

// Answer is a worker's answer to a probe. The Responder sends it after a
// delay, in the dialect of the probe, and with the probe's id when its own is
// empty.
type Answer struct {
	To  netip.AddrPort
	Ack *crm.ProbeAck // owned by the Responder from here on
}

// ResponderDeps is what a Responder needs from its daemon.
type ResponderDeps struct {
	Handler Handler
	// Judge says which packets are believed; the others are counted and not
	// answered. nil: all of them.
	Judge Judge
	// Screen throws worthless packets away before they are parsed. Used with a
	// Judge only; nil: none.
	Screen Screen
	// Seal signs an answer when it is sent, after its delay; not from the goroutine
	// that reads. nil: answers go unsigned.
	Seal   Seal
	Logger *slog.Logger
	Now    func() time.Time                    // nil: time.Now
	Random func(n int64) int64                 // in [0,n), called by one goroutine; nil: math/rand/v2
	Look   func() (all []Interface, err error) // nil: SystemInterfaces

	conn   packetConn // nil: a real socket on cfg.Listen
	groups groups     // used when conn is set
}

// Responder hears probes and RegisterAck for a worker, and answers probes.
type Responder struct {
	cfg    ResponderConfig
	deps   ResponderDeps
	port   *port
	groups groups // nil: no multicast here
	rate   *rate.Limiter
	wake   chan struct{} // holds one when an answer was put

	mu      sync.Mutex // guards what follows
	waiting waiting
	limits  addresses      // of answers, per address that asks or is answered
	stats   ResponderStats // Listen and Send are the port's
}

// NewResponder checks cfg and opens the port.
func NewResponder(cfg ResponderConfig, deps ResponderDeps) (*Responder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("responder: %w", err)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Random == nil {
		deps.Random = rand.Int64N
	}
	if deps.Look == nil {
		deps.Look = SystemInterfaces
	}
	if deps.conn == nil {
		conn, err := listen(cfg.Listen, cfg.ReadBuffer)
		if err != nil {
			return nil, fmt.Errorf("responder: listen on %q: %w", cfg.Listen, err)
		}
		deps.conn, deps.groups = conn, groupsOf(conn, cfg.Group)
	}
	r := &Responder{cfg: cfg, deps: deps, limits: newAddresses(max(cfg.AnswerRate/2, 1)), wake: make(chan struct{}, 1),
		rate: rate.NewLimiter(rate.Limit(cfg.AnswerRate), max(cfg.AnswerRate, maxWaiting))}
	r.port = newPort(deps.conn, deps.Logger.With("component", "responder"))
	r.port.door = newDoor(deps.Judge, deps.Screen, max(judgedLeast, cfg.AnswerRate), deps.Now)
	r.port.seal = deps.Seal
	if cfg.Multicast {
		r.groups = deps.groups
	}
	return r, nil
}

// Addr is where the Responder listens.
func (r *Responder) Addr() netip.AddrPort { return r.port.addr() }

// Run hears and answers until ctx ends or Close is called; then it closes the
// port and returns nil. Answers still waiting are dropped. Call it once.
func (r *Responder) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { r.answer(ctx) })
	if r.groups != nil {
		all.Go(func() { r.keepJoined(ctx) })
	}
	r.port.run(ctx, r.take)
	return nil
}

// Close closes the port, which ends Run. Idempotent.
func (r *Responder) Close() error { return r.port.close() }

// Stats tells what happened so far. Safe for concurrent use.
func (r *Responder) Stats() ResponderStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Waiting = len(r.waiting.answers)
	s.Listen, s.Send = r.port.stats()
	return s
}

// judgedLeast is how many packets per second of one address are verified at least:
// a collector calls by every interface, and its coordinator replies.
const judgedLeast = 20

func (r *Responder) take(p datagram) error {
	switch m := p.message.(type) {
	case *crm.ProbeInit:
		if r.port.believes(p) {
			r.probed(m, p)
		}
	case *crm.RegisterAck:
		if !r.port.believes(p) {
			return nil
		}
		r.count(func(s *ResponderStats) { s.RegisterAcks++ })
		r.deps.Handler.Acknowledged(m, p.source)
	default:
		return errUnexpected
	}
	return nil
}

func (r *Responder) probed(probe *crm.ProbeInit, p datagram) {
	r.count(func(s *ResponderStats) { s.Probes++ })
	answer, ok := r.deps.Handler.Probed(probe, p.source)
	if !ok || answer.Ack == nil {
		return
	}
	answer.Ack.Dialect = probe.Dialect
	if answer.Ack.ID == "" {
		answer.Ack.ID = probe.ID
	}
	r.put(p.source.Addr(), waitingAnswer{due: r.deps.Now().Add(r.delay(probe)), to: answer.To, ack: answer.Ack, request: p.size})
}

// delay is a random time within the fleet's window.
func (r *Responder) delay(probe *crm.ProbeInit) time.Duration {
	size := 0
	if probe.Ext != nil {
		size = probe.Ext.FleetSize
	}
	return time.Duration(r.deps.Random(int64(AnswerWindow(size, r.cfg.MaxDelay)) + 1))
}

// put lets an answer wait, unless its address had too many. One address gets half
// of what all get together, so that none keeps the others from being answered.
func (r *Responder) put(source netip.Addr, a waitingAnswer) {
	r.mu.Lock()
	switch {
	case r.waiting.replace(a):
		r.stats.Replaced++ // and costs nothing
	case !r.limits.allowEach(source, a.to.Addr(), r.deps.Now()):
		r.stats.LimitedAddress++
	case !r.waiting.add(a):
		r.stats.Overflow++
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// answer sends what falls due until ctx ends.
func (r *Responder) answer(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if due, ok := r.sendDue(); ok {
			wait = due.Sub(r.deps.Now())
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// sendDue sends the answers that are due and tells when the next one is.
func (r *Responder) sendDue() (next time.Time, ok bool) {
	for {
		now := r.deps.Now()
		r.mu.Lock()
		a, due := r.waiting.take(now)
		next, ok = r.waiting.next()
		r.mu.Unlock()
		if !due {
			return next, ok
		}
		if !r.rate.AllowN(now, 1) {
			r.port.count(func() { r.port.spoken.Limited++ })
			continue
		}
		r.port.send(a.ack, a.to, a.request)
	}
}

func (r *Responder) count(change func(*ResponderStats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}
