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
)

// roleVariable holds the role, as JSON, that this binary plays in place of
// running tests: a network namespace is a process's own.
const roleVariable = "CLOUDLESS_DISCOVERY_TEST_ROLE"

type role struct {
	Is         string // "collector" or "worker"
	Interfaces []string
	Auto       bool
	Multicast  bool
}

// event is what a role tells of, one JSON value after the other.
type event struct {
	What       string // ready, probe, registered, stats
	Source     string
	Advertised string // the address in a probe, or ""
	Stats      *ProberStats
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
	registrar, err := NewRegistrar(DefaultRegistrarConfig(), RegistrarDeps{Register: admit, Logger: quiet()})
	if err != nil {
		return err
	}
	defer registrar.Close()
	cfg := DefaultProberConfig()
	cfg.Interval = 200 * time.Millisecond
	cfg.AutoInterfaces, cfg.Interfaces, cfg.Multicast = r.Auto, r.Interfaces, r.Multicast
	prober, err := NewProber(cfg, ProberDeps{Announce: announce, Logger: quiet()})
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
			stats := prober.Stats()
			out.tell(event{What: "stats", Stats: &stats})
		}
	}
}

func playWorker(ctx context.Context, r role, out *teller) error {
	cfg := DefaultResponderConfig()
	cfg.MaxDelay = 20 * time.Millisecond
	responder, err := NewResponder(cfg, ResponderDeps{Handler: &tellingWorker{out: out}, Logger: quiet()})
	if err != nil {
		return err
	}
	out.tell(event{What: "ready"})
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
	w.out.tell(e)
	return w.worker.Probed(p, source)
}

func (w *tellingWorker) Acknowledged(a *crm.RegisterAck, source netip.AddrPort) {
	w.out.tell(event{What: "registered", Source: source.String()})
}
