package discovery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// roleVariable holds the role, as JSON, that this binary plays in place of
// running tests: a network namespace is a process's own.
const roleVariable = "CLOUDLESS_DISCOVERY_TEST_ROLE"

type role struct {
	Is         string // "collector" or "worker"
	Interfaces []string
	Auto       bool
	Multicast  bool
	Fleet      *fleetKeys // nil: packets go unsigned
}

// fleet is nil without keys.
func (r role) fleet() (*signedFleet, error) {
	if r.Fleet == nil {
		return nil, nil
	}
	return r.Fleet.fleet()
}

// event is what a role tells of, one JSON value after the other.
type event struct {
	What       string // ready, probe, registered, stats
	Source     string
	Advertised string // the address in a probe, or ""
	Fleet      string // of a probe
	Stats      *ProberStats
	Heard      *ListenStats
}

// teller writes events; safe for concurrent use.
type teller struct {
	mu sync.Mutex
	to *json.Encoder
}

func (t *teller) tell(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.to.Encode(e)
}

// playRole plays until standard input ends, and returns the exit code.
func playRole(text string) int {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	play := map[string]func(context.Context, role, *teller) error{"collector": playCollector, "worker": playWorker}[r.Is]
	if err := play(ctx, r, &teller{to: json.NewEncoder(os.Stdout)}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func playCollector(ctx context.Context, r role, out *teller) error {
	own, err := r.fleet()
	if err != nil {
		return err
	}
	registrarDeps, proberDeps := RegistrarDeps{Register: admit, Logger: quiet()}, ProberDeps{Announce: announce, Logger: quiet()}
	if own != nil {
		v, err := packet.NewVerifier(own.bundle, packet.DefaultWindowConfig())
		if err != nil {
			return err
		}
		registrarDeps.Register, registrarDeps.Judge, registrarDeps.Screen = own.admit, own.coordinatorsJudge(v), v.Screen
		registrarDeps.Seal, proberDeps.Seal = own.byBeacon(packet.RegisterAck), own.byBeacon(packet.ProbeInit)
		proberDeps.Announce = func(now time.Time) Announcement {
			a := announce(now)
			a.Fleet, a.Voucher = own.bundle.Fleet, own.voucher
			return a
		}
	}
	registrar, err := NewRegistrar(DefaultRegistrarConfig(), registrarDeps)
	if err != nil {
		return err
	}
	defer registrar.Close()
	cfg := DefaultProberConfig()
	cfg.Interval = 200 * time.Millisecond
	cfg.AutoInterfaces, cfg.Interfaces, cfg.Multicast = r.Auto, r.Interfaces, r.Multicast
	prober, err := NewProber(cfg, proberDeps)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { _ = registrar.Run(ctx) })
	all.Go(func() { _ = prober.Run(ctx) })
	out.tell(event{What: "ready"})
	tick := time.NewTicker(cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			stats, heard := prober.Stats(), registrar.Stats().Listen
			out.tell(event{What: "stats", Stats: &stats, Heard: &heard})
		}
	}
}

func playWorker(ctx context.Context, r role, out *teller) error {
	cfg := DefaultResponderConfig()
	cfg.MaxDelay = 20 * time.Millisecond
	deps := ResponderDeps{Handler: &tellingWorker{out: out}, Logger: quiet()}
	own, err := r.fleet()
	if err != nil {
		return err
	}
	if own != nil {
		v, err := packet.NewVerifier(own.bundle, packet.DefaultWindowConfig())
		if err != nil {
			return err
		}
		deps.Judge, deps.Screen, deps.Seal = workersJudge(v), v.Screen, own.byWorker()
	}
	responder, err := NewResponder(cfg, deps)
	if err != nil {
		return err
	}
	out.tell(event{What: "ready"})
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				heard := responder.Stats().Listen
				out.tell(event{What: "stats", Heard: &heard})
			}
		}
	})
	return responder.Run(ctx)
}

// tellingWorker is a worker that tells what it hears.
type tellingWorker struct {
	worker
	out *teller
}

func (w *tellingWorker) Probed(p *crm.ProbeInit, source netip.AddrPort) (Answer, bool) {
	e := event{What: "probe", Source: source.String()}
	if p.Info.Addr.IsValid() {
		e.Advertised = p.Info.Addr.String()
	}
	if p.Ext != nil {
		e.Fleet = p.Ext.Fleet
	}
	w.out.tell(e)
	return w.worker.Probed(p, source)
}

func (w *tellingWorker) Acknowledged(a *crm.RegisterAck, source netip.AddrPort) {
	w.out.tell(event{What: "registered", Source: source.String()})
}
