package durable

import (
	"errors"
	"io"
	"slices"
)

// index finds out where the records of a segment are, for viewers. Only the first
// viewer of a segment waits for it, and none if a Reader has passed.
func (l *Log) index(s *segment) error {
	l.writer.Lock() // the last segment must not grow meanwhile
	l.mu.Lock()
	last := s == l.last()
	l.mu.Unlock()
	if last {
		defer l.writer.Unlock()
	} else {
		l.writer.Unlock()
		s.indexing.Lock()
		defer s.indexing.Unlock()
	}
	l.mu.Lock()
	done, end := s.indexed || l.closed, l.endLocked(s)
	l.mu.Unlock()
	if done {
		return nil
	}
	file, err := l.disk.Open(s.path)
	if err != nil {
		return diskError("open", s.path, err)
	}
	defer file.Close()
	var found places
	var w walker
	r := Reader{log: l, seg: s, file: file}
	if last {
		w.enter(s.path, s.header, 0, r.read)
	} else {
		w.enter(s.path, s.header, end, r.read)
	}
	for {
		entry, err := w.next()
		if err == nil {
			found.add(entry)
			continue
		}
		var damage *Damage
		switch {
		case errors.As(err, &damage):
			found.lost = append(found.lost, damage)
		case errors.Is(err, io.EOF):
			if last {
				found.reach(uint32(end - min(end, s.first)))
			}
			l.publish(s, found)
			return nil
		default:
			return err
		}
	}
}

// places is where the records of a segment are, as a walker finds them.
type places struct {
	offsets []uint32 // by number; 0: lost
	lost    []*Damage
}

func (p *places) add(e entry) {
	if e.kind == kindMark {
		return
	}
	p.reach(e.number)
	p.offsets = append(p.offsets, uint32(e.at))
}

// reach makes records up to a number lost, unless they were found.
func (p *places) reach(number uint32) {
	if missing := int(number) - len(p.offsets); missing > 0 {
		p.offsets = append(p.offsets, make([]uint32, missing)...)
	}
}

// publish makes it known where a segment's records are.
func (l *Log) publish(s *segment, found places) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !s.indexed {
		s.indexed, s.offsets, s.lost = true, found.offsets, found.lost
	}
}

// wantsIndex reports whether somebody should find out where a segment's records are.
func (l *Log) wantsIndex(s *segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.viewed && !s.indexed
}

// note takes notice of what the walker found, as index does: a reader that has passed
// a whole segment knows where all its records are.
func (r *Reader) note(found entry, err error) {
	if err == nil {
		r.index.add(found)
		return
	}
	var damage *Damage
	switch {
	case errors.As(err, &damage):
		known := *damage
		r.index.lost = append(r.index.lost, &known)
	case errors.Is(err, io.EOF):
		r.collect = false
		r.log.publish(r.seg, places{slices.Clone(r.index.offsets), r.index.lost})
	}
}

// missing describes why a record of the segment is not there.
func (s *segment) missing(index, end uint64) *Damage {
	for _, d := range s.lost {
		if d.Lost.First <= index && (index < d.Lost.End || d.Lost.End == 0) {
			known := *d
			return &known
		}
	}
	return &Damage{File: s.path, Why: "no record begins here", Lost: Range{index, end}}
}

// offsetsOf returns where the records are of entries that begin at an offset.
func offsetsOf(entries []byte, of *segment, at int64) (offsets []uint32) {
	for len(entries) > 0 {
		h, _ := of.key.parseHead(entries)
		if h.kind != kindMark {
			offsets = append(offsets, uint32(at))
		}
		size := headSize + h.length
		entries, at = entries[size:], at+int64(size)
	}
	return offsets
}

// noteSegment begins the offsets of a new segment, with those of the entries that it
// begins with, and ends those of the former one.
func (l *Log) noteSegmentLocked(former, made *segment, entries []byte) {
	if !l.viewed {
		return
	}
	most := 0
	if former != nil && former.indexed {
		kept := former.offsets[:min(uint64(len(former.offsets)), former.end-min(former.end, former.first))]
		most = len(kept) + len(kept)/16 // about as many will come
		if cap(kept) > len(kept)+len(kept)/4 {
			kept = slices.Clone(kept)
		}
		former.offsets = kept
	}
	made.indexed = true
	made.offsets = append(make([]uint32, 0, most), offsetsOf(entries, made, headerSize)...)
}
