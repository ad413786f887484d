package registry

import (
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// identify compares the sender of a ProbeAck with the machine known under the
// id, and takes over its host info if adopt allows it.
//
// A change of host name, ports or address is normal and taken at once, but not
// more often than once in a window (the lease, at least the default keep-alive
// period), so that nothing flaps. Senders that differ in both host info and
// source address may be two machines. They are when they take turns: X, Y and
// X again within one window. Then the machine shown at that time stays, for as
// long as it is heard, and the other is shown as its rival.
func (d *decision) identify(e ProbeAck, adopt bool) {
	w, now := d.w, d.now
	window := max(w.KeepAlive, d.p.KeepAlive)
	if w.hostSeen.IsZero() && !w.Source.IsValid() && w.Host.Hostname == "" {
		d.adopt(e)
		return
	}
	sameSource, sameHost := e.Source == w.Source, equalHost(e.Host, w.Host)
	switch {
	case sameSource && sameHost:
		if w.Rival != nil && w.Rival.Seen.After(w.hostSeen) && now.Sub(w.hostSeen) <= window {
			d.tookTurns()
		} else if w.Rival != nil && now.Sub(w.Rival.Seen) > window {
			d.conflictOver()
		}
		w.hostSeen = now
	case !sameSource && !sameHost:
		if r := w.Rival; r != nil && r.Source == e.Source && equalHost(r.Host, e.Host) &&
			w.hostSeen.After(r.Seen) && now.Sub(r.Seen) <= window {
			d.tookTurns()
		}
		d.challenge(e, adopt, window)
	default: // renamed, or re-addressed: one machine
		if adopt && now.Sub(w.hostSince) >= window {
			d.adopt(e)
		}
		w.hostSeen = now
	}
}

// challenge decides which of two different machines is shown.
func (d *decision) challenge(e ProbeAck, adopt bool, window time.Duration) {
	w, now := d.w, d.now
	gone := now.Sub(w.hostSeen) > window
	if !adopt || w.Conflict && !gone || !w.Conflict && now.Sub(w.hostSince) < window {
		w.Rival = &Rival{Host: e.Host, Source: e.Source, Seen: now}
		return
	}
	old := &Rival{Host: w.Host, Source: w.Source, Seen: w.hostSeen}
	if gone {
		d.conflictOver()
	}
	d.adopt(e)
	w.Rival = old
}

func (d *decision) adopt(e ProbeAck) {
	d.w.Host, d.w.Source = e.Host, e.Source
	d.w.hostSince, d.w.hostSeen = d.now, d.now
	d.out = append(d.out, HostChanged{})
	d.persist = true
}

func (d *decision) tookTurns() {
	d.w.Conflicts++
	if !d.w.Conflict {
		d.w.Conflict = true
		d.out = append(d.out, ConflictChanged{Active: true})
	}
}

func (d *decision) conflictOver() {
	d.w.Rival = nil
	if d.w.Conflict {
		d.w.Conflict = false
		d.out = append(d.out, ConflictChanged{Active: false})
	}
}

func equalHost(a, b model.HostInfo) bool {
	return a.Hostname == b.Hostname && a.Addr == b.Addr && a.Type == b.Type && slices.Equal(a.Ports, b.Ports)
}
