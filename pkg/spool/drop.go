package spool

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// tell tells of losses by gap events, the last of which says that the log is to lose
// everything up to an index, if that is not 0. It returns those that could not be told.
func (s *Spool) tell(all []report, through uint64) (left []report, err error) {
	for i, r := range all {
		upTo := uint64(0)
		if i == len(all)-1 {
			upTo = through
		}
		if err := s.putGap(r, upTo); err != nil {
			return all[i:], err
		}
		if r.again {
			continue
		}
		s.mu.Lock()
		sum := s.stats.Dropped[r.gap.Cause]
		s.stats.Dropped[r.gap.Cause] = Loss{sum.Frames + r.gap.Frames, sum.Samples + r.gap.Samples}
		s.mu.Unlock()
		s.log.Warn("measurements are lost before the collector had them", logkey.Reason, string(r.gap.Cause), "frames", r.gap.Frames, "samples", r.gap.Samples)
	}
	return nil, nil
}

// reports makes gap events of losses.
func (s *Spool) reports(l *losses, cause event.Cause, text string, onDisk bool) []report {
	if cause == event.IdentityChanged { // when nothing was measured is the other one's affair
		l.told = slices.DeleteFunc(l.told, func(t toldGap) bool { return !t.gap.Cause.Sampled() })
	}
	all := l.reports(cause, text, s.limits.told)
	for i := range all {
		all[i].onDisk = onDisk
	}
	return all
}

// tellLater tells of losses, those that cannot be told now later.
func (s *Spool) tellLater(all []report) { s.untold, _ = s.tell(append(s.untold, all...), 0) }

// makeRoom drops the oldest records until so many more bytes are within the bound.
// The caller holds writer.
func (s *Spool) makeRoom(more int) error {
	if s.records == nil {
		return nil
	}
	for range maxDrops {
		if s.records.Size()+int64(more)+perDrop <= int64(s.config.MaxBytes) {
			return nil
		}
		end, err := s.segmentEnd()
		if err != nil || end == 0 {
			return err
		}
		if err := s.drop(end, event.SpoolFull, ""); err != nil {
			return err
		}
		if s.records.Oldest() < end {
			return fmt.Errorf("old records are still there: %w", durable.ErrDisk)
		}
	}
	return nil
}

// maxDrops is how many segments make room for one record at most.
const maxDrops = 64

// perDrop is room for the event that tells of a drop, in bytes.
const perDrop = 1024

// segmentEnd returns the index behind the oldest segment, 0 if there is only one.
func (s *Spool) segmentEnd() (end uint64, err error) {
	r := s.records.Read(0)
	defer r.Close()
	first := uint64(0)
	for {
		for r.Next() {
			at := r.Record()
			if first == 0 {
				first = at.At.Segment
			}
			if at.At.Segment != first {
				return at.Index, nil
			}
		}
		if damage := new(durable.Damage); errors.As(r.Err(), &damage) {
			r.Resume()
			continue
		}
		return 0, r.Err()
	}
}

// drop lets the log lose all records below an index: what of them the collector does
// not have is counted, told by events that are on disk, and then they go. The caller
// holds writer.
func (s *Spool) drop(end uint64, cause event.Cause, text string) error {
	lost, err := s.survey(max(s.floor, s.records.Oldest()), end, true)
	if err != nil {
		return err
	}
	if s.untold, err = s.tell(append(s.untold, s.reports(lost, cause, text, true)...), end-1); err != nil {
		return err
	}
	if err := s.secure(); err != nil {
		return err
	}
	s.mu.Lock()
	for _, b := range s.boots {
		first, _, ok := b.logged(1)
		if !ok || b.runs[0].index >= end {
			continue
		}
		b.forget(end)
		if first, _, ok = b.logged(1); !ok {
			first = b.next
			if b == s.cur && len(s.pending.items) > 0 {
				first = s.pending.items[0].seq
			}
		}
		b.done.add(1, first-1)
		for _, l := range b.lanes {
			if l.key < first {
				l.key = 0
			}
		}
	}
	s.floor = max(s.floor, end)
	s.settleLocked()
	s.pruneLocked()
	s.mu.Unlock()
	return s.records.DropThrough(end - 1)
}

// secure makes sure that what was told of losses is on disk, before what was lost goes.
func (s *Spool) secure() error {
	if !s.unsure {
		return nil
	}
	s.mu.Lock()
	waiting := len(s.pending.items) > 0 || !s.pending.losses.empty() || len(s.untold) > 0
	s.mu.Unlock()
	if waiting {
		return fmt.Errorf("the note of what is lost is not on disk: %w", durable.ErrDisk)
	}
	return s.sync()
}

