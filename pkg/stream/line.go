package stream

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// line is one of the two connections of a Client, through all its attempts. One
// goroutine runs it.
type line struct {
	client *Client
	role   role
	log    *slog.Logger
	pace   *pacer // nil: as fast as the window allows
	told   failure

	// The client's lock guards these.
	again bool // Retry was called during an attempt: the next wait is left out
	stats LinkStats
}

// run keeps the line until ctx ends.
func (l *line) run(ctx context.Context) {
	c := l.client
	again := backoff{min: c.config.BackoffMin, max: c.config.BackoffMax, permanent: c.config.RefusedRetry}
	defer l.setState(Idle)
	for ctx.Err() == nil {
		addr, moved := c.target()
		if addr == "" {
			l.setState(Idle)
			rest(ctx, moved, nil)
			continue
		}
		source, err := l.stretch(ctx)
		if addr, moved = c.target(); err == nil && addr == "" {
			continue // it is not known any more
		}
		link := &uplink{line: l, client: c, ctx: ctx, source: source}
		if err == nil {
			err = l.attempt(link, addr)
		} else {
			err = ended(EndFailed, fmt.Errorf("records to send: %w", err))
			l.note(link, addr, err)
		}
		switch {
		case ctx.Err() != nil:
		case endOf(err) == EndStopped: // the endpoint has changed: there is nothing to wait for
		case link.delivered(err):
			again.failures = 0 // there may be more
		default:
			l.wait(ctx, moved, again.next(link.up(), err, c.random()))
		}
	}
}

// yieldAfter is how long the live stretch may be in coming before older records
// are taken to go first.
const yieldAfter = 100 * time.Millisecond

// stretch waits for something to deliver.
func (l *line) stretch(ctx context.Context) (Source, error) {
	if l.role == roleBackfill {
		return l.backlog(ctx)
	}
	c := l.client
	l.setState(Connecting)
	waiting := true // under the client's lock
	patience := time.AfterFunc(yieldAfter, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if waiting {
			l.stats.State = Yielding
			c.gate.set(true)
		}
	})
	source, err := c.deps.Supply.Live(ctx)
	patience.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting = false
	c.gate.set(false)
	return source, err
}

// backlog waits for a stretch at a time at which it may be sent.
func (l *line) backlog(ctx context.Context) (Source, error) {
	c := l.client
	l.setState(Idle)
	for {
		if _, opened := l.mayGo(); !wait(ctx, opened) {
			return nil, ctx.Err()
		}
		source, err := c.deps.Supply.Backlog(ctx)
		if open, _ := l.mayGo(); open || err != nil {
			return source, err
		}
	}
}

func (l *line) mayGo() (open bool, opened <-chan struct{}) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.client.gate.open, l.client.gate.opened
}

// wait waits for a channel; false when ctx ended first.
func wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (l *line) wait(ctx context.Context, moved <-chan struct{}, d time.Duration) {
	c := l.client
	l.setState(Waiting)
	c.mu.Lock()
	if moved != c.moved || l.again {
		d = 0 // moved while the connection was ending, or asked to
	}
	moved, l.again = c.moved, false
	l.stats.RetryAt = c.deps.Now().Add(d)
	c.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	rest(ctx, moved, timer.C)
}

// attempt makes one connection and keeps it while it lasts. The error says why
// it ended and is never nil.
func (l *line) attempt(link *uplink, addr string) error {
	l.setState(Connecting)
	err := link.run(addr)
	if l.role == roleLive {
		l.client.mu.Lock()
		l.client.gate.set(false)
		l.client.mu.Unlock()
	}
	link.ended = time.Now()
	l.note(link, addr, err)
	return err
}

// note counts and logs the end of an attempt.
func (l *line) note(link *uplink, addr string, err error) {
	end, refusal, up := endOf(err), refusalIn(err), link.up()
	l.count(func(s *LinkStats) {
		s.Ended[end]++
		s.LastEnd, s.LastError = end, err.Error()
		s.InFlight, s.Window = 0, 0
		s.ConnectedSince = time.Time{}
		if refusal != nil {
			s.Refused[refusal.Cause.known()]++
			s.LastRefusal = *refusal
		}
	})
	attrs := []any{logkey.Addr, addr, logkey.Reason, end.String(), logkey.Duration, up.Round(time.Millisecond), logkey.Err, err}
	if up > 0 || end == EndStopped {
		l.told = failure{}
	}
	switch {
	case end == EndStopped || end == EndBye:
		l.log.Info("stream closed", attrs...)
	case refusal != nil && refusal.Permanent:
		l.log.Error("collector refuses the stream", attrs...)
	case up > 0:
		l.log.Warn("stream lost", attrs...)
	default:
		level := slog.LevelDebug
		if l.told.isNews(addr, end, l.client.deps.Now()) {
			level = slog.LevelWarn
		}
		l.log.Log(context.Background(), level, "no stream to the collector", attrs...)
	}
}

func (l *line) setState(state ClientState) { l.count(func(s *LinkStats) { s.State = state }) }

func (l *line) count(add func(*LinkStats)) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	add(&l.stats)
}
