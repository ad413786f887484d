package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// watchdog feeds the watchdog of the service manager as long as every part
// that is watched makes progress.
type watchdog struct {
	log *slog.Logger

	mu     sync.Mutex // guards checks
	checks []progressCheck
}

type progressCheck struct {
	name  string
	check func() error
}

func (w *watchdog) add(name string, check func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checks = append(w.checks, progressCheck{name, check})
}

// stuck returns what the first part without progress says.
func (w *watchdog) stuck() error {
	w.mu.Lock()
	checks := w.checks[:len(w.checks):len(w.checks)]
	w.mu.Unlock()
	for _, c := range checks {
		if err := c.check(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// run feeds every interval until ctx ends. A check that blocks starves the
// watchdog as well, which is the point of it.
func (w *watchdog) run(ctx context.Context, interval time.Duration, feed func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := w.stuck(); err != nil {
			w.log.Warn("no progress, watchdog not fed", logkey.Err, err)
		} else {
			feed()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
