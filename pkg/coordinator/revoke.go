package coordinator

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// lastWords is how long a session that is cut has to tell the worker why.
const lastWords = 300 * time.Millisecond

// pruneEvery is how often the revocation list is looked through for entries that
// are no longer needed.
const pruneEvery = time.Hour

// cutRevoked cuts whoever is revoked, as soon as he is, until ctx ends.
func (c *coordinator) cutRevoked(ctx context.Context) error {
	for {
		// The channel first: what comes in between is not missed.
		_, _, changed := c.revoked.Since(0)
		c.cutNow(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// pruneRevoked takes off the list what has ended by itself, until ctx ends.
func (c *coordinator) pruneRevoked(ctx context.Context) error {
	ticks := time.NewTicker(pruneEvery)
	defer ticks.Stop()
	for {
		if _, err := c.revoked.Prune(c.now()); err != nil {
			c.log.Error("revocation list not pruned", logkey.Err, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// cutNow ends the sessions of those who are out with a word, and closes their
// connections shortly after.
func (c *coordinator) cutNow(ctx context.Context) {
	told := false
	for _, id := range c.sessions.workers() {
		if c.isRevoked(id, trust.Fingerprint{}) {
			told = true
			c.sessions.end(id, "this worker was revoked")
		}
	}
	if told {
		wait := time.NewTimer(lastWords)
		defer wait.Stop()
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
	}
	out := func(leaf *x509.Certificate, identity trust.Identity) bool {
		return leaf != nil && c.revoked.Check(leaf, identity) != nil
	}
	if n := c.connections.cutIf(out); n > 0 {
		c.log.Info("connections of revoked members closed", logkey.Count, n)
	}
}
