package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
)

// Position is where a record is. It stays where it is once it is synced.
type Position struct {
	Segment uint64 // number, as in the file's name
	Offset  int64  // bytes
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", segmentName(p.Segment), p.Offset) }

// Record is one record.
type Record struct {
	Index uint64
	At    Position
	// Data is valid until the reader goes on, and must not be changed.
	Data []byte
}

// Reader goes over the records of a log, also while it is appended to. It is used
// by one goroutine at a time; a log can have many.
type Reader struct {
	log    *Log
	next   uint64 // index of the record wanted next
	seg    *segment
	file   File
	walk   walker
	record Record
	err    error
	// index collects where the records of the segment are, for viewers, if
	// collect says so.
	collect bool
	index   places
}

// Read returns a reader that begins with the record of that index, or, if it is
// not there, with the oldest one behind it.
func (l *Log) Read(index uint64) *Reader { return &Reader{log: l, next: index} }

// ReadAt returns a reader that begins with the record at that position. If its
// segment is there no more the reader begins with the oldest record behind; if no
// record begins there, with an error *Damage.
func (l *Log) ReadAt(at Position) *Reader {
	r := &Reader{log: l}
	s := l.bySegment(at.Segment)
	if s == nil {
		return r
	}
	r.next = s.first
	if s.number != at.Segment || !r.enter(s) {
		return r
	}
	r.collect = false
	if !r.walk.seat(at.Offset) {
		r.err = &Damage{File: s.path, Offset: at.Offset, Why: "no record begins here", Lost: Range{s.first, s.first}}
	}
	r.next = r.walk.index()
	return r
}

// Next goes to the next record, and reports whether there is one. If not, Err says
// why; without an error, the reader has reached the end, and Next may be
// called again when there is more (Log.Wait).
//
// Indexes rise by one from record to record, except over what was dropped or is
// damaged.
func (r *Reader) Next() bool {
	for r.err == nil {
		if r.seg == nil && !r.enter(r.log.holding(r.next)) {
			return false
		}
		found, err := r.walk.next()
		if r.collect {
			r.note(found, err)
		}
		switch {
		case err != nil:
			if !r.stop(err) {
				return false
			}
		case found.kind != kindMark && r.take(found):
			return true
		}
	}
	return false
}

// stop decides what to do when the walker does not find another entry. It reports
// false at the end of the log.
func (r *Reader) stop(err error) (goOn bool) {
	var damage *Damage
	if errors.As(err, &damage) {
		if lost := damage.Lost; lost.End == 0 || lost.End > r.next || lost.First >= r.next {
			r.err = r.orClosed(damage)
			r.next = max(r.next, lost.End)
		}
		return true
	}
	last, end, closed := r.log.state(r.seg)
	switch {
	case closed || errors.Is(err, ErrClosed):
		r.err = ErrClosed
	case last:
		return false
	case r.walk.end == 0: // it was the last one a moment ago
		r.walk.end = end
	default:
		r.next = max(r.next, end)
		r.leave()
	}
	return true
}

// take makes an entry the record, unless it comes before what is wanted.
func (r *Reader) take(found entry) bool {
	index := r.walk.index() - 1
	if index < r.next {
		return false
	}
	r.next = index + 1
	r.record = Record{Index: index, At: Position{r.seg.number, found.at}, Data: found.data}
	return true
}

// Record returns the record that Next went to.
func (r *Reader) Record() Record { return r.record }

// Err returns what stopped Next: nil at the end of the log, a *Damage,
// ErrClosed, or an error that wraps ErrDisk. It stays until Resume.
func (r *Reader) Err() error { return r.err }

// Resume lets Next go on: behind a *Damage, or by trying again.
func (r *Reader) Resume() { r.err = nil }

// Close lets go of the reader's file.
func (r *Reader) Close() {
	r.leave()
	if r.err == nil {
		r.err = ErrClosed
	}
}

func (r *Reader) leave() {
	if r.file != nil {
		r.file.Close()
	}
	r.seg, r.file = nil, nil
}

// enter opens a segment. It reports false, with or without an error, if there is
// nothing to read.
func (r *Reader) enter(s *segment) bool {
	if s == nil {
		return false
	}
	file, err := r.log.disk.Open(s.path)
	last, end, closed := r.log.state(s)
	switch {
	case closed:
		r.err = ErrClosed
	case errors.Is(err, fs.ErrNotExist) && !r.log.has(s):
		return r.enter(r.log.holding(r.next)) // it was dropped in this moment
	case errors.Is(err, fs.ErrNotExist) && !last:
		r.err = &Damage{File: s.path, Why: "the file is missing", Lost: Range{max(r.next, s.first), end}}
		r.next = end
	case err != nil:
		r.err = diskError("open", s.path, err)
	}
	if r.err != nil {
		if err == nil {
			file.Close()
		}
		return false
	}
	if last {
		end = 0
	}
	r.seg, r.file = s, file
	r.next = max(r.next, s.first)
	r.collect, r.index = !last && r.log.wantsIndex(s), places{offsets: r.index.offsets[:0]}
	r.walk.enter(s.path, s.header, end, r.read)
	return true
}

// read reads from the segment: what is synced from the file, the rest from memory.
func (r *Reader) read(p []byte, off int64) (int, error) {
	l := r.log
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return 0, ErrClosed
	}
	end := r.seg.size
	if r.seg == l.last() {
		end = l.tail.at
		if off >= end {
			defer l.mu.Unlock()
			if off >= l.tail.end() {
				return 0, io.EOF
			}
			return copy(p, l.tail.from(off)), nil
		}
	}
	l.mu.Unlock()
	if off >= end {
		return 0, io.EOF
	}
	return r.file.ReadAt(p[:min(int64(len(p)), end-off)], off)
}

// orClosed returns ErrClosed if that is why reading failed.
func (r *Reader) orClosed(damage *Damage) error {
	if _, _, closed := r.log.state(r.seg); closed {
		return ErrClosed
	}
	return damage
}

// holding returns the segment that has the record of that index, or the next one
// that has any; nil when there is none.
func (l *Log) holding(index uint64) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return nil
	}
	older := l.segments[:len(l.segments)-1]
	at := sort.Search(len(older), func(i int) bool { return older[i].end > index })
	for at < len(older) && older[at].first >= older[at].end { // empty
		at++
	}
	return l.segments[at]
}

// bySegment returns the segment of that number, or the next one.
func (l *Log) bySegment(number uint64) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].number >= number })
	if at == len(l.segments) {
		return nil
	}
	return l.segments[at]
}

// has reports whether a segment whose file was not there is one of the log's all the
// same. A file is removed before its segment is forgotten, so this waits for who
// may be about to.
func (l *Log) has(s *segment) bool {
	l.writer.Lock()
	defer l.writer.Unlock()
	return l.bySegment(s.number) == s
}

// state tells what may have changed about a segment.
func (l *Log) state(s *segment) (last bool, end uint64, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s == l.last(), s.end, l.closed
}

// Verify reads the whole log and returns what is damaged. It ends early with an
// error when a file cannot be opened.
func (l *Log) Verify() (found []*Damage, err error) {
	r := l.Read(0)
	defer r.Close()
	for {
		for r.Next() {
		}
		var damage *Damage
		if !errors.As(r.Err(), &damage) {
			return found, r.Err()
		}
		found = append(found, damage)
		r.Resume()
	}
}
