package stream

import (
	"errors"
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

// read takes the worker's messages until the connection ends, and says why.
func (d *downlink) read() error {
	for d.ctx.Err() == nil {
		k, body, err := d.wire.read()
		if err != nil {
			return err
		}
		if k == kindRecords {
			err = d.takeRecords(body)
		} else {
			err = d.take(k, body)
		}
		if err != nil {
			return err
		}
	}
	return d.ctx.Err()
}

func (d *downlink) take(k kind, body []byte) error {
	m, err := parseBody(k, body)
	if err != nil {
		return ended(EndProtocol, err)
	}
	now := d.server.deps.Now().UnixNano()
	switch m := m.(type) {
	case ping:
		d.mu.Lock()
		d.asked = &question{m.sent, now}
		d.mu.Unlock()
		d.nudge()
	case pong:
		d.mu.Lock()
		if m.ping == d.pinged && m.ping != 0 {
			d.clock.add(exchange{m.ping, m.received, m.sent, now})
		}
		d.pinged = 0
		d.mu.Unlock()
	case bye:
		d.drain()
		return ended(EndBye, errors.New("the worker said goodbye"))
	default:
		return ended(EndProtocol, fmt.Errorf("the worker sent a message of type %d", k))
	}
	return nil
}

// drainTimeout is how long a worker that said goodbye is kept for the last
// acknowledgements.
const drainTimeout = 2 * time.Second

// drain waits until what the session took is durable.
func (d *downlink) drain() {
	patience := time.NewTimer(drainTimeout)
	defer patience.Stop()
	for {
		durable, changed := d.durable()
		if durable >= d.accepted { // written by this goroutine only
			return
		}
		select {
		case <-changed:
		case <-d.ctx.Done():
			return
		case <-patience.C:
			return
		}
	}
}

// batch is what one message of records did.
type batch struct {
	leg      leg
	counts   counts
	accepted uint64
	rejects  []reject
}

// takeRecords gives the records of a message to the session. What was given
// before an error is settled all the same, so that it is acknowledged.
func (d *downlink) takeRecords(body []byte) error {
	b := batch{accepted: d.accepted, leg: leg{at: time.Since(d.opened)}}
	err := d.giveAll(&b, body)
	if full := d.settle(b); err == nil {
		err = full
	}
	d.nudge()
	return err
}

func (d *downlink) giveAll(b *batch, body []byte) error {
	for rest := body; len(rest) > 0; {
		r, n, err := frame.ParseRecord(rest)
		if err != nil {
			return ended(EndRecord, fmt.Errorf("record after %d, byte %d of %d: %w", d.latest, len(body)-len(rest), len(body), err))
		}
		if r.Seq <= d.latest {
			return ended(EndOrder, fmt.Errorf("record %d after record %d", r.Seq, d.latest))
		}
		if d.hello.role == roleBackfill && r.Seq >= d.hello.next {
			return ended(EndOrder, fmt.Errorf("record %d of a stretch that ends before %d", r.Seq, d.hello.next))
		}
		if err := d.give(b, r, rest[:n]); err != nil {
			return err
		}
		d.latest = r.Seq
		rest = rest[n:]
	}
	return nil
}

// give gives one record to the session.
func (d *downlink) give(b *batch, r frame.Record, raw []byte) error {
	err := d.session.Append(r, raw)
	refusal := refusalIn(err)
	switch {
	case err == nil:
		b.accepted = max(b.accepted, r.Seq)
	case refusal != nil && refusal.Permanent:
		b.counts.rejected++
		d.server.totals.rejected[refusal.Cause.known()].Add(1)
		b.rejects = addReject(b.rejects, r.Seq, refusal)
		b.accepted = max(b.accepted, r.Seq) // that it was given up must be durable, too, before it is acknowledged
	default:
		return sinkError(fmt.Errorf("store record %d: %w", r.Seq, err))
	}
	b.counts.records++
	b.counts.bytes += uint64(len(raw))
	if r.Seq > d.resume {
		missing := r.Seq - max(d.latest, d.resume) - 1
		b.leg.through = r.Seq
		b.leg.bytes += uint64(len(raw))
		b.leg.missing += missing
	}
	return nil
}

// settle makes known to the writer what a message did.
func (d *downlink) settle(b batch) error {
	d.server.totals.add(b.counts)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.records += b.counts.records
	d.counts.bytes += b.counts.bytes
	d.counts.rejected += b.counts.rejected
	d.rejects = mergeRejects(d.rejects, b.rejects)
	d.accepted, d.handled = b.accepted, max(d.handled, d.latest)
	if b.leg.through == 0 {
		return nil // context only
	}
	d.flight.add(b.leg)
	if most := uint64(d.most) + maxBody; d.flight.bytes > most {
		return ended(EndWindow, fmt.Errorf("%d bytes in flight, at most %d were granted", d.flight.bytes, most))
	}
	return nil
}
