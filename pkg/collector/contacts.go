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

// contactsEvery is how often the coordinator hears which workers sent frames.
const contactsEvery = time.Second

// contacts tells the coordinator who was heard: an accepted frame renews the
// worker's lease. What is gathered is one time for each worker with an open
// stream; what the coordinator did not take is tried again with what follows.
type contacts struct {
	client *api.ControlClient
	log    *slog.Logger

	mu     sync.Mutex // guards what follows
	heard  map[model.WorkerID]model.Millis
	sent   uint64
	failed uint64
}

func newContacts(client *api.ControlClient, log *slog.Logger) *contacts {
	return &contacts{client: client, log: log, heard: map[model.WorkerID]model.Millis{}}
}

// saw notes that a frame of the worker was accepted.
func (c *contacts) saw(id model.WorkerID, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard[id] = model.Millis(at.UnixMilli())
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
	batch := c.takeAll()
	if len(batch) == 0 {
		return
	}
	result, err := c.client.Contacts(ctx, batch)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed++
		for _, contact := range batch {
			c.heard[contact.ID] = max(c.heard[contact.ID], contact.At)
		}
		return // the fleet view logs that the coordinator is away
	}
	c.sent += uint64(len(batch))
	for _, id := range result.Unknown {
		c.log.Debug("coordinator does not know the sender of frames", logkey.Worker, id)
	}
}

func (c *contacts) takeAll() []api.Contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := make([]api.Contact, 0, len(c.heard))
	for id, at := range c.heard {
		batch = append(batch, api.Contact{ID: id, At: at})
	}
	clear(c.heard)
	return batch
}

func (c *contacts) stats() (sent, failed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, c.failed
}
