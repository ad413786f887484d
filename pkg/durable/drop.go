package durable

import (
	"errors"
	"io/fs"
	"slices"
	"time"
)

// Reason says why a segment was dropped.
type Reason string

// The reasons.
const (
	DroppedFull Reason = "full" // Options.MaxBytes
	DroppedOld  Reason = "old"  // Options.MaxAge
)

// Drop tells of a segment that was dropped to keep within the bounds.
type Drop struct {
	Range        // the records that went
	Bytes  int64 // of the file
	Newest time.Time
	Why    Reason
}

// DropThrough removes the segments all of whose records have an index up to
// through. The last segment stays. When it returns nil, the removal lasts.
func (l *Log) DropThrough(through uint64) error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := l.open(); err != nil {
		return err
	}
	for len(l.segments) > 1 && l.segments[0].end-1 <= through {
		if err := l.remove(l.segments[0]); err != nil {
			return err
		}
	}
	return l.sweep()
}

// Trim drops what is too old now; what is too large, Append drops. Call it now and
// then, or a log to which nothing is appended keeps its records for ever.
func (l *Log) Trim() error {
	l.writer.Lock()
	drops, err := l.trim()
	l.writer.Unlock()
	l.tell(drops)
	return err
}

func (l *Log) trim() (drops []Drop, err error) {
	if err := l.open(); err != nil {
		return nil, err
	}
	now := l.opts.Now()
	if open := l.last(); open != nil && l.next > open.first && l.tooOld(open, now) {
		if err := l.usable(); err != nil {
			return nil, err
		}
		if err := l.rotate(); err != nil {
			return nil, err
		}
	}
	return l.expire(now)
}

func (l *Log) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return nil
}

func (l *Log) tooOld(s *segment, now time.Time) bool {
	return l.opts.MaxAge > 0 && now.Sub(s.last) > l.opts.MaxAge
}

// expire drops the segments that are too old.
func (l *Log) expire(now time.Time) (drops []Drop, err error) {
	for err == nil && len(l.segments) > 1 && l.tooOld(l.segments[0], now) {
		drops, err = l.drop(drops, DroppedOld)
	}
	return drops, err
}

// shrink drops segments until size more bytes are within the bound.
func (l *Log) shrink(size int64) (drops []Drop, err error) {
	most := int64(l.opts.MaxBytes)
	_, end := l.tailEnds()
	for err == nil && most > 0 && len(l.segments) > 1 && l.older+end+size > most {
		drops, err = l.drop(drops, DroppedFull)
	}
	return drops, err
}

func (l *Log) drop(drops []Drop, why Reason) ([]Drop, error) {
	oldest := l.segments[0]
	err := l.remove(oldest)
	if l.segments[0] == oldest {
		return drops, err
	}
	return append(drops, Drop{Range{oldest.first, oldest.end}, oldest.size, oldest.last, why}), err
}

func (l *Log) tell(drops []Drop) {
	for _, d := range drops {
		if d.Count() > 0 {
			l.opts.OnDrop(d)
		}
	}
}

// dropEmpty removes segments that hold no record, which failed syncs leave. If
// that does not succeed they go when their turn comes.
func (l *Log) dropEmpty() {
	for _, s := range slices.Clone(l.segments[:len(l.segments)-1]) {
		if s.first >= s.end {
			l.remove(s)
		}
	}
}

// remove removes a segment that is not the last one. One at a time is removed
// for good, or after a power cut an older one could be there and a newer one not.
func (l *Log) remove(s *segment) error {
	if err := l.sweep(); err != nil {
		return err
	}
	if err := l.unlink(s.path); err != nil {
		return err
	}
	l.mu.Lock()
	l.segments = slices.DeleteFunc(l.segments, func(other *segment) bool { return other == s })
	l.older -= s.size
	s.leaveMapping()
	l.mu.Unlock()
	return l.syncRemoved()
}

// sweep removes for good what is left of segments that could not be made. They
// do no harm as long as the segment is there that took their place.
func (l *Log) sweep() error {
	for len(l.litter) > 0 {
		if err := l.unlink(l.litter[0]); err != nil {
			return err
		}
		l.litter = l.litter[1:]
	}
	return l.syncRemoved()
}

// unlink removes a file, if it is there.
func (l *Log) unlink(path string) error {
	if err := l.disk.Remove(path); err != nil && l.exists(path) {
		return l.failed("remove", path, err)
	}
	l.unsynced = true
	return nil
}

// exists asks again: what has failed may have happened all the same.
func (l *Log) exists(path string) bool {
	file, err := l.disk.Open(path)
	if err == nil {
		file.Close()
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// syncRemoved makes removals last.
func (l *Log) syncRemoved() error {
	if !l.unsynced {
		return nil
	}
	if err := l.disk.SyncFolder(l.dir); err != nil {
		return l.failed("sync folder", l.dir, err)
	}
	l.unsynced = false
	return nil
}
