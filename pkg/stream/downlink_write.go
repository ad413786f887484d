package stream

import "time"

// write sends what is due until stop is closed; then once more, and returns.
func (d *downlink) write(stop <-chan struct{}) error {
	ticker := time.NewTicker(d.server.config.PingInterval)
	defer ticker.Stop()
	var out []byte
	for last, tick := false, false; ; {
		durable, changed := d.durable()
		out = d.due(out[:0], durable, tick)
		if len(out) > 0 {
			if err := d.wire.write(out); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		tick = false
		select {
		case <-stop:
			last = true
		case <-changed:
		case <-d.wake:
		case <-ticker.C:
			tick = true
		}
	}
}

// due appends the messages that it is time to send. Rejections go before the
// acknowledgement that covers them.
func (d *downlink) due(dst []byte, durable uint64, tick bool) []byte {
	now, grant := d.server.deps.Now().UnixNano(), d.server.grant()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked != nil {
		dst = appendMessage(dst, pong{d.asked.sent, d.asked.received, now})
		d.asked = nil
	}
	for _, r := range d.rejects {
		dst = appendMessage(dst, r)
	}
	d.rejects = d.rejects[:0]
	if through := d.ackableLocked(durable); through > d.acked {
		d.acked = through
		d.landLocked(through)
		dst = appendMessage(dst, ack{through})
	}
	// Small changes are not worth a message.
	if grant >= 2*d.granted || grant <= d.granted/2 {
		d.granted, d.most = grant, max(d.most, grant)
		dst = appendMessage(dst, window{grant})
	}
	if tick {
		d.pinged = now
		dst = appendMessage(dst, ping{now})
	}
	return dst
}

// ackableLocked returns up to where all records are stored durably or given up.
func (d *downlink) ackableLocked(durable uint64) uint64 {
	if durable >= d.accepted {
		return d.handled // nothing is waiting to become durable
	}
	return durable
}

// landLocked takes off what is acknowledged through a number.
func (d *downlink) landLocked(through uint64) {
	landed := d.flight.release(through)
	d.counts.missing += landed.missing
	d.server.totals.missing.Add(landed.missing)
	if landed.legs > 0 {
		d.server.totals.acks.Add(1)
		d.server.totals.ackDelay.Add(int64(time.Since(d.opened) - landed.began))
	}
}
