package spool

import (
	"errors"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Append gives the payload the next sequence number and keeps a copy of it as a
// record. key says of a frame whether it is a key frame, and samples how many values
// are in it (columns that are not absent); both are false and 0 of others. A part
// that is held already is not kept twice: its number is returned. A frame and all
// before it are in the hands of the operating system when Append returns, or, if the
// disk does not work, in memory.
//
// Append may write, drop older records to make room, and sync.
func (s *Spool) Append(kind frame.Kind, stream model.StreamID, key bool, payload []byte, samples int) (seq uint64, err error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	seq, err = s.append(kind, stream, key, payload, samples)
	if err != nil && !errors.Is(err, ErrKeyNeeded) && !errors.Is(err, ErrClosed) {
		s.mu.Lock()
		s.stats.Refused++
		s.mu.Unlock()
	}
	return seq, err
}

func (s *Spool) append(kind frame.Kind, stream model.StreamID, key bool, payload []byte, samples int) (uint64, error) {
	if len(payload) > frame.MaxPayload {
		return 0, fmt.Errorf("append %v of %d bytes: %w", kind, len(payload), ErrTooLarge)
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return 0, ErrClosed
	}
	switch kind {
	case frame.KindPart:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.addPartLocked(payload)
	case frame.KindSchema:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.addSchemaLocked(stream, payload)
	case frame.KindFrame:
		return s.addFrame(stream, key, payload, samples)
	case frame.KindEvent:
		return s.put(item{kind: kind, stream: stream}, payload)
	}
	return 0, fmt.Errorf("append %v: no kind of record", kind)
}

func (s *Spool) addFrame(stream model.StreamID, key bool, payload []byte, samples int) (uint64, error) {
	h, err := frame.Peek(payload)
	if err != nil {
		return 0, fmt.Errorf("append frame of stream %d: %w", stream, err)
	}
	if h.Key != key || samples < 0 || samples > frame.MaxColumns {
		return 0, fmt.Errorf("append frame of stream %d: key %v, %d samples: %w", stream, key, samples, errMalformed)
	}
	s.mu.Lock()
	l := s.cur.lanes[stream]
	switch {
	case l == nil, key && l.schema != h.Schema:
		err = ErrSchemaNeeded
	case key:
	case !l.follows(h), l.group+uint64(len(payload)) > uint64(s.limits.group), s.cur.bytes-l.mark > uint64(s.limits.idle):
		l.key = 0
		err = ErrKeyNeeded
	}
	s.mu.Unlock()
	if err != nil {
		return 0, fmt.Errorf("append frame of stream %d: %w", stream, err)
	}
	s.begin(h.At)
	return s.put(item{kind: frame.KindFrame, stream: stream, header: h, samples: uint64(samples)}, payload)
}

// Gap takes note of samples that are missing for a reason that lies before the
// spool: it becomes an event.
func (s *Spool) Gap(gap event.Gap) {
	s.writer.Lock()
	defer s.writer.Unlock()
	_ = s.putGap(report{gap: gap}, 0) // fails only when the spool is closed
}

// putGap appends a gap event.
func (s *Spool) putGap(r report, through uint64) error {
	if r.gap.Boot.IsZero() && r.gap.Cause == event.RoundSkipped {
		r.gap.Boot = s.Boot()
	}
	s.unsure = true
	payload := event.Append(nil, event.OfGap(r.gap))
	_, err := s.put(item{kind: frame.KindEvent, loss: true, lost: r.seqs, through: through, onDisk: r.onDisk}, payload)
	return err
}

// item is a record on its way to the log.
type item struct {
	seq           uint64
	kind          frame.Kind
	stream        model.StreamID
	header        frame.Header // of a frame
	samples       uint64
	frames, total uint64 // of the boot, with this one
	raw           []byte
	at            model.Millis // of the newest frame then

	loss    bool
	lost    []bootSeqs
	through uint64
	// onDisk: what it tells of is on disk still. If this cannot be written, it is not
	// told: it would be told again by a process that does not know of it.
	onDisk bool
}

// put gives a record its number and writes it, or keeps it in memory.
func (s *Spool) put(it item, payload []byte) (uint64, error) {
	s.mu.Lock()
	closed, direct := s.closed, s.records != nil && len(s.pending.items) == 0
	s.mu.Unlock()
	if closed {
		return 0, ErrClosed
	}
	var err error
	if direct && !it.loss {
		if err = s.makeRoom(len(payload)); err != nil {
			s.trouble("drop old records", err)
		}
		direct = err == nil
	}
	if it.onDisk && !direct {
		return 0, errNotOpen
	}
	s.mu.Lock()
	b := s.cur
	if it.kind == frame.KindFrame && !it.header.Key && b.lanes[it.stream].key == 0 { // what made room took its key frame
		s.mu.Unlock()
		return 0, fmt.Errorf("append frame of stream %d: %w", it.stream, ErrKeyNeeded)
	}
	it.seq = b.next
	s.raw = frame.AppendRecord(s.raw[:0], frame.Record{Seq: it.seq, Kind: it.kind, Stream: it.stream, Payload: payload})
	it.raw = s.raw
	b.note(record{seq: it.seq, kind: it.kind, stream: it.stream, header: it.header, samples: it.samples, size: len(it.raw) + perEntry}, uint64(s.limits.chunk))
	it.frames, it.total, it.at = b.frames, b.total, b.newest
	s.stats.Newest = max(s.stats.Newest, b.newest)
	s.stats.Appended++
	s.stats.AppendedBytes += uint64(len(it.raw))
	direct = direct && len(s.pending.items) == 0
	s.mu.Unlock()
	if !direct {
		s.keep(it)
		if !it.loss {
			s.retry()
		}
		return it.seq, nil
	}
	if err := s.write(it); err != nil && it.onDisk {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.lost.add(it.seq, it.seq) // the number is used up, for nothing
		return 0, err
	} else if err != nil {
		s.trouble("append", err)
		s.keep(it)
		return it.seq, nil
	}
	if err := s.records.Flush(); err != nil { // it is in the log, which writes it later
		s.trouble("write", err)
	} else {
		s.fine()
	}
	return it.seq, nil
}

// perEntry is about what the log adds to a record, in bytes.
const perEntry = 24

// write appends a record to the log, behind the definitions that it needs.
func (s *Spool) write(it item) error {
	if err := s.defs.flush(s.cur.number); err != nil {
		return err
	}
	e := entry{kind: kindRecord, boot: s.cur.number, samples: it.samples, frames: it.frames, total: it.total, raw: it.raw}
	if it.loss {
		e.kind, e.through = kindLoss, it.through
		for _, l := range it.lost {
			e.lost = append(e.lost, lostSeqs{l.boot.number, l.interval})
		}
	}
	s.buf = appendEntry(s.buf[:0], e)
	entries := [][]byte{s.buf}
	if s.sinceBoot += len(s.buf); s.sinceBoot >= int(s.limits.segment)/2 { // each segment says whose records it has
		entries = append(entries, appendEntry(nil, entry{kind: kindBoot, boot: s.cur.number, start: s.cur.start, again: true}))
		s.sinceBoot = 0
	}
	index, err := s.records.Append(entries...)
	if err != nil {
		return err
	}
	if len(it.lost) > 0 {
		// Before anybody sees it: what was told, and forgotten in a power cut, would be
		// told again. If it fails, it is tried again before what is lost goes.
		if err := s.records.Sync(); err != nil {
			s.trouble("sync", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cur.place(it.seq, index)
	s.wakeLocked()
	return nil
}
