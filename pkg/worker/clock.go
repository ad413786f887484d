package worker

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// clockTold is from which offset on the log is told of it.
const clockTold = time.Second

// clock compares this host's clock with the fleet's. Only what is proved gets in:
// sealed packets, and answers over TLS. Safe for concurrent use.
type clock struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	known  bool
	offset time.Duration // ours minus the fleet's
	told   bool          // that it is large
}

// heard takes an offset, ours minus the fleet's.
func (c *clock) heard(offset time.Duration) {
	c.mu.Lock()
	c.known, c.offset = true, offset
	// It is told again only after it was well below, or one at the edge would
	// fill the log.
	size := max(offset, -offset)
	tell, mended := !c.told && size > clockTold, c.told && size < clockTold/2
	c.told = c.told && !mended || tell
	c.mu.Unlock()
	switch {
	case tell:
		c.log.Warn("this host's clock differs from the fleet's; packets are refused from 5 minutes on", "clock_offset", offset)
	case mended:
		c.log.Info("this host's clock agrees with the fleet's again", "clock_offset", offset)
	}
}

// asked takes the fleet's clock as an answer gave it, to a question that was
// sent and answered at these times of ours.
func (c *clock) asked(sent, answered time.Time, theirs model.Millis) {
	if theirs <= 0 {
		return
	}
	middle := sent.Add(answered.Sub(sent) / 2)
	c.heard(middle.Sub(time.UnixMilli(int64(theirs))))
}

// view returns the newest offset, ours minus the fleet's.
func (c *clock) view() (offset time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset, c.known
}
