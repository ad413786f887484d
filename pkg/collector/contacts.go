package collector

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	// contactsEvery is how often the coordinator hears which workers sent frames.
	contactsEvery = time.Second
	// contactsTimeout is how long it may take to answer.
	contactsTimeout = 5 * time.Second
	// maxContacts bounds the workers that wait to be told of. One more is not
	// noted: its next frame is another chance.
	maxContacts = 100_000
)

// contacts tells the coordinator who was heard: an accepted frame renews the
// worker's lease. What is gathered is one time for each worker that was heard
// since the last report; what the coordinator did not take is tried again with
// what follows.
type contacts struct {
	client *api.ControlClient
	log    *slog.Logger
	now    func() time.Time

	mu    sync.Mutex // guards what follows
	heard map[model.WorkerID]time.Time
	stat  contactStats
}

// contactStats are counters.
type contactStats struct {
	Sent   uint64 // contacts told
	Failed uint64 // reports that the coordinator did not take
	Missed uint64 // contacts not noted because too many wait
}

func newContacts(client *api.ControlClient, log *slog.Logger, now func() time.Time) *contacts {
	return &contacts{client: client, log: log, now: now, heard: map[model.WorkerID]time.Time{}}
}

// saw notes that a frame of the worker was accepted now.
func (c *contacts) saw(id model.WorkerID) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(id, now)
}

// noteLocked keeps the newest time of each worker.
func (c *contacts) noteLocked(id model.WorkerID, at time.Time) {
	was, known := c.heard[id]
	switch {
	case !known && len(c.heard) >= maxContacts:
		c.stat.Missed++
	case !known || at.After(was):
		c.heard[id] = at
	}
}

// run reports every second until ctx ends.
func (c *contacts) run(ctx context.Context) error {
	ticks := time.NewTicker(contactsEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
			c.report(ctx)
		}
	}
}

func (c *contacts) report(ctx context.Context) {
	heard := c.takeAll()
	if len(heard) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, contactsTimeout)
	defer cancel()
	now := c.now()
	result, err := c.client.Contacts(ctx, model.Millis(now.UnixMilli()), batchOf(heard, now))
	c.reported(heard, err)
	if err != nil {
		return // the fleet view logs that the coordinator is away
	}
	for _, id := range result.Unknown {
		c.log.Debug("coordinator does not know the sender of frames", logkey.Worker, id)
	}
}

// batchOf says when workers were heard as a clock would that showed now and was
// never set before: their ages are what counts.
func batchOf(heard map[model.WorkerID]time.Time, now time.Time) []api.Contact {
	batch := make([]api.Contact, 0, len(heard))
	for id, at := range heard {
		batch = append(batch, api.Contact{ID: id, At: model.Millis(now.Round(0).Add(-now.Sub(at)).UnixMilli())})
	}
	return batch
}

func (c *contacts) takeAll() map[model.WorkerID]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	heard := c.heard
	c.heard = make(map[model.WorkerID]time.Time, len(heard))
	return heard
}

// reported counts a report, and keeps what the coordinator did not take.
func (c *contacts) reported(heard map[model.WorkerID]time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.stat.Sent += uint64(len(heard))
		return
	}
	c.stat.Failed++
	for id, at := range heard {
		c.noteLocked(id, at)
	}
}

func (c *contacts) stats() contactStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stat
}
