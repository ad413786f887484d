package spool

import (
	"math"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// losses collects records that will never be sent, to be told as gaps. Records
// that are done or were counted before are left out.
type losses struct {
	most int // so many gap events; beyond, they are put together, and their sums stay right
	gaps []*loss
	// told are gap events that are lost themselves: what they count is told again.
	told []toldGap
}

// loss is what one gap event tells.
type loss struct {
	boot            *boot
	seqs            intervals
	frames, samples uint64
	at, until       model.Millis
	guessed         bool // it is not known how many values there were in some of it
}

type toldGap struct {
	gap  event.Gap
	seqs []bootSeqs
}

// The most gap events of one drop.
const (
	maxGaps = 16
	maxTold = 64
)

// add adds what was found. Of what was counted before, a share is taken off: that is
// exact where all frames have as many values.
func (l *losses) add(f found) {
	b := f.boot
	var left []interval // of what is neither done nor counted; put changes that
	b.done.gaps(f.from, f.to, func(from, to uint64) bool {
		b.lost.gaps(from, to, func(from, to uint64) bool {
			left = append(left, interval{from, to})
			return true
		})
		return true
	})
	all := b.recordsIn(f.from, f.to)
	for _, i := range left {
		n := b.recordsIn(i.from, i.to)
		frames := share(f.frames, n, all)
		l.put(b, i.from, i.to, frames, share(f.samples, frames, f.frames), f.at, f.until)
		if n > 0 && f.frames > 0 && (n < all || f.guess) {
			l.lastOf(b).guessed = true
		}
	}
}

// recordsIn is how many numbers of an interval are not of definitions.
func (b *boot) recordsIn(from, to uint64) uint64 {
	return to - from + 1 - uint64(b.mentionAfter(to)-b.mentionAfter(from-1))
}

// share is n of all parts of sum, and rather too much than nothing.
func share(sum, n, all uint64) uint64 {
	switch {
	case n == all:
		return sum
	case n == 0:
		return 0
	}
	return uint64(math.Ceil(float64(sum) * float64(n) / float64(all)))
}

func (l *losses) put(b *boot, from, to, frames, samples uint64, at, until model.Millis) {
	b.lost.add(from, to)
	last := l.lastOf(b)
	if last == nil || len(l.gaps) < l.most && !last.continues(from, frames, samples) {
		last = &loss{boot: b, at: at, until: until}
		l.gaps = append(l.gaps, last)
	}
	last.seqs.add(from, to)
	last.frames += frames
	last.samples += samples
	last.at, last.until = min(last.at, at), max(last.until, until)
}

func (l *losses) lastOf(b *boot) *loss {
	for i := len(l.gaps) - 1; i >= 0; i-- {
		if l.gaps[i].boot == b {
			return l.gaps[i]
		}
	}
	return nil
}

// continues says whether a record comes right behind, and has as many values as
// those before it: then whoever knows that some of them did arrive can take them
// off the sum.
func (l *loss) continues(from, frames, samples uint64) bool {
	return l.seqs[len(l.seqs)-1].to+1 == from && samples*l.frames == l.samples*frames
}

// tell adds a gap event that is lost itself, and what it stands for where that is
// still to be written down.
func (l *losses) tell(b *boot, seq uint64, gap event.Gap, seqs ...bootSeqs) {
	if !b.done.has(seq) && !b.lost.has(seq) {
		b.lost.add(seq, seq)
		l.told = append(l.told, toldGap{gap, append(seqs, bootSeqs{b, interval{seq, seq}})})
	}
}

func (l *losses) empty() bool { return len(l.gaps) == 0 && len(l.told) == 0 }

// guess is the text of gaps whose counts are not exact.
const guess = "the counts are estimated"

// together is the text of gaps that were told one by one before, in events that were lost
// themselves.
const together = "put together of several"

// report is a gap event, and which records it stands for.
type report struct {
	gap    event.Gap
	seqs   []bootSeqs
	onDisk bool // what is lost is still in the log
	again  bool // it was told before
}

type bootSeqs struct {
	boot *boot
	interval
}

// reports makes gap events of the losses.
func (l *losses) reports(cause event.Cause, text string, most int) (all []report) {
	all = merged(l.told, most)
	for _, g := range l.gaps {
		if g.frames == 0 {
			continue // events and definitions only
		}
		r := report{gap: event.Gap{Cause: cause, Boot: g.boot.start.id, From: g.at, To: g.until,
			FirstSeq: g.seqs[0].from, LastSeq: g.seqs[len(g.seqs)-1].to, Frames: g.frames, Samples: g.samples, Text: text}}
		if g.guessed {
			r.gap.Text = guess
		}
		for _, i := range g.seqs {
			r.seqs = append(r.seqs, bootSeqs{g.boot, i})
		}
		all = append(all, r)
	}
	return all
}

// merged puts gaps of one cause and boot together when there are more than most. An event
// that has arrived all the same, its acknowledgement being lost, can then not be told from it.
func merged(told []toldGap, most int) (all []report) {
	type key struct {
		cause event.Cause
		boot  model.BootID
	}
	at := map[key]int{}
	for _, t := range told {
		k := key{t.gap.Cause, t.gap.Boot}
		i, known := at[k]
		if !known || len(told) <= most {
			at[k] = len(all)
			all = append(all, report{gap: t.gap, seqs: t.seqs, again: true})
			continue
		}
		g := &all[i].gap
		g.Text = together
		g.From, g.To = min(g.From, t.gap.From), max(g.To, t.gap.To)
		if t.gap.FirstSeq > 0 {
			g.FirstSeq, g.LastSeq = min(g.FirstSeq, t.gap.FirstSeq), max(g.LastSeq, t.gap.LastSeq)
		}
		g.Frames, g.Samples = g.Frames+t.gap.Frames, g.Samples+t.gap.Samples
		all[i].seqs = append(all[i].seqs, t.seqs...)
	}
	return all
}
