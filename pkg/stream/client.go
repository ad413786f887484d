package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// Client is a worker's end of the stream: it keeps one connection to the
// collector and sends what its Source has. Safe for concurrent use.
type Client struct {
	config  ClientConfig
	deps    ClientDeps
	log     *slog.Logger
	buffers *sync.Pool
	told    failure // used by the goroutine of Run only

	mu       sync.Mutex
	endpoint string
	moved    chan struct{} // closed when endpoint changes or Retry is called
	again    bool          // Retry was called during an attempt: the next wait is left out
	stats    ClientStats
	clock    clockFilter
}

// NewClient makes a client without an endpoint: Run waits for SetEndpoint.
func NewClient(config ClientConfig, deps ClientDeps) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("stream client: %w", err)
	}
	if err := deps.check(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{config: config, deps: deps, log: deps.Log.With(logkey.Component, "stream"),
		buffers: newBuffers(), moved: make(chan struct{})}, nil
}

// SetEndpoint says where the collector is, as host:port; "" means that nobody
// knows. A connection to another endpoint is closed in an orderly way; a wait
// ends; an attempt to connect that is under way is finished first. Setting the
// same endpoint again does nothing.
func (c *Client) SetEndpoint(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if addr == c.endpoint {
		return
	}
	c.endpoint = addr
	c.stats.Endpoint = addr
	c.wakeLocked()
}

// Retry ends a wait, for when its reason may have gone: new credentials were
// loaded, or an operator asks for it. An attempt that is under way, and fails,
// is followed by another one at once. A connection is left alone.
func (c *Client) Retry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.stats.State {
	case Waiting:
		c.wakeLocked()
	case Connecting:
		c.again = true
	}
}

func (c *Client) wakeLocked() {
	close(c.moved)
	c.moved = make(chan struct{})
}

// target returns the endpoint and a channel that is closed when it changes.
func (c *Client) target() (addr string, moved <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endpoint, c.moved
}

// Run keeps the stream until ctx ends, and then returns nil. It is called once.
func (c *Client) Run(ctx context.Context) error {
	again := backoff{min: c.config.BackoffMin, max: c.config.BackoffMax, permanent: c.config.RefusedRetry}
	for ctx.Err() == nil {
		addr, moved := c.target()
		if addr == "" {
			c.setState(Idle)
			rest(ctx, moved, nil)
			continue
		}
		up, err := c.attempt(ctx, addr)
		if ctx.Err() != nil {
			break
		}
		if endOf(err) == EndStopped {
			continue // the endpoint has changed: there is nothing to wait for
		}
		c.wait(ctx, moved, again.next(up, err, c.deps.Random()))
	}
	c.setState(Idle)
	return nil
}

func (c *Client) wait(ctx context.Context, moved <-chan struct{}, d time.Duration) {
	c.setState(Waiting)
	c.mu.Lock()
	if moved != c.moved || c.again {
		d = 0 // moved while the connection was ending, or asked to
	}
	moved, c.again = c.moved, false
	c.stats.RetryAt = c.deps.Now().Add(d)
	c.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	rest(ctx, moved, timer.C)
}

func rest(ctx context.Context, moved <-chan struct{}, over <-chan time.Time) {
	select {
	case <-ctx.Done():
	case <-moved:
	case <-over:
	}
}

// attempt makes one connection and keeps it while it lasts. up is for how long
// it was welcome; the error says why it ended and is never nil.
func (c *Client) attempt(ctx context.Context, addr string) (up time.Duration, err error) {
	c.setState(Connecting)
	link := &uplink{client: c, ctx: ctx}
	err = link.run(addr)
	if !link.welcomed.IsZero() {
		up = time.Since(link.welcomed)
	}
	c.note(addr, up, err)
	return up, err
}

// note counts and logs the end of an attempt.
func (c *Client) note(addr string, up time.Duration, err error) {
	end, refusal := endOf(err), refusalIn(err)
	c.mu.Lock()
	c.stats.Ended[end]++
	c.stats.LastEnd, c.stats.LastError = end, err.Error()
	c.stats.InFlight, c.stats.Window = 0, 0
	c.stats.ConnectedSince = time.Time{}
	if refusal != nil {
		c.stats.Refused[refusal.Cause.known()]++
		c.stats.LastRefusal = *refusal
	}
	c.mu.Unlock()
	attrs := []any{logkey.Addr, addr, logkey.Reason, end.String(), logkey.Duration, up.Round(time.Millisecond), logkey.Err, err}
	if up > 0 || end == EndStopped {
		c.told = failure{}
	}
	switch {
	case end == EndStopped:
		c.log.Info("stream closed", attrs...)
	case refusal != nil && refusal.Permanent:
		c.log.Error("collector refuses the stream", attrs...)
	case up > 0:
		c.log.Warn("stream lost", attrs...)
	default:
		level := slog.LevelDebug
		if c.told.isNews(addr, end, c.deps.Now()) {
			level = slog.LevelWarn
		}
		c.log.Log(context.Background(), level, "no stream to the collector", attrs...)
	}
}

func (c *Client) setState(state ClientState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.State = state
}

// errMoved ends a connection because the endpoint has changed.
var errMoved = ended(EndStopped, errors.New("the collector's address has changed"))

// errStopped ends a connection because the daemon stops.
var errStopped = ended(EndStopped, errors.New("stopped"))
