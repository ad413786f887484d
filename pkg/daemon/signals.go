package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// impatient ends the process as an operator who signals twice wants it.
func impatient(stderr io.Writer, name string, s os.Signal) {
	fmt.Fprintf(stderr, "%s: second signal (%v): exiting at once, without an orderly stop\n", name, s)
	os.Exit(ExitFailed)
}

// watchSignals turns signals into calls until finished is closed.
func watchSignals(signals <-chan os.Signal, finished <-chan struct{}, stop func(), hangups chan<- struct{},
	impatient func(os.Signal), log *slog.Logger) {
	for stopped := false; ; {
		select {
		case <-finished:
			return
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				select {
				case hangups <- struct{}{}:
				default: // one is waiting already
				}
			case stopped:
				impatient(s)
			default:
				stopped = true
				log.Info("told to stop", logkey.Signal, s.String())
				stop()
			}
		}
	}
}

// helpers are the goroutines that serve a process besides its parts.
type helpers struct{ done []chan struct{} }

func (h *helpers) start(work func()) {
	done := make(chan struct{})
	h.done = append(h.done, done)
	go func() {
		defer close(done)
		work()
	}()
}

// wait gives them a moment to end: a hook of a reload that hangs must not hang
// the process.
func (h *helpers) wait() {
	limit := time.After(time.Second)
	for _, done := range h.done {
		select {
		case <-done:
		case <-limit:
			return
		}
	}
}

// startHelpers answers reloads and feeds the watchdog from Ready until ctx ends.
func startHelpers[C any](ctx context.Context, p *Process[C], hangups <-chan struct{}) *helpers {
	h := &helpers{}
	h.start(func() {
		select {
		case <-p.ready:
		case <-ctx.Done():
		}
		for ctx.Err() == nil {
			select {
			case <-hangups:
				p.reloadNow(ctx)
			case <-ctx.Done():
			}
		}
	})
	if interval, err := sd.SdWatchdogEnabled(false); err == nil && interval > 0 {
		h.start(func() { p.watchdog.run(ctx, interval/2, p.notify.alive) })
	}
	return h
}
