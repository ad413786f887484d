package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"slices"
)

// Viewer gives records by their index, in any order. It is used by one goroutine at
// a time; a log can have many. What one costs is when it goes to another segment; within
// a segment it takes no lock and makes no system call where the file system can map
// files (Mapper).
type Viewer struct {
	log *Log
	seg *segment // nil: none
	key key
	// first is the index of the segment's first record. offsets are those of the
	// records that are known to be on disk: what they are, and what is there, does
	// not change any more.
	first   uint64
	offsets []uint32
	limit   int64    // the offset behind them
	mapped  *mapping // of the file; nil where that cannot be had
	data    []byte   // the mapping, up to limit
	checked []uint64 // a bit for each record whose checksum was computed since the viewer came to the mapping
	file    File     // where there is no mapping
	buf     []byte
}

// Viewer returns a new viewer. From the first one on the log keeps 4 bytes in memory for
// each record of the segments that are viewed, and of those to come.
func (l *Log) Viewer() *Viewer {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.viewed = true
	return &Viewer{log: l}
}

// View returns the bytes of a record, synced or not. They are valid until the next
// View or Close, and must not be changed. Their checksum is computed when the viewer
// comes to the record for the first time since it came to the segment.
//
// The error is ErrDropped if there is no such record any more, or never was, a
// *Damage, ErrClosed, or one that wraps ErrDisk. A record that is dropped while the
// viewer is in its segment can still be had.
//
// The bytes may be those of a mapped file. View itself survives a page that the disk
// cannot read (it is a *Damage then); who reads the bytes a good while later, when the
// page may have left memory, does that within Guard.
func (v *Viewer) View(index uint64) ([]byte, error) {
	n := index - v.first
	if n >= uint64(len(v.offsets)) || v.log.shut.Load() {
		return v.find(index)
	}
	return v.get(uint32(n))
}

// Close lets go of the segment that the viewer is in. View begins anew.
func (v *Viewer) Close() {
	if v.mapped != nil {
		v.mapped.release()
	}
	if v.file != nil {
		v.file.Close()
	}
	*v = Viewer{log: v.log, buf: v.buf[:0], checked: v.checked[:0]}
}

// find is View for a record that is not among those known.
func (v *Viewer) find(index uint64) ([]byte, error) {
	l := v.log
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			v.Close()
			return nil, ErrClosed
		}
		s, end := l.havingLocked(index)
		switch {
		case s == nil:
			l.mu.Unlock()
			return nil, fmt.Errorf("record %d: %w", index, ErrDropped)
		case s.indexed && s == l.last() && index >= l.synced:
			off := int64(s.offsets[index-s.first])
			entry := l.tail.from(off)
			h, _ := s.key.parseHead(entry)
			v.buf = append(v.buf[:0], entry[headSize:headSize+h.length]...)
			l.mu.Unlock()
			return v.buf, nil
		}
		indexed := s.indexed
		l.mu.Unlock()
		err := error(nil)
		if !indexed {
			err = l.index(s)
		} else if err = v.enter(s); err == nil {
			if n := index - v.first; n < uint64(len(v.offsets)) {
				return v.get(uint32(n))
			}
			return nil, s.missing(index, end)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err != nil && l.has(s) {
			return nil, &Damage{File: s.path, Why: "the file is missing", Lost: Range{s.first, end}}
		}
	}
}

// havingLocked returns the segment that has the record of that index, and the index
// behind its last one.
func (l *Log) havingLocked(index uint64) (s *segment, end uint64) {
	at, found := slices.BinarySearchFunc(l.segments, index, func(s *segment, index uint64) int {
		switch end := l.endLocked(s); {
		case end <= index:
			return -1
		case s.first > index:
			return 1
		}
		return 0
	})
	if !found {
		return nil, 0
	}
	return l.segments[at], l.endLocked(l.segments[at])
}

func (l *Log) endLocked(s *segment) uint64 {
	if s == l.last() {
		return s.endAt(l.next)
	}
	return s.end
}

// enter goes to a segment whose offsets are known, or takes notice of what has
// become of it.
func (v *Viewer) enter(s *segment) error {
	l := v.log
	if v.seg != s {
		v.Close()
	}
	for {
		l.mu.Lock()
		known, limit := l.provenLocked(s)
		if v.mapped == nil || int64(len(v.mapped.data)) < limit {
			v.take(s.mapped)
		}
		l.mu.Unlock()
		if v.file == nil && (v.mapped == nil || int64(len(v.mapped.data)) < limit) {
			file, err := l.mapSegment(s, limit)
			if err != nil {
				v.Close()
				return err
			}
			v.file = file
			if file == nil {
				continue
			}
		}
		v.seg, v.key, v.first = s, s.key, s.first
		v.offsets, v.limit, v.data = known, limit, nil
		if v.file == nil {
			v.data = v.mapped.data[:limit:limit]
			v.growChecked(len(known))
		}
		return nil
	}
}

