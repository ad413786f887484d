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

// Client is a worker's end of the stream: it keeps a live connection to the
// collector, and another one while its Supply has a backlog. Safe for concurrent
// use.
type Client struct {
	config  ClientConfig
	deps    ClientDeps
	log     *slog.Logger
	buffers *sync.Pool
	rolling sync.Mutex // held while deps.Random is called

	mu       sync.Mutex
	endpoint string
	moved    chan struct{} // closed when endpoint changes or Retry is called
	gate     gate          // of the backfill connection
	live     line
	backfill line
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
	c := &Client{config: config, deps: deps, log: deps.Log.With(logkey.Component, "stream"),
		buffers: newBuffers(), moved: make(chan struct{}), gate: newGate()}
	c.live = line{client: c, role: roleLive, log: c.log}
	c.backfill = line{client: c, role: roleBackfill, log: c.log.With("role", roleBackfill.String()), pace: newPacer(config.BackfillRate)}
	return c, nil
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
	c.wakeLocked()
}

// Retry ends a wait, for when its reason may have gone: new credentials were
// loaded, or an operator asks for it. An attempt that is under way, and fails,
// is followed by another one at once. A connection is left alone.
func (c *Client) Retry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range []*line{&c.live, &c.backfill} {
		switch l.stats.State {
		case Waiting:
			c.wakeLocked()
		case Connecting:
			l.again = true
		}
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
	var lines sync.WaitGroup
	lines.Go(func() { c.backfill.run(ctx) })
	c.live.run(ctx)
	lines.Wait()
	return nil
}

// random is deps.Random for both lines.
func (c *Client) random() float64 {
	c.rolling.Lock()
	defer c.rolling.Unlock()
	return c.deps.Random()
}

// rest waits for whatever comes first.
func rest(ctx context.Context, moved <-chan struct{}, over <-chan time.Time) {
	select {
	case <-ctx.Done():
	case <-moved:
	case <-over:
	}
}

// errMoved ends a connection because the endpoint has changed.
var errMoved = ended(EndStopped, errors.New("the collector's address has changed"))

// errStopped ends a connection because the daemon stops.
var errStopped = ended(EndStopped, errors.New("stopped"))

// errDelivered ends a connection because its stretch has no more records and all
// of them are acknowledged.
var errDelivered = ended(EndBye, errors.New("the stretch is delivered"))
