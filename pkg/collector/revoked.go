package collector

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
)

// revoked is the collector's copy of the fleet's revocation list. It outlives
// the coordinator's absence and restarts: whoever was out stays out.
type revoked struct {
	list *revocation.List
	// ask is a long poll: the list when its revision is another than since, nil
	// when it stayed the same for as long as wait.
	ask   func(ctx context.Context, since uint64, wait time.Duration) ([]byte, error)
	fleet string
	cut   func(match func(stream.Peer) bool, refusal *stream.Refusal) int
	log   *slog.Logger

	mu   sync.Mutex // guards stat
	stat revokedStats
}

// revokedStats are counters.
type revokedStats struct {
	Adopted uint64 // lists taken over
	Errors  uint64 // requests for the list that failed
}

// follow keeps the copy up to date until ctx ends.
func (r *revoked) follow(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		_, since, _ := r.list.Since(0)
		snapshot, err := r.ask(ctx, since, pollWait)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil && snapshot != nil {
			err = r.list.Adopt(snapshot)
		}
		r.count(snapshot != nil, err)
		if err != nil && !failing {
			r.log.Warn("revocation list is not up to date, the last one known holds", logkey.Err, err)
		}
		if failing = err != nil; failing {
			pause(ctx, pollRetry)
		}
	}
	return nil
}

// enforce cuts the streams of those that are on the list, now and after every
// change, until ctx ends.
func (r *revoked) enforce(ctx context.Context) error {
	for {
		// The channel is taken before the look at the connections: what comes
		// in between is seen in the next round.
		_, revision, changed := r.list.Since(0)
		refusal := &stream.Refusal{Cause: stream.CauseRevoked, Permanent: true, Text: revokedText}
		if cut := r.cut(r.has, refusal); cut > 0 {
			r.log.Warn("streams of revoked workers cut", logkey.Count, cut, "revision", revision)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

const revokedText = "the fleet has revoked this worker"

// has says that the worker of a connection is on the list, by its identity, its
// key or its certificate.
func (r *revoked) has(p stream.Peer) bool {
	if _, out := r.list.Find(revocation.Worker(p.Worker)); out || p.Leaf == nil {
		return out
	}
	return r.list.Check(p.Leaf, trust.Identity{Fleet: r.fleet, Role: trust.RoleWorker, Name: p.Worker.String()}) != nil
}

func (r *revoked) count(adopted bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.stat.Errors++
	case adopted:
		r.stat.Adopted++
	}
}

func (r *revoked) stats() revokedStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stat
}

// metrics lists the figures of the list.
func (r *revoked) metrics(m *model.Metrics, cut uint64) {
	s := r.stats()
	m.Gauge("cloudless_collector_revocations", "Entries of the revocation list, as known here.", float64(r.list.Len()))
	m.Count("cloudless_collector_revocation_updates_total", "Revocation lists taken over from the coordinator.", s.Adopted)
	m.Count("cloudless_collector_revocation_errors_total", "Requests for the revocation list that failed.", s.Errors)
	m.Count("cloudless_collector_streams_cut_total", "Streams ended because their worker was revoked or another process of it admitted.", cut)
}
