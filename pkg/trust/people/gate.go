package people

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// How many passwords are judged at once. Each hashing takes 64 MiB.
const (
	gateSlots     = 2
	gateWaiters   = 16 // beyond, ErrBusy at once
	gatePerSource = 4  // of all these, so that one address does not take them all
	gateWait      = 5 * time.Second
)

// gate lets few in at a time.
type gate struct {
	slots chan struct{}

	mu      sync.Mutex
	inside  int // with those who wait
	sources map[netip.Prefix]int
}

func newGate() *gate {
	return &gate{slots: make(chan struct{}, gateSlots), sources: map[netip.Prefix]int{}}
}

// enter waits for a slot, at most gateWait; or ErrBusy. source is the zero value
// for the process's own work, which has no share.
func (g *gate) enter(ctx context.Context, source netip.Prefix) (leave func(), err error) {
	if !g.join(source) {
		return nil, ErrBusy
	}
	timer := time.NewTimer(gateWait)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots; g.part(source) }, nil
	case <-timer.C:
		err = ErrBusy
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
	g.part(source)
	return nil, err
}

func (g *gate) join(source netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside >= gateSlots+gateWaiters || source.IsValid() && g.sources[source] >= gatePerSource {
		return false
	}
	g.inside++
	g.sources[source]++
	return true
}

func (g *gate) part(source netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.sources[source]--; g.sources[source] == 0 {
		delete(g.sources, source)
	}
}
