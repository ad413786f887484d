package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Stretch is records of one boot that are to be sent in order. Its methods may be
// called at any time, also at once.
type Stretch struct {
	spool *Spool
	id    model.BootID
	boot  *boot
	first uint64
	end   uint64 // number behind the last one; math.MaxUint64: it goes on as records come

	// reading is held while records are read from the log.
	reading sync.Mutex
	reader  *durable.Reader
	index   uint64 // of the record that reader gives next
	held    bool   // reader has read it already
}

const openEnd = math.MaxUint64

// Boot names the run of sequence numbers.
func (st *Stretch) Boot() model.BootID { return st.id }

// Range tells which records there are: first to next-1, with holes where some were
// dropped; first equals next when there is none yet.
func (st *Stretch) Range() (first, next uint64) {
	if st.end != openEnd {
		return st.first, st.end
	}
	st.spool.mu.Lock()
	defer st.spool.mu.Unlock()
	return st.first, max(st.first, st.boot.next)
}

// Parts returns the parts that the records need.
func (st *Stretch) Parts() (ids []frame.PartID) {
	st.spool.mu.Lock()
	defer st.spool.mu.Unlock()
	seen := map[[16]byte]bool{}
	for _, m := range st.boot.mentions {
		if m.kind == frame.KindPart && m.seq < st.end && !seen[m.id] {
			seen[m.id] = true
			ids = append(ids, m.id)
		}
	}
	return ids
}

// Acked tells that everything of the stretch up to through is stored at the
// collector. Numbers that were never given out are ignored.
func (st *Stretch) Acked(through uint64) {
	s := st.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if through = min(through, st.end-1); through < st.first || through >= st.boot.next {
		return
	}
	st.boot.done.add(st.first, through)
	s.stats.cursorChanged = true
	s.wakeLocked()
}

// Rejected tells that the collector gave up records. They are counted; what is
// missing for it, the collector knows best.
func (st *Stretch) Rejected(records uint32) {
	st.spool.mu.Lock()
	defer st.spool.mu.Unlock()
	st.spool.stats.Rejected += uint64(records)
}

// Next appends to dst the encoded records after the number after, whole and in order,
// until the next one would make more than most bytes of them, but at least one. It
// waits until there is one or the context ends; io.EOF says that the stretch has no
// more. last is the number of the last record it appended. dst is the caller's.
func (st *Stretch) Next(ctx context.Context, after uint64, dst []byte, most int) (out []byte, last uint64, err error) {
	st.reading.Lock()
	defer st.reading.Unlock()
	b := batch{st: st, out: dst, start: len(dst), last: after, most: most}
	for {
		changed, err := b.fill()
		if b.some() || err != nil {
			return b.out, b.last, err
		}
		if changed == nil {
			st.release()
			return dst, after, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return dst, after, context.Cause(ctx)
		}
	}
}

// batch is what Next gives.
type batch struct {
	st    *Stretch
	out   []byte
	start int
	last  uint64
	most  int
	full  bool
}

func (b *batch) some() bool { return len(b.out) > b.start }

// fits says whether so many more bytes may be added.
func (b *batch) fits(n int) bool {
	b.full = b.some() && len(b.out)-b.start+n > b.most
	return !b.full
}

