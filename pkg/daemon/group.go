package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// ErrEnded is the failure of a part that returned without being told to.
var ErrEnded = errors.New("ended by itself")

// Group runs the parts of a daemon on goroutines of their own. The first part
// that returns before it was told to, with an error or without, ends the
// group. Each part is a step of a Teardown: parts stop one at a time, the last
// one started first, in between the releases of what they use. Its methods are
// safe for concurrent use.
type Group struct {
	log      *slog.Logger
	teardown *Teardown
	failed   chan struct{} // closed when err is set

	mu   sync.Mutex // guards what follows
	err  error      // of the first part that failed
	over bool       // Wait has returned
}

// NewGroup makes a group whose parts are stopped by teardown.
func NewGroup(log *slog.Logger, teardown *Teardown) *Group {
	return &Group{log: log, teardown: teardown, failed: make(chan struct{})}
}

// Go starts a part. run blocks until its context is cancelled, which happens
// when the part's turn in the teardown comes; it then has a part's share of
// the time to return.
func (g *Group) Go(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			g.fail(name, err)
			err = nil // told by fail
		}
		done <- err
	}()
	g.teardown.Add(name, func(limit context.Context) error {
		cancel()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-limit.Done():
			return fmt.Errorf("still running: %w", limit.Err())
		}
	})
}

// fail notes the failure that Wait returns. The others, and those after Wait,
// would be lost, so they are logged.
func (g *Group) fail(name string, err error) {
	if err == nil {
		err = ErrEnded
	}
	g.mu.Lock()
	first := g.err == nil && !g.over
	if first {
		g.err = fmt.Errorf("%s: %w", name, err)
		close(g.failed)
	}
	g.mu.Unlock()
	if !first {
		g.log.Error("another part failed", logkey.Step, name, logkey.Err, err)
	}
}

// Wait blocks until ctx ends, and then returns nil, or until a part fails, and
// then returns its error with its name. It stops nothing: the teardown does.
func (g *Group) Wait(ctx context.Context) error {
	select {
	case <-g.failed:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	return g.err
}
