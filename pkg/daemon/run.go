package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logging"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Embed runs a daemon inside another program, a test for instance: without
// signals, service manager or files. It returns after the orderly end that
// follows the end of ctx or a failure. ready, which may be nil, is called once
// when the daemon serves.
func Embed[C config.Validator](ctx context.Context, spec Spec[C], cfg C, log *slog.Logger, ready func()) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("configuration of %s: %w", spec.Name, err)
	}
	p := newProcess(spec.Name, cfg, log)
	finished := make(chan struct{})
	defer close(finished)
	if ready != nil {
		go func() {
			select {
			case <-p.ready:
				ready()
			case <-finished:
			}
		}()
	}
	return errors.Join(live(ctx, spec, cfg, p, func(error) {}))
}

// live calls Run and then the teardown. Whatever ends first, ctx or Run,
// stopping is called before anything is stopped, with the error of Run if that
// was it. That error and those of the teardown are returned apart.
func live[C config.Validator](ctx context.Context, spec Spec[C], cfg C, p *Process[C],
	stopping func(failure error)) (failure, teardown error) {
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- spec.Run(runCtx, cfg, p) }()

	select {
	case failure = <-done:
		if ctx.Err() != nil && errors.Is(failure, context.Canceled) {
			failure = nil // as it was told
		}
		stopping(failure)
	case <-ctx.Done():
		stopping(nil)
		p.Teardown.Add("run", func(limit context.Context) error { // on top: Run returns first
			select {
			case err := <-done:
				if errors.Is(err, context.Canceled) {
					return nil // as it was told
				}
				return err
			case <-limit.Done():
				return fmt.Errorf("still running: %w", limit.Err())
			}
		})
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(spec.StopTimeout, DefaultStopTimeout))
	defer cancel()
	return failure, p.Teardown.Run(limit)
}

// run is the verb: the daemon as a process of its own.
func (c *command[C]) run(ctx context.Context) int {
	// Before anything else: a SIGHUP without its handler would kill.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(signals)

	cfg, origin, err := c.load()
	if err != nil {
		return c.fail(err)
	}
	root, err := logging.New(c.logConfig(cfg), logging.Options{Name: c.spec.Name, Stderr: c.stderr, Now: time.Now})
	if err != nil {
		return c.fail(err)
	}
	defer root.Close()
	log := root.Logger

	p := newProcess(c.spec.Name, cfg, log)
	p.notify = systemdNotifier(log)
	p.load = func() (C, error) {
		next, _, err := c.load()
		return next, err
	}
	p.OnReload(Reloader[C]{Name: "log", Keys: []string{"log.level", "log.repeats_per_minute"},
		Prepare: func(_ context.Context, next C) (func(), error) {
			return func() { root.Apply(c.logConfig(next)) }, nil
		}})
	log.Info("starting", logkey.Version, p.Build.String(), "files", origin.Files)
	if origin.Missing != "" {
		log.Info("no configuration file, defaults apply", logkey.Path, origin.Missing)
	}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	hangups := make(chan struct{}, 1) // one waiting reload covers all that follow
	finished := make(chan struct{})
	helpers := startHelpers(ctx, p, hangups)
	helpers.start(func() {
		watchSignals(signals, finished, stop, hangups, func(s os.Signal) { impatient(c.stderr, p.Name, s) }, log)
	})

	failure, late := live(ctx, c.spec, cfg, p, func(failure error) {
		if failure != nil {
			log.Error("daemon failed", failureAttrs(failure, origin)...)
		}
		stop()
		p.notify.stopping()
		log.Info("stopping")
	})
	close(finished)
	helpers.wait()
	if late != nil {
		log.Error("not everything stopped in order", logkey.Err, late)
	}
	if failure != nil || late != nil {
		return ExitFailed
	}
	log.Info("stopped")
	return ExitOK
}

// failureAttrs describes the error that ended the process; when it names a
// configuration key, also where that was set.
func failureAttrs(err error, origin *config.Origin) []any {
	attrs := []any{logkey.Err, err}
	if field, ok := errors.AsType[*model.FieldError](err); ok {
		if place, set := origin.Place(field.Key); set {
			attrs = append(attrs, logkey.Path, place.String())
		}
	}
	return attrs
}