// fill adds what there is. changed is nil if there will never be more.
func (b *batch) fill() (changed <-chan struct{}, err error) {
	s, st := b.st.spool, b.st
	for !b.full {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		found, ok := s.findLocked(st.boot, b.last, st.end, nil)
		if m, has := st.mentionLocked(b.last); has && (!ok || m.seq < found.seq) {
			b.define(m)
			s.mu.Unlock()
			continue
		}
		if !ok {
			if st.end == openEnd {
				changed = s.waitLocked()
			}
			s.mu.Unlock()
			return changed, nil
		}
		if found.raw != nil {
			if b.fits(len(found.raw)) {
				b.out, b.last = append(b.out, found.raw...), found.seq
			}
			s.mu.Unlock()
			continue
		}
		if m, has := st.mentionLocked(found.seq); has {
			found.end = min(found.end, m.seq)
		}
		log := s.records
		s.mu.Unlock()
		if err := st.read(log, found, b); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// define adds the record of a part or schema. mu is held.
func (b *batch) define(m mention) {
	c := b.st.spool.defs.givenLocked(m)
	if c == nil {
		b.last = m.seq
		return
	}
	before := len(b.out)
	b.out = frame.AppendRecord(b.out, frame.Record{Seq: m.seq, Kind: m.kind, Stream: m.stream, Payload: c.payload})
	size := len(b.out) - before
	b.out = b.out[:before]
	if b.fits(size) {
		b.out, b.last = b.out[:before+size], m.seq
	}
}

// mentionLocked returns the first mention of the stretch above a number.
func (st *Stretch) mentionLocked(after uint64) (m mention, ok bool) {
	i := st.boot.mentionAfter(after)
	if i == len(st.boot.mentions) || st.boot.mentions[i].seq >= st.end {
		return m, false
	}
	return st.boot.mentions[i], true
}

// place is where a record is: in memory, or in the log.
type place struct {
	seq   uint64
	raw   []byte // in memory
	index uint64 // in the log
	end   uint64 // those up to this number follow it there
}

// nextLocked returns the first record of a boot above after, and below end, that the
// collector does not have and that can be sent.
func (s *Spool) nextLocked(b *boot, after, end uint64) (found place, ok bool) {
	return s.findLocked(b, after, end, b.done)
}

// findLocked returns the first record of a boot above after, and below end, that is
// there, was not lost, and is not among others. Within a stretch nothing is left out
// for being acknowledged meanwhile, by another connection: what follows may need it.
func (s *Spool) findLocked(b *boot, after, end uint64, others intervals) (found place, ok bool) {
	for seq := after + 1; ; {
		for at := uint64(0); at != seq; {
			at, seq = seq, b.unread.past(b.lost.past(others.past(seq)))
		}
		if seq >= end {
			return found, false
		}
		first, index, logged := b.logged(seq)
		if !logged {
			it, ok := s.pendingLocked(b, seq)
			if !ok || it.seq >= end {
				return found, false
			}
			if it.seq == seq {
				return place{seq: seq, raw: it.raw}, true
			}
			seq = it.seq
			continue
		}
		if first > seq {
			seq = first
			continue
		}
		r := b.runs[b.runOf(seq)]
		stop := b.unread.next(seq, b.lost.next(seq, others.next(seq, min(end, r.seq+r.n))))
		return place{seq: seq, index: index, end: stop}, true
	}
}

// pendingLocked returns the first record from seq on that waits in memory.
func (s *Spool) pendingLocked(b *boot, seq uint64) (it *item, ok bool) {
	items := s.pending.items
	if b != s.cur || len(items) == 0 {
		return nil, false
	}
	low, high := 0, len(items)
	for low < high {
		if mid := (low + high) / 2; items[mid].seq < seq {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == len(items) {
		return nil, false
	}
	return &items[low], true
}

// far is so many records that looking for the place anew is quicker than reading on.
const far = 4096

// read adds records from the log, until the batch is full or they do not follow any
// more.
func (st *Stretch) read(log *durable.Log, from place, b *batch) error {
	if st.reader != nil && (st.index > from.index || from.index-st.index > far) {
		st.release()
	}
	if st.reader == nil {
		st.reader, st.index = log.Read(from.index), from.index
	}
	for seq, index := from.seq, from.index; seq < from.end; {
		if !st.held && !st.reader.Next() {
			return st.stopped(from)
		}
		found := st.reader.Record()
		st.held, st.index = true, found.Index
		if found.Index < index {
			st.held, st.index = false, found.Index+1
			continue
		}
		if found.Index > index {
			return nil // it was dropped in this moment
		}
		e, err := parseEntry(found.Data)
		if err != nil || len(e.raw) == 0 {
			st.held, st.index = false, found.Index+1
			return st.spool.damaged(durable.Range{First: index, End: index + 1}, fmt.Errorf("record %d at %v: %w", index, found.At, errMalformed))
		}
		if !b.fits(len(e.raw)) {
			return nil
		}
		b.out, b.last = append(b.out, e.raw...), seq
		st.held, st.index = false, found.Index+1
		seq, index = seq+1, index+1
	}
	return nil
}

// stopped says what is to be done when the reader does not go on.
func (st *Stretch) stopped(from place) error {
	err := st.reader.Err()
	damage, ok := errors.AsType[*durable.Damage](err)
	switch {
	case ok:
		st.release()
		return st.spool.damaged(damage.Lost, damage)
	case errors.Is(err, durable.ErrClosed):
		st.release()
		return ErrClosed
	case err != nil:
		st.release()
		return fmt.Errorf("read record %d: %w", from.seq, err)
	}
	if st.spool.records.Oldest() <= from.index {
		st.release()
		return fmt.Errorf("read record %d: it is not where it was written: %w", from.seq, durable.ErrDisk)
	}
	return nil
}

// release lets go of the file.
func (st *Stretch) release() {
	if st.reader != nil {
		st.reader.Close()
	}
	st.reader, st.held = nil, false
}
