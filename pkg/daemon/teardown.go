package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// Teardown is a stack of named steps that release what a process acquired.
// Register a step on the line after its thing exists; the steps run last in,
// first out. Its methods are safe for concurrent use.
type Teardown struct {
	log *slog.Logger

	mu    sync.Mutex // guards steps
	steps []step
}

type step struct {
	name    string
	release func(context.Context) error
}

// NewTeardown makes an empty stack.
func NewTeardown(log *slog.Logger) *Teardown { return &Teardown{log: log} }

// Add puts a step on top of the stack. release should return when its context
// ends; a step that does not is left behind. A step that is added while the
// teardown runs is the next one to run; after its end, it never runs.
func (t *Teardown) Add(name string, release func(context.Context) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, step{name, release})
}

// AddClose puts a Close method on top of the stack. That it was closed already,
// by the part that used it, is no error.
func (t *Teardown) AddClose(name string, close func() error) {
	t.Add(name, func(context.Context) error {
		if err := close(); !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
			return err
		}
		return nil
	})
}

// Run runs and removes all steps and returns their errors, joined, each with
// the name of its step. A step may use half of the time that is left until the
// deadline of ctx, the last one all of it, so that one that hangs cannot take
// everything from those below it; at least one should always have enough. A
// step that takes longer is an error, and the next one begins.
func (t *Teardown) Run(ctx context.Context) error {
	var errs []error
	for {
		next, left, any := t.pop()
		if !any {
			return errors.Join(errs...)
		}
		if err := t.runStep(ctx, next, left == 0); err != nil {
			errs = append(errs, err)
		}
	}
}

func (t *Teardown) pop() (top step, left int, any bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.steps) == 0 {
		return step{}, 0, false
	}
	left = len(t.steps) - 1
	top, t.steps = t.steps[left], t.steps[:left]
	return top, left, true
}

func (t *Teardown) runStep(ctx context.Context, s step, last bool) error {
	if deadline, has := ctx.Deadline(); has && !last {
		limited, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
		ctx = limited
	}
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- s.release(ctx) }()
	select {
	case err := <-done:
		t.log.Debug("teardown step done", logkey.Step, s.name, logkey.Duration, time.Since(began))
		if err != nil {
			return fmt.Errorf("stop %s: %w", s.name, err)
		}
		return nil
	case <-ctx.Done():
	}
	select { // a step that heeds its context deserves its own error
	case err := <-done:
		if err != nil {
			return fmt.Errorf("stop %s: %w", s.name, err)
		}
		return nil
	case <-time.After(reactionTime):
	}
	took := time.Since(began).Round(time.Millisecond)
	t.log.Error("teardown step hangs, left behind", logkey.Step, s.name, logkey.Duration, took)
	return fmt.Errorf("stop %s: still not done after %v", s.name, took)
}

// reactionTime is what a step gets to return after its context has ended.
const reactionTime = 250 * time.Millisecond
