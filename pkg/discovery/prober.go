package discovery

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Announcement is what a collector tells of itself in a probe.
type Announcement struct {
	// Hostname is sealed as crm.CollectorHostname makes it.
	Hostname string
	// Ports must hold model.DaemonCoordinator, where the answers go.
	Ports []model.PortInfo
	Fleet string
	// FleetSize is how many workers are known; they delay their answers
	// accordingly. Larger than crm.MaxFleetSize counts as that.
	FleetSize int
	// Voucher is the authority's word for the beacon whose key seals the probes;
	// empty without a Seal.
	Voucher string
}

// ProberDeps is what a Prober needs from its daemon.
type ProberDeps struct {
	// Announce is called once a round, from the goroutine of Run.
	Announce func(now time.Time) Announcement
	// Seal signs each probe, from the goroutine of Run. nil: they go unsigned.
	Seal    Seal
	Logger  *slog.Logger
	Now     func() time.Time                    // nil: time.Now
	Resolve resolver                            // nil: the system's
	Look    func() (all []Interface, err error) // nil: SystemInterfaces

	wire wire // nil: real sockets
}

// Prober calls for workers on all the networks of this host.
type Prober struct {
	cfg     ProberConfig
	deps    ProberDeps
	log     *slog.Logger
	wire    wire
	targets []target
	turn    int     // whose lookup begins the round
	told    *string // the interfaces of which the log was told last; nil: nothing yet
	close   func() error

	mu    sync.Mutex // guards stats
	stats ProberStats
}

// NewProber checks cfg and opens the sockets. A host without a network is no
// error: networks are looked for every round.
func NewProber(cfg ProberConfig, deps ProberDeps) (*Prober, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("prober: %w", err)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Resolve == nil {
		deps.Resolve = net.DefaultResolver.LookupNetIP
	}
	if deps.Look == nil {
		deps.Look = SystemInterfaces
	}
	p := &Prober{cfg: cfg, deps: deps, log: deps.Logger.With("component", "prober"), wire: deps.wire}
	for _, text := range cfg.Targets {
		t, err := parseTarget(text, cfg.Port)
		if err != nil {
			return nil, fmt.Errorf("prober: targets: %w", err)
		}
		p.targets = append(p.targets, t)
	}
	if p.wire == nil {
		opened, err := openSockets()
		if err != nil {
			return nil, fmt.Errorf("prober: %w", err)
		}
		p.wire = opened
	}
	p.close = sync.OnceValue(p.wire.Close)
	return p, nil
}

// Run probes at once and then every interval until ctx ends; then it closes
// the sockets and returns nil. Call it once.
func (p *Prober) Run(ctx context.Context) error {
	defer p.close()
	tick := time.NewTicker(p.cfg.Interval)
	defer tick.Stop()
	for {
		p.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Close closes the sockets; a round under way then fails to send. Idempotent.
func (p *Prober) Close() error { return p.close() }

// Stats tells what was sent so far. Safe for concurrent use.
func (p *Prober) Stats() ProberStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats.clone()
}

func (p *Prober) round(ctx context.Context) {
	words := p.deps.Announce(p.deps.Now())
	words.FleetSize = min(max(words.FleetSize, 0), crm.MaxFleetSize)
	all, err := p.deps.Look()
	if err != nil {
		p.log.Warn("interfaces cannot be listed", "err", err)
	}
	var chosen []InterfaceStats
	var skipped []SkippedInterface
	for _, i := range all {
		if why := p.cfg.choose(i); why != "" {
			skipped = append(skipped, SkippedInterface{Name: i.Name, Why: why})
			continue
		}
		chosen = append(chosen, p.probeInterface(words, i))
	}
	if err == nil {
		p.tell(chosen, skipped)
	}
	p.mu.Lock()
	p.stats.round(chosen, skipped, err != nil)
	p.mu.Unlock()
	p.probeTargets(ctx, words)
}

// probeInterface sends all packets of one interface; what fails on it stays
// with it.
func (p *Prober) probeInterface(words Announcement, i Interface) InterfaceStats {
	done := InterfaceStats{Name: i.Name}
	for _, by := range p.cfg.routes(i) {
		if err := p.send(words, by.From, by); err != nil {
			done.Errors++
			done.LastError = err.Error()
			p.log.Warn("probe not sent", "interface", i.Name, "to", by.To, "err", err)
			continue
		}
		done.Sent++
	}
	return done
}

// probeTargets looks the listed hosts up and sends to each. The host whose
// lookup begins the round changes, so that none is always behind slow ones.
func (p *Prober) probeTargets(ctx context.Context, words Announcement) {
	if len(p.targets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Interval/targetsDeadline)
	defer cancel()
	p.turn = (p.turn + lookupsAtOnce) % len(p.targets)
	turned := append(append([]target(nil), p.targets[p.turn:]...), p.targets[:p.turn]...)
	var done TargetStats
	for _, answer := range resolve(ctx, turned, p.deps.Resolve) {
		if answer.err != nil {
			done.LookupErrors++
			p.log.Warn("probe target not found", "target", answer.target.name, "err", answer.err)
			continue
		}
		for _, addr := range answer.addrs {
			to := netip.AddrPortFrom(addr.Unmap(), answer.target.port)
			if err := p.send(words, p.wire.Source(to), route{To: to}); err != nil {
				done.Errors++
				p.log.Warn("probe not sent", "target", answer.target.name, "to", to, "err", err)
				continue
			}
			done.Sent++
		}
	}
	p.mu.Lock()
	p.stats.Targets.add(done)
	p.mu.Unlock()
}

// send builds and sends one ProbeInit that asks for answers at the address
// from, unless another is configured.
func (p *Prober) send(words Announcement, from netip.Addr, by route) error {
	b, err := pack(p.packet(words, from), p.deps.Seal)
	if err != nil {
		return err
	}
	return p.wire.Send(b, by)
}

func (p *Prober) packet(words Announcement, from netip.Addr) *crm.ProbeInit {
	if p.cfg.AdvertiseAddress.IsValid() {
		from = p.cfg.AdvertiseAddress
	}
	// A link-local address means nothing without the receiver's own zone. An
	// empty one means the source of the datagram, which has that zone.
	if from.Is6() && from.IsLinkLocalUnicast() {
		from = netip.Addr{}
	}
	hostname := words.Hostname
	if p.deps.Seal != nil { // which takes its room whatever the route
		hostname = crm.CollectorHostname(hostname)
	}
	return &crm.ProbeInit{
		ID:      newID(),
		Info:    model.HostInfo{Hostname: hostname, Addr: from, Ports: words.Ports, Type: model.HostCollector},
		Ext:     &crm.ProbeInitExt{Fleet: words.Fleet, FleetSize: words.FleetSize, Interval: p.cfg.Interval, Voucher: words.Voucher},
		Dialect: crm.Dialect{NamedType: p.cfg.NameForm},
	}
}

// newID makes the text of a random UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