// survey looks at the records of indexes from up to, not including, end, and at the
// frames behind that need them. With dropping they are all lost, else those are that
// cannot be read. The caller holds writer.
func (s *Spool) survey(from, end uint64, dropping bool) (*losses, error) {
	lost := losses{most: s.limits.gaps}
	boots := map[uint32]*boot{}
	s.mu.Lock()
	for _, b := range s.boots {
		boots[b.number] = b
	}
	s.mu.Unlock()
	v := newSurvey(&s.defs, boots)
	v.settled = true
	v.gone = func(f found) {
		s.mu.Lock()
		defer s.mu.Unlock()
		lost.add(f)
	}
	if !dropping {
		s.trust(v, from)
	}
	open := map[chainOf]bool{} // streams whose next frame behind end needs one before it
	behind := false
	err := scan(s.records, from, s.records.Next(), func(index uint64, e entry, size int) bool {
		if e.kind == kindBoot {
			v.begin(e)
		}
		if index >= end && !behind {
			behind = true
			s.cut(v, open, dropping)
		}
		if e.kind != kindRecord && e.kind != kindLoss {
			return !behind || len(open) > 0
		}
		found, err := v.take(e, size)
		if err != nil {
			v.bad(durable.Range{First: index, End: index + 1})
			return true
		}
		b, r, at := found.boot, found.record, chainOf{found.boot.number, found.record.stream}
		if l := b.lanes[r.stream]; behind && r.kind == frame.KindFrame && (!found.orphan || l == nil || r.seq >= l.last) {
			delete(open, at)
		}
		switch {
		case r.kind == frame.KindEvent:
			if gap, ok := gapIn(found.payload); ok && dropping && !behind {
				s.mu.Lock()
				lost.tell(b, r.seq, gap)
				s.mu.Unlock()
			}
		case dropping && !behind, found.orphan && !found.known:
			v.gone(lostFrame(b, r))
		}
		return !behind || len(open) > 0
	}, v.bad)
	if err != nil {
		return nil, err
	}
	s.atEnd(v)
	if !behind {
		s.cut(v, open, dropping)
	}
	s.cutPending(v, open, &lost)
	s.endGroups(v)
	return &lost, nil
}

// atEnd counts what is missing at the end of the log.
func (s *Spool) atEnd(v *survey) {
	b := v.boots[v.last]
	if v.holes == 0 || b == nil || v.seen[v.last] == nil {
		return
	}
	next, frames, total := b.next, b.frames, b.total
	s.mu.Lock()
	if items := s.pending.items; b == s.cur && len(items) > 0 {
		next, frames, total = items[0].seq, items[0].frames, items[0].total-items[0].samples
		if items[0].kind == frame.KindFrame {
			frames--
		}
	}
	s.mu.Unlock()
	v.missing(b, v.seen[v.last], next, frames, total, b.newest)
}

// trust lets the streams go on that are whole where a survey begins.
func (s *Spool) trust(v *survey, from uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boots {
		if len(b.runs) == 0 || b.runs[0].index > from {
			continue
		}
		seq := b.seqAt(from)
		if len(b.chunks) == 0 || b.chunks[b.chunkOf(seq)].seq != seq {
			continue
		}
		for _, m := range b.chunks[b.chunkOf(seq)].lanes {
			c := chain{state: settled, seq: m.last, at: m.at, sinceKey: m.sinceKey}
			if first, _, ok := b.logged(m.key); ok && m.key > 0 && first == m.key && !b.lost.has(m.last) {
				c.state = linked
			}
			v.chains[chainOf{b.number, m.stream}] = c
		}
	}
}

// cut notes which streams have frames behind that may need those before.
func (s *Spool) cut(v *survey, open map[chainOf]bool, dropping bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, a := range v.seen {
		b := v.boots[number]
		if b == nil {
			continue // nothing of it is left
		}
		for stream, l := range b.lanes {
			at := chainOf{number, stream}
			c, begun := v.chains[at]
			if dropping && c.state == linked {
				c.state = broken
				v.chains[at] = c
			}
			if dropping && (!begun || c.state != broken) {
				continue
			}
			open[at] = l.last > a.seq
			if !open[at] {
				delete(open, at)
			}
		}
	}
}

// endGroups makes the next frame of a stream a key frame if the newest one is lost.
func (s *Spool) endGroups(v *survey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, c := range v.chains {
		if l := s.cur.lanes[at.stream]; at.boot == s.cur.number && l != nil && c.state == broken && c.seq == l.last {
			l.key = 0
		}
	}
}

// cutPending goes on in memory where the log ends.
func (s *Spool) cutPending(v *survey, open map[chainOf]bool, lost *losses) {
	s.mu.Lock()
	defer s.mu.Unlock()
	streams := map[model.StreamID]bool{}
	for at := range open {
		if v.boots[at.boot] == s.cur {
			streams[at.stream] = true
		}
	}
	if len(streams) == 0 {
		return
	}
	before := s.pending.losses
	s.pending.losses = losses{most: s.limits.gaps}
	s.breakItemsLocked(streams)
	for _, g := range s.pending.losses.gaps {
		lost.gaps = append(lost.gaps, g)
	}
	s.pending.losses = before
}

// damaged looks at what around a range of indexes is lost because it cannot be read.
func (s *Spool) damaged(r durable.Range, why error) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.log.Error("the spool is damaged", logkey.Err, why)
	if s.records == nil {
		return errNotOpen
	}
	if r.End == 0 {
		r.End = r.First + 1
	}
	from := s.records.Oldest()
	s.mu.Lock()
	for _, b := range s.boots {
		// From two places back: the first one may be what is damaged.
		if len(b.runs) > 0 && b.runs[0].index <= r.First && len(b.chunks) > 0 {
			for i := b.chunkOf(b.seqAt(r.First)); i >= 0; i-- {
				if _, index, ok := b.logged(b.chunks[i].seq); ok && index < r.First {
					from = max(from, index)
					break
				}
			}
		}
	}
	s.mu.Unlock()
	lost, err := s.survey(from, r.End, false)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.stats.Damaged++
	for _, b := range s.boots { // nobody tries to read them again, whatever they were
		for _, one := range b.runs {
			if from, to := max(one.index, r.First), min(one.index+one.n, r.End); from < to {
				b.unread.add(one.seq+from-one.index, one.seq+to-one.index-1)
			}
		}
	}
	s.wakeLocked()
	s.mu.Unlock()
	s.tellLater(s.reports(lost, event.SpoolDamaged, "", true))
	return nil
}

// seqAt returns the number of the record with an index, or of the first one behind
// it.
func (b *boot) seqAt(index uint64) uint64 {
	for _, r := range b.runs {
		if index < r.index+r.n {
			return r.seq + max(index, r.index) - r.index
		}
	}
	return b.next
}
