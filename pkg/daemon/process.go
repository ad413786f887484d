package daemon

import (
	"context"
	"log/slog"
	"sync"
)

// Process is what a running daemon knows of its surroundings. Its methods are
// safe for concurrent use.
type Process[C any] struct {
	Name  string
	Build Build
	Log   *slog.Logger
	// Teardown releases what Run acquired, after Run has returned.
	Teardown *Teardown

	group    *Group
	notify   *notifier
	watchdog *watchdog
	load     func() (C, error) // reads the configuration anew

	readyOnce sync.Once
	ready     chan struct{} // closed by Ready

	mu        sync.Mutex // guards reloaders and reloaded
	reloaders []Reloader[C]
	reloaded  []func(error)

	// Of the goroutine that reloads.
	started C // what Run was called with
	current C // what the last reload made of it
}

func newProcess[C any](name string, cfg C, log *slog.Logger) *Process[C] {
	teardown := NewTeardown(log)
	return &Process[C]{Name: name, Build: BuildOf(), Log: log, Teardown: teardown,
		group: NewGroup(log, teardown), watchdog: &watchdog{log: log},
		ready: make(chan struct{}), started: cfg, current: cfg}
}

// Go starts a part of the daemon: see Group.Go.
func (p *Process[C]) Go(name string, run func(context.Context) error) { p.group.Go(name, run) }

// Wait blocks until ctx ends or a part fails: see Group.Wait.
func (p *Process[C]) Wait(ctx context.Context) error { return p.group.Wait(ctx) }

// Ready tells the service manager that the daemon serves. Call it when every
// socket is open; dependents are started then, and reloads are answered. Only
// the first call counts.
func (p *Process[C]) Ready() {
	p.readyOnce.Do(func() {
		p.notify.ready()
		close(p.ready)
	})
}

// Status tells the service manager in one line what the daemon is doing;
// `systemctl status` shows it.
func (p *Process[C]) Status(text string) { p.notify.status(text) }

// OnReload registers a part that follows configuration changes. Parts prepare
// and apply in the order of registration.
func (p *Process[C]) OnReload(r Reloader[C]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reloaders = append(p.reloaders, r)
}

// OnReloaded registers who is told how every reload ended, also one whose
// configuration could not be read: nil when it was applied. It must not block for
// long: the next reload waits for it.
func (p *Process[C]) OnReloaded(tell func(err error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reloaded = append(p.reloaded, tell)
}

// Watch has the service manager's watchdog restart the daemon when check
// returns an error for longer than the watchdog's time, or blocks. It is
// called at least twice in that time and must only look, not work.
func (p *Process[C]) Watch(name string, check func() error) { p.watchdog.add(name, check) }
