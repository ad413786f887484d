package spool

import (
	"errors"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// survey goes over entries of the log in order and finds records that cannot be
// sent: those that cannot be read, and the frames that cannot be decoded without
// them.
type survey struct {
	defs   *definitions
	boots  map[uint32]*boot
	seen   map[uint32]*account
	chains map[chainOf]chain
	// gone takes what it finds.
	gone func(found)
	// holes counts the records that could not be read since the last that could.
	holes uint64
	last  uint32 // boot of the last entry
	// settled: the spool knows of all boots of which something is left.
	settled bool
}

// account is how far the entries of a boot have come.
type account struct {
	seq, frames, total uint64
	samples            uint64 // of the last frame
	at                 model.Millis
	guess              bool // the counts are a guess
	damaged            bool // something of it could not be read
	whole              bool // its beginning was seen
}

type chainOf struct {
	boot   uint32
	stream model.StreamID
}

// chain is a stream as its newest frame leaves it.
type chain struct {
	state    chainState
	seq      uint64
	at       model.Millis
	sinceKey uint32
}

type chainState uint8

const (
	broken  chainState = iota // the next frame has to be a key frame; others are lost
	settled                   // so it is, but the collector has the others: their key frame left the log for that
	linked                    // the next frame has to be the successor
)

func newSurvey(defs *definitions, boots map[uint32]*boot) *survey {
	return &survey{defs: defs, boots: boots, seen: map[uint32]*account{}, chains: map[chainOf]chain{}}
}

// verdict is what becomes of a record.
type verdict struct {
	boot    *boot
	record  record
	payload []byte
	// orphan: it needs a frame that is missing. known: that frame left the log
	// because the collector had it, and this one.
	orphan, known bool
}

// bad notes records that cannot be read.
func (v *survey) bad(lost durable.Range) { v.holes += max(1, lost.Count()) }

// begin notes the entry of a boot. There is one at its beginning, and more later on.
func (v *survey) begin(e entry) {
	if v.seen[e.boot] != nil {
		return
	}
	if former := v.boots[e.start.before]; former != nil && v.seen[former.number] != nil {
		v.missing(former, v.seen[former.number], e.start.formerSeq+1, e.start.formerFrames, e.start.formerTotals, v.seen[former.number].at)
	}
	if e.again {
		return
	}
	v.seen[e.boot] = &account{whole: true}
	v.last, v.holes = e.boot, 0
}

// missing notes what lies between the last record of a boot and one with the number
// next, before which it had made so many frames and samples.
func (v *survey) missing(b *boot, a *account, next, frames, total uint64, until model.Millis) {
	if next <= a.seq+1 || frames <= a.frames && v.holes == 0 {
		return // nothing, or numbers of definitions
	}
	a.damaged = true
	at := a.at
	if at == 0 {
		at = until
	}
	v.gone(found{b, a.seq + 1, next - 1, frames - min(frames, a.frames), total - min(total, a.total), at, max(at, until), a.guess})
	a.frames, a.total = max(a.frames, frames), max(a.total, total)
}

// end counts what could not be read at the end of the log, as if it were frames like
// the last one: nothing behind it says how much it was.
func (v *survey) end() {
	a, b := v.seen[v.last], v.boots[v.last]
	if v.holes == 0 || a == nil || b == nil {
		return
	}
	a.guess = true
	v.missing(b, a, a.seq+1+v.holes, a.frames+v.holes, a.total+v.holes*a.samples, a.at)
}

// found is a loss that a survey has found: records of a boot that have so many frames
// and samples in all.
type found struct {
	boot                      *boot
	from, to, frames, samples uint64
	at, until                 model.Millis
	guess                     bool // frames and samples are a guess
}

// lostFrame is one frame that is lost.
func lostFrame(b *boot, r record) found {
	return found{boot: b, from: r.seq, to: r.seq, frames: 1, samples: r.samples, at: r.header.At, until: r.header.At}
}

// take looks at a record or a loss.
func (v *survey) take(e entry, size int) (verdict, error) {
	parsed, n, err := frame.ParseRecord(e.raw)
	if err != nil || n != len(e.raw) {
		return verdict{}, errors.Join(errMalformed, err)
	}
	b := v.boots[e.boot]
	if b == nil { // nobody knows what it was: its records name nobody
		b = newBoot(e.boot, start{})
		if v.settled {
			b.done.add(1, maxNumber)
		}
		v.boots[e.boot] = b
	}
	r := record{seq: parsed.Seq, kind: parsed.Kind, stream: parsed.Stream, samples: e.samples, size: size}
	own, at := uint64(0), b.newest
	if r.kind == frame.KindFrame {
		if r.header, err = frame.Peek(parsed.Payload); err != nil {
			return verdict{}, errors.Join(errMalformed, err)
		}
		own, at = 1, r.header.At
	}
	v.count(b, e, r, own, at)
	out := verdict{boot: b, record: r, payload: parsed.Payload}
	if r.kind == frame.KindFrame {
		out.orphan, out.known = v.follow(b, r)
	}
	return out, nil
}

// count compares the counts of an entry with those of the one before.
func (v *survey) count(b *boot, e entry, r record, own uint64, at model.Millis) {
	a := v.seen[e.boot]
	switch {
	case a == nil && v.holes > 0 && v.last != 0 && v.last != e.boot:
		a = &account{damaged: true, whole: true, at: at} // it began where nothing can be read
	case a == nil && v.holes > 0: // so may have what was before; its samples are a guess
		n := min(v.holes, r.seq-1)
		a = &account{damaged: true, guess: true, seq: r.seq - 1 - n, frames: e.frames - own - min(n, e.frames-own), at: at}
		a.total = e.total - e.samples - min(n*e.samples, e.total-e.samples)
	case a == nil:
		a = &account{seq: r.seq - 1, frames: e.frames - own, total: e.total - e.samples, at: at}
	}
	v.seen[e.boot] = a
	v.missing(b, a, r.seq, e.frames-own, e.total-e.samples, at)
	if v.holes > 0 {
		a.damaged = true
	}
	samples := a.samples
	if own > 0 {
		samples = e.samples
	}
	*a = account{seq: r.seq, frames: e.frames, total: e.total, samples: samples, at: at, damaged: a.damaged, whole: a.whole}
	v.last, v.holes = e.boot, 0
}

// follow says whether a frame can be decoded.
func (v *survey) follow(b *boot, r record) (orphan, known bool) {
	at, a := chainOf{b.number, r.stream}, v.seen[b.number]
	c, begun := v.chains[at]
	switch {
	case r.header.Key:
		schema, _, mentioned := b.schemaAt(r.stream, r.seq)
		c.state = broken
		if mentioned && schema == r.header.Schema && v.defs.knows(schema) {
			c.state = linked
		}
	case !begun && !a.whole && !a.damaged:
		c.state = settled
	case !begun, c.state == settled && a.damaged, c.state == linked && (r.header.SinceKey != c.sinceKey+1 || r.header.Base != c.at):
		c.state = broken
	}
	if b.lost.has(r.seq) { // whatever was the reason, those behind go with it
		c.state = broken
	}
	c.seq, c.at, c.sinceKey = r.seq, r.header.At, r.header.SinceKey
	v.chains[at] = c
	return c.state != linked, c.state == settled
}

// gapIn returns the gap that an event record tells of.
func gapIn(payload []byte) (event.Gap, bool) {
	e, err := event.Parse(payload)
	if err != nil || e.Gap == nil {
		return event.Gap{}, false
	}
	return *e.Gap, true
}
