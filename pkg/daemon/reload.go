package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// Reloader is a part that follows a changed configuration without a restart.
type Reloader[C any] struct {
	// Name in messages.
	Name string
	// Keys that the part applies: keys or whole sections ("tls", "log.level").
	// A change of a key that nobody applies is reported as waiting for a
	// restart.
	Keys []string
	// Prepare does everything that can fail and changes nothing that is live.
	// It is called on every reload, even when none of Keys has changed: files
	// that they name may have. apply, which may be nil, makes the change; it
	// cannot fail and is called only when every part could prepare. Otherwise
	// what was prepared is forgotten without a call, so it should be memory
	// only. ctx ends when the daemon is to stop.
	Prepare func(ctx context.Context, next C) (apply func(), err error)
}

// reloadNow reads the configuration anew and applies it as a whole or not at
// all. The caller runs one at a time.
func (p *Process[C]) reloadNow(ctx context.Context) {
	p.notify.reloading()
	defer p.notify.ready()
	changed, waiting, err := p.reload(ctx)
	p.tellReloaded(err)
	if err != nil {
		p.Log.Error("configuration not reloaded, the old one stays")
		for _, problem := range problemsOf(err) {
			p.Log.Error("configuration problem", logkey.Err, problem)
		}
		p.Status("reload failed: " + problemsOf(err)[0])
		return
	}
	p.Log.Info("configuration reloaded", logkey.Keys, changed)
	if len(waiting) > 0 {
		p.Log.Warn("settings wait for a restart", logkey.Keys, waiting)
	}
	p.Status("configuration reloaded")
}

func (p *Process[C]) tellReloaded(err error) {
	p.mu.Lock()
	tellers := slices.Clone(p.reloaded)
	p.mu.Unlock()
	for _, tell := range tellers {
		tell(err)
	}
}

// reload returns the keys that differ from the configuration before, and those
// that differ from the one the process started with and need a restart.
func (p *Process[C]) reload(ctx context.Context) (changed, waiting []string, err error) {
	next, err := p.load()
	if err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	reloaders := slices.Clone(p.reloaders)
	p.mu.Unlock()
	var applies []func()
	var errs []error
	for _, r := range reloaders {
		apply, err := r.Prepare(ctx, next)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Name, err))
		}
		if apply != nil {
			applies = append(applies, apply)
		}
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	for _, apply := range applies {
		apply()
	}
	changed = config.Diff(p.current, next)
	waiting = slices.DeleteFunc(config.Diff(p.started, next), func(key string) bool { return covered(reloaders, key) })
	p.current = next
	return changed, waiting, nil
}

func covered[C any](reloaders []Reloader[C], key string) bool {
	return slices.ContainsFunc(reloaders, func(r Reloader[C]) bool {
		return slices.ContainsFunc(r.Keys, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") })
	})
}

// problemsOf splits an error into lines; there is at least one.
func problemsOf(err error) []string { return strings.Split(err.Error(), "\n") }
