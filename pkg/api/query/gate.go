package query

import (
	"context"
	"sync/atomic"
)

// gate lets a bounded number of queries run at once; the others wait. It is the
// engine's QueryTracker, and lookups of labels and series pass it too.
type gate struct {
	places  chan struct{}
	waiting atomic.Int64
}

func newGate(places int) *gate { return &gate{places: make(chan struct{}, places)} }

// GetMaxConcurrent implements promql.QueryTracker.
func (g *gate) GetMaxConcurrent() int { return cap(g.places) }

// Insert implements promql.QueryTracker: it waits for a place until ctx is done.
func (g *gate) Insert(ctx context.Context, _ string) (int, error) {
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	select {
	case g.places <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Delete implements promql.QueryTracker: it gives the place back.
func (g *gate) Delete(int) { <-g.places }

// Close implements promql.QueryTracker.
func (g *gate) Close() error { return nil }

func (g *gate) running() int { return len(g.places) }
