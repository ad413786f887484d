package stream

import (
	"context"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// pacer keeps what is sent within a number of bytes a second. Not safe for
// concurrent use.
type pacer struct {
	rate model.Bytes // per second
	next time.Time   // when what was sent so far is within the rate
}

// newPacer returns nil, which is no limit, for a rate of 0.
func newPacer(rate model.Bytes) *pacer {
	if rate == 0 {
		return nil
	}
	return &pacer{rate: rate}
}

// limit makes a message of at most most bytes so small that a slow rate does not
// become a burst every few seconds.
func (p *pacer) limit(most int) int {
	if p == nil {
		return most
	}
	return min(most, max(4<<10, int(p.rate/8)))
}

// sent notes that bytes went out at a time. Time in which less was sent than
// might have been is not made up for.
func (p *pacer) sent(at time.Time, size int) {
	if p == nil {
		return
	}
	if p.next.Before(at) {
		p.next = at
	}
	p.next = p.next.Add(time.Duration(float64(size) / float64(p.rate) * float64(time.Second)))
}

// wait waits until more may be sent; false when ctx ended first.
func (p *pacer) wait(ctx context.Context) bool {
	if p != nil {
		if early := time.Until(p.next); early > 0 {
			sleep(ctx, early)
		}
	}
	return ctx.Err() == nil
}
