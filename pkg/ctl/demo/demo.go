// Package demo runs a whole fleet on one machine for whoever wants to see it:
// the three real daemons as child processes on the loopback interface, with
// settings and state in a temporary folder. They come together the way that
// machines do: coordinatord makes a fleet, a join token lets workerd in, and
// collectord gets its certificate through coordinatord's unix socket. The demo
// shows what they do until it is interrupted, then stops them in order and leaves
// nothing.
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
	// Connect makes the clients of coordinatord and collectord behind their unix
	// sockets.
	Connect func(coordinator, collector string) (*api.AdminClient, *api.Client, error)
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
	sockets, err := socketFolder(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(sockets)) }()
	guard, err := startCleaner(dir, sockets)
	if err != nil {
		return err
	}
	defer guard.stop()
	fleet, err := prepare(dir, sockets, o.Interval)
	if err != nil {
		return fmt.Errorf("prepare the fleet: %w", err)
	}
	s := &show{Options: o, fleet: fleet, alive: guard.alive}
	if s.admin, s.client, err = o.Connect(fleet.socket(model.DaemonCoordinator), fleet.socket(model.DaemonCollector)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(o.Out, s.running)) }()
	err = s.begin(ctx)
	if err == nil {
		err = s.watch(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // interrupted
	}
	return err
}

// show is a demo that is under way.
type show struct {
	Options
	fleet   *fleet
	alive   *os.File
	admin   *api.AdminClient
	client  *api.Client
	token   string // id of the join token
	running []*process
}

// watch draws the screen every second until ctx is done or a daemon ends.
func (s *show) watch(ctx context.Context) error {
	begun := time.Now()
	display := &screen{out: s.Out, terminal: s.Width != nil, width: s.Width}
	ticks := time.NewTicker(refresh)
	defer ticks.Stop()
	for {
		if err := s.dead(); err != nil {
			return err
		}
		v := s.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v.Elapsed = time.Since(begun)
		display.draw(v, time.Now())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
	}
}

// dead tells of a daemon that has ended by itself.
func (s *show) dead() error {
	for _, p := range s.running {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended by itself (%v); the last it said:\n%s", p.name, p.err, p.lastWords())
		default:
		}
	}
	return nil
}

func (s *show) start(ctx context.Context, daemon string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p, err := start(daemon, filepath.Join(s.Bin, daemon), filepath.Join(s.fleet.Dir, daemon+".log"), s.alive,
		"run", "--config", s.fleet.config(daemon))
	if err == nil {
		s.running = append(s.running, p)
	}
	return err
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
