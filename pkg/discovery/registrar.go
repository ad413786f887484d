package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
)

// RegistrarDeps is what a Registrar needs from its daemon.
type RegistrarDeps struct {
	// Register is called for every ProbeAck that is believed, one at a time, from
	// the goroutine that reads the socket: while it runs, nothing is read. It
	// returns the reply and where to send it; false stays silent. The reply
	// goes out in the dialect of the ProbeAck, and with its id when its own is
	// empty. The source is the datagram's, which anybody can forge.
	Register func(ack *crm.ProbeAck, source netip.AddrPort) (reply *crm.RegisterAck, to netip.AddrPort, ok bool)
	// Judge says which ProbeAck are believed; the others are counted and not
	// answered. nil: all of them.
	Judge Judge
	// Screen throws worthless packets away before they are parsed. Used with a
	// Judge only; nil: none.
	Screen Screen
	// Seal signs replies that have an extension. nil: they go unsigned.
	Seal   Seal
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now

	conn packetConn // nil: a real socket on cfg.Listen
}

// Registrar hears the workers' answers for a coordinator and replies to them.
type Registrar struct {
	deps RegistrarDeps
	port *port

	mu     sync.Mutex // guards what follows
	limits *limits
	stats  RegistrarStats // Listen and Send are the port's
}

// NewRegistrar checks cfg and opens the port.
func NewRegistrar(cfg RegistrarConfig, deps RegistrarDeps) (*Registrar, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("registrar: %w", err)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.conn == nil {
		conn, err := listen(cfg.Listen, cfg.ReadBuffer)
		if err != nil {
			return nil, fmt.Errorf("registrar: listen on %q: %w", cfg.Listen, err)
		}
		deps.conn = conn
	}
	r := &Registrar{deps: deps, port: newPort(deps.conn, deps.Logger.With("component", "registrar")),
		limits: newLimits(cfg.ReplyRate, cfg.ReplyRatePerAddress)}
	r.port.door = newDoor(deps.Judge, deps.Screen, judgedPerReply*cfg.ReplyRatePerAddress, deps.Now)
	r.port.seal = deps.Seal
	return r, nil
}

// Addr is where the Registrar listens.
func (r *Registrar) Addr() netip.AddrPort { return r.port.addr() }

// Run hears and replies until ctx ends or Close is called; then it closes the
// port and returns nil. Call it once.
func (r *Registrar) Run(ctx context.Context) error {
	r.port.run(ctx, r.take)
	return nil
}

// Close closes the port, which ends Run. Idempotent.
func (r *Registrar) Close() error { return r.port.close() }

// Stats tells what happened so far. Safe for concurrent use.
func (r *Registrar) Stats() RegistrarStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Addresses = r.limits.len()
	s.Listen, s.Send = r.port.stats()
	return s
}

// judgedPerReply is how many ProbeAck of one address are verified for each that is
// answered: a ProbeAck is a sign of life even when the reply is withheld.
const judgedPerReply = 4

func (r *Registrar) take(p datagram) error {
	ack, ok := p.message.(*crm.ProbeAck)
	if !ok {
		return errUnexpected
	}
	if !r.port.believes(p) {
		return nil
	}
	r.mu.Lock()
	r.stats.ProbeAcks++
	r.mu.Unlock()
	reply, to, ok := r.deps.Register(ack, p.source)
	if !ok || reply == nil || !r.allow(p.source.Addr(), to.Addr()) {
		return nil
	}
	reply.Dialect = ack.Dialect
	if reply.ID == "" {
		reply.ID = ack.ID
	}
	r.port.send(reply, to, p.size)
	return nil
}

func (r *Registrar) allow(source, to netip.Addr) bool {
	r.mu.Lock()
	verdict := r.limits.allow(source, to, r.deps.Now())
	if verdict == limitedAddress {
		r.stats.LimitedAddress++
	}
	r.mu.Unlock()
	if verdict == limitedAll {
		r.port.count(func() { r.port.spoken.Limited++ })
	}
	return verdict == allowed
}