// take makes m the viewer's mapping, if it is one.
func (v *Viewer) take(m *mapping) {
	if m == nil || m == v.mapped {
		return
	}
	m.hold()
	if v.mapped != nil {
		v.mapped.release()
	}
	v.mapped = m
	clear(v.checked)
}

// growChecked makes room for so many bits.
func (v *Viewer) growChecked(n int) {
	had, words := len(v.checked), (n+63)/64
	if words > had {
		v.checked = slices.Grow(v.checked, words-had)[:words]
		clear(v.checked[had:])
	}
}

// provenLocked returns the offsets of a segment's records that are on disk and stay
// as they are, and the offset behind them.
func (l *Log) provenLocked(s *segment) (offsets []uint32, limit int64) {
	end, limit := s.end, s.size
	if s == l.last() {
		end, limit = min(l.endLocked(s), l.synced), l.tail.at
	}
	n := min(uint64(len(s.offsets)), end-min(end, s.first))
	return s.offsets[:n:n], limit
}

// get returns a record of the segment that the viewer is in.
func (v *Viewer) get(n uint32) ([]byte, error) {
	off := int64(v.offsets[n])
	if off == 0 {
		index := v.first + uint64(n)
		return nil, v.seg.missing(index, index+1)
	}
	if v.data == nil {
		return v.read(n, off)
	}
	data, why := v.touch(n, off)
	if why != "" {
		return nil, v.damage(n, off, why)
	}
	return data, nil
}

// touch takes a record out of the mapping. A page that cannot be read is a fault,
// which kills the process unless it is asked for.
func (v *Viewer) touch(n uint32, off int64) (data []byte, why string) {
	was := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(was)
		if p := recover(); p != nil {
			data, why = nil, "cannot be read: "+faultIn(v.data, p).Error()
		}
	}()
	b := v.data[off:]
	if v.checked[n>>6]>>(n&63)&1 != 0 {
		if end := headSize + int(binary.LittleEndian.Uint32(b)&maxLength); end <= len(b) {
			return b[headSize:end:end], ""
		}
	}
	if data, why = v.key.open(b, n); why == "" {
		v.checked[n>>6] |= 1 << (n & 63)
	}
	return data, why
}

// open returns the bytes of the entry at the beginning of b, if it is the record of
// that number; otherwise what is wrong with it.
func (k key) open(b []byte, n uint32) (data []byte, why string) {
	if len(b) < headSize {
		return nil, "record is cut off"
	}
	h, ok := k.parseHead(b)
	if !ok || h.number != n || h.kind == kindMark {
		return nil, "no record begins here"
	}
	size := headSize + h.length
	if size > len(b) {
		return nil, "record is cut off"
	}
	if !whole(b[:size]) {
		return nil, "checksum does not match"
	}
	return b[headSize:size:size], ""
}

// readSize is how much is read of a record of unknown length, in bytes.
const readSize = 1 << 10

// read reads a record from a file that is not mapped.
func (v *Viewer) read(n uint32, off int64) ([]byte, error) {
	for size := readSize; ; {
		size = int(min(int64(size), v.limit-off))
		if cap(v.buf) < size {
			v.buf = make([]byte, size+size/4)
		}
		b := v.buf[:size]
		got, err := v.file.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, v.damage(n, off, "cannot be read: "+err.Error())
		}
		b = b[:got]
		if h, ok := v.key.parseHeadOf(b); ok && headSize+h.length > size && off+int64(headSize+h.length) <= v.limit {
			size = headSize + h.length
			continue
		}
		data, why := v.key.open(b, n)
		if why != "" {
			return nil, v.damage(n, off, why)
		}
		return data, nil
	}
}

// parseHeadOf is parseHead for what may be too short.
func (k key) parseHeadOf(b []byte) (head, bool) {
	if len(b) < headSize {
		return head{}, false
	}
	return k.parseHead(b)
}

// damage describes a record that is not what was written.
func (v *Viewer) damage(n uint32, off int64, why string) *Damage {
	index, next := v.first+uint64(n), v.limit
	for _, o := range v.offsets[n+1:] {
		if o != 0 {
			next = int64(o)
			break
		}
	}
	return &Damage{File: v.seg.path, Offset: off, Length: next - off, Why: why, Lost: Range{index, index + 1}}
}
