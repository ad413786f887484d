package boltfile

import (
	"context"
	"time"
)

const (
	// SlowInterval is the time between writes of what anybody can cause.
	SlowInterval = 30 * time.Second
	// RetryInterval is the time until a write that failed is tried again.
	RetryInterval = 5 * time.Second
)

// Saver is the clockwork that writes what its owner has changed in memory.
type Saver struct {
	Gather  time.Duration        // for which changes are collected before they are written
	Changed <-chan struct{}      // a flag of capacity one: something is to be written
	Closed  <-chan struct{}      // ends Run as ctx does
	Save    func(all bool) error // all: what is written slowly, too
	Failed  func(error)          // is told of every write that failed
}

// Run writes until ctx ends or the owner is closed. What has changed in the end it
// leaves to its owner.
func (s *Saver) Run(ctx context.Context) {
	slow := time.NewTicker(SlowInterval)
	defer slow.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.Closed:
			return
		case <-slow.C:
			if !s.saveAfter(ctx, 0, true) {
				return
			}
		case <-s.Changed:
			if !s.saveAfter(ctx, s.Gather, false) {
				return
			}
		}
	}
}

// saveAfter saves after wait, and again until it succeeds. It is false when there
// is no point in going on.
func (s *Saver) saveAfter(ctx context.Context, wait time.Duration, all bool) bool {
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-s.Closed:
			timer.Stop()
			return false
		case <-timer.C:
		}
		err := s.Save(all)
		if err == nil {
			return true
		}
		s.Failed(err)
		wait = RetryInterval
	}
}
