// Package demo runs a whole fleet on one machine for whoever wants to see it:
// the three real daemons as child processes on the loopback interface, with
// certificates, settings and state in a temporary folder. It shows what they
// do until it is interrupted, then stops them in order and leaves nothing.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Options say what to run and where to show it.
type Options struct {
	// Bin is the folder of the three daemons.
	Bin string
	// Interval is the time between two rounds of the worker.
	Interval time.Duration
	// Out is where the fleet is shown: drawn over in place on a terminal.
	Out io.Writer
	// Width gives the columns of Out when that is a terminal; nil when it is
	// not.
	Width func() int
	// Connect makes the client by which the fleet is looked at.
	Connect func(collector string, operator trust.Files) (*api.Client, error)
}

// refresh is how often the screen is drawn.
const refresh = time.Second

// Run shows the fleet until ctx is done. It returns an error when the fleet
// could not be started, a daemon died, or one did not stop cleanly.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "cloudless-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	guard, err := startCleaner(dir)
	if err != nil {
		return err
	}
	defer guard.stop()
	fleet, err := prepare(dir, o.Interval)
	if err != nil {
		return fmt.Errorf("prepare the fleet: %w", err)
	}
	client, err := o.Connect(fleet.url(), fleet.operator)
	if err != nil {
		return err
	}
	var running []*process
	defer func() { err = errors.Join(err, stopAll(o.Out, running)) }()
	for _, daemon := range []string{model.DaemonCoordinator, model.DaemonCollector, model.DaemonWorker} {
		if ctx.Err() != nil {
			return nil
		}
		p, err := start(daemon, filepath.Join(o.Bin, daemon), filepath.Join(dir, daemon+".log"), guard.alive,
			"run", "--config", fleet.config(daemon))
		if err != nil {
			return err
		}
		running = append(running, p)
	}
	return watch(ctx, o, fleet, client, running)
}

// watch draws the screen every second until ctx is done or a daemon ends.
func watch(ctx context.Context, o Options, fleet *fleet, client *api.Client, running []*process) error {
	begun := time.Now()
	display := &screen{out: o.Out, terminal: o.Width != nil, width: o.Width}
	for _, line := range fleet.hints(o.Bin) {
		fmt.Fprintln(o.Out, line)
	}
	fmt.Fprintln(o.Out)
	ticks := time.NewTicker(refresh)
	defer ticks.Stop()
	for {
		if dead := ended(running); dead != nil {
			return fmt.Errorf("%s ended by itself (%v); the last it said:\n%s", dead.name, dead.err, dead.lastWords())
		}
		v := look(ctx, client, o.Interval)
		if ctx.Err() != nil {
			return nil
		}
		v.Elapsed = time.Since(begun)
		display.draw(v, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

func ended(running []*process) *process {
	for _, p := range running {
		select {
		case <-p.done:
			return p
		default:
		}
	}
	return nil
}

// stopAll stops the daemons in the reverse order of their start.
func stopAll(out io.Writer, running []*process) error {
	var errs []error
	for _, p := range slices.Backward(running) {
		fmt.Fprintf(out, "stopping %s\n", p.name)
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}
