package stream

import "time"

// exchange is the four times of one question and its answer, as in NTP: asked
// and answered by the asking side's clock, received and sent by the other's.
// Nanoseconds since the Unix epoch; the peer's are not to be trusted.
type exchange struct{ asked, received, sent, answered int64 }

// offset is the other side's clock minus the asking side's, right to half of
// the round trip; ok is false for times that cannot be.
func (e exchange) offset() (offset, roundTrip time.Duration, ok bool) {
	there, back := e.received-e.asked, e.sent-e.answered
	roundTrip = time.Duration((e.answered - e.asked) - (e.sent - e.received))
	const most = int64(200 * 365 * 24 * time.Hour) // half of what is representable: sums do not overflow
	if e.sent < e.received || roundTrip < 0 || there > most || there < -most || back > most || back < -most {
		return 0, 0, false
	}
	return time.Duration((there + back) / 2), roundTrip, true
}

// clockFilter finds the offset of a peer's clock from several exchanges: the one
// with the shortest way is the most exact. Not safe for concurrent use.
type clockFilter struct {
	seen [8]measurement
	n    int // measurements ever
}

type measurement struct{ offset, roundTrip time.Duration }

// stepSlack is by how much two measurements may contradict each other before
// one of the clocks must have been set.
const stepSlack = 20 * time.Millisecond

func (f *clockFilter) add(e exchange) {
	offset, roundTrip, ok := e.offset()
	if !ok {
		return
	}
	if best, have := f.best(); have && (offset-best.offset).Abs() > (roundTrip+best.roundTrip)/2+stepSlack {
		*f = clockFilter{} // a clock was set: what was seen before is no longer true
	}
	f.seen[f.n%len(f.seen)] = measurement{offset, roundTrip}
	f.n++
}

func (f *clockFilter) best() (best measurement, ok bool) {
	for i, m := range f.seen[:min(f.n, len(f.seen))] {
		if i == 0 || m.roundTrip < best.roundTrip {
			best, ok = m, true
		}
	}
	return best, ok
}
