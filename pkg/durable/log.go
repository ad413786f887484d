package durable

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
)

// Log is a log of records in a folder. All methods may be called at once;
// appends are put in a row.
type Log struct {
	dir  string
	disk FS
	opts Options
	lock io.Closer

	// writer is held by whoever appends, writes, makes or removes segments. It is
	// taken before mu, and held while the disk is at work.
	writer   sync.Mutex
	file     File     // of the last segment
	written  int64    // up to which offset of it entries were handed to the file
	writeErr error    // the last write failed: nothing is accepted until it is made up for
	marked   uint64   // up to which index the segment itself says that records are on disk
	number   uint64   // the highest number that a segment ever had
	unsynced bool     // names were removed from the folder, and that may not last
	litter   []string // paths of segments that could not be made; they may be there all the same

	// mu is held for moments only. segments and next change while both are held;
	// who has writer may read them. What a sync that ends changes (tail, synced,
	// fresh) does not wait for writer: read it with mu, or after settle.
	mu       sync.Mutex
	segments []*segment // oldest first
	closed   bool
	tail     tail
	next     uint64 // index of the next record
	synced   uint64 // index of the first record that may not be on disk
	// fresh says that nothing may be appended to the last segment any more, if
	// there is one: what is in its file behind the synced records is in doubt.
	fresh bool
	older int64 // bytes of the segments before the last
	round *round
	grown chan struct{} // closed by the next append; nil while nobody waits
	// viewed says that there is, or was, a Viewer: offsets are kept.
	viewed bool
	stats  Stats

	shut atomic.Bool // closed, for who does not hold mu
}

// Append appends records, all or none, and returns the index of the first one;
// the others follow. They can be read at once. They are on disk when Sync has
// returned nil. The bytes are the caller's again when it returns.
//
// Append writes when Options.Buffer is full, so it may block on the disk. After an
// error, which wraps ErrFull or ErrDisk, nothing of the call is in the log, and
// the next call tries again.
func (l *Log) Append(records ...[]byte) (first uint64, err error) {
	size := 0
	for _, data := range records {
		if len(data) > MaxRecord {
			return 0, ErrTooLarge
		}
		size += headSize + len(data)
	}
	l.writer.Lock()
	drops, err := l.ready(int64(size))
	if err == nil {
		first = l.accept(records)
	}
	l.writer.Unlock()
	l.tell(drops)
	return first, err
}

// ready makes room for size bytes of entries.
func (l *Log) ready(size int64) (drops []Drop, err error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	if l.full(size) {
		if err := l.rotate(); err != nil {
			return nil, err
		}
		if drops, err = l.expire(l.opts.Now()); err != nil {
			return drops, err
		}
	}
	more, err := l.shrink(size)
	if drops = append(drops, more...); err != nil {
		return drops, err
	}
	at, end := l.tailEnds()
	switch {
	case at < end && end-at+size > int64(l.opts.MaxUnsynced):
		err = l.commit()
	case l.written < end && end-l.written+size > int64(l.opts.Buffer):
		err = l.flush()
	}
	return drops, err
}

// usable makes up for what went wrong before, if anything did.
func (l *Log) usable() error {
	l.mu.Lock()
	closed, fresh := l.closed, l.fresh
	l.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case fresh:
		return l.renew()
	case l.writeErr != nil:
		return l.flush()
	}
	return nil
}

// full reports whether size more bytes are for a new segment.
func (l *Log) full(size int64) bool {
	open, age := l.segments[len(l.segments)-1], l.opts.segmentAge()
	if l.next == open.first {
		return false
	}
	_, end := l.tailEnds()
	return end+size > int64(l.opts.SegmentBytes) || age > 0 && l.opts.Now().Sub(open.created) >= age
}

// tailEnds returns the offsets of the last segment where the tail begins and ends.
func (l *Log) tailEnds() (at, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.at, l.tail.end()
}

// accept puts the records into the tail.
func (l *Log) accept(records [][]byte) (first uint64) {
	open := l.segments[len(l.segments)-1]
	l.mu.Lock()
	l.tail.tidy()
	first = l.next
	for _, data := range records {
		number, what := uint32(l.next-open.first), kindRecord
		if l.synced > l.marked {
			if l.synced == l.next {
				what = kindSure
			} else {
				l.tail.buf = open.key.appendMark(l.tail.buf, number, uint32(l.synced-open.first))
			}
			l.marked = l.synced
		}
		if open.indexed {
			open.offsets = append(open.offsets, uint32(l.tail.end()))
		}
		l.tail.buf = open.key.append(l.tail.buf, number, what, data)
		l.next++
	}
	open.last = l.opts.Now()
	l.wakeLocked()
	l.mu.Unlock()
	return first
}

// Next is the index that the next record will have. The first one ever has 1.
func (l *Log) Next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Oldest is the index of the oldest record that is there, or Next if there is
// none.
func (l *Log) Oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.oldestLocked()
}

func (l *Log) oldestLocked() uint64 {
	if len(l.segments) == 0 {
		return l.next
	}
	return l.segments[0].first
}

// Synced is the index of the first record that may not be on disk: all before
// it are. What is on disk stays so, but for bounds, DropThrough and damage.
func (l *Log) Synced() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced
}

// Wait blocks until Next is above index: there is such a record, or was one. The
// error is ErrClosed or the context's cause.
func (l *Log) Wait(ctx context.Context, index uint64) error {
	for {
		l.mu.Lock()
		if l.next > index {
			l.mu.Unlock()
			return nil
		}
		if l.closed {
			l.mu.Unlock()
			return ErrClosed
		}
		if l.grown == nil {
			l.grown = make(chan struct{})
		}
		grown := l.grown
		l.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *Log) wakeLocked() {
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
}

// Advance makes next the index of the next record, if it is above it, and that
// lasts. Those between are in no segment, and are not missing either. After an
// error nothing has changed; a crash may still bring it about.
func (l *Log) Advance(next uint64) error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if next <= l.next {
		return nil
	}
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.commit(); err != nil {
		return err
	}
	open := l.segments[len(l.segments)-1]
	end, was := open.end, l.next
	set := func(end, next uint64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		open.end, l.next, l.synced = end, next, next
		l.wakeLocked()
	}
	set(open.endAt(l.next), next)
	if err := l.renew(); err != nil {
		set(end, was)
		return err
	}
	return nil
}

// Close syncs, and lets go of the folder whether or not that succeeds. Readers get
// ErrClosed from then on. Closing again does nothing.
func (l *Log) Close() error {
	l.writer.Lock()
	defer l.writer.Unlock()
	l.settle()
	l.mu.Lock()
	again := l.closed
	l.mu.Unlock()
	if again {
		return nil
	}
	err := l.finish()
	l.sweep() // the next Open would clean up as well
	l.mu.Lock()
	l.closed = true
	l.shut.Store(true)
	for _, s := range l.segments {
		s.leaveMapping()
	}
	l.wakeLocked()
	l.mu.Unlock()
	if l.file != nil {
		if closeErr := l.file.Close(); err == nil && closeErr != nil {
			err = diskError("close", l.dir, closeErr)
		}
	}
	l.lock.Close()
	return err
}

// finish syncs, and writes into the segment that everything is on disk: damage is
// told from a torn tail by that.
func (l *Log) finish() error {
	if l.next > l.synced {
		if err := l.usable(); err != nil {
			return err
		}
		if err := l.commit(); err != nil {
			return err
		}
	}
	if l.fresh || l.file == nil || l.marked == l.next {
		return nil
	}
	open := l.segments[len(l.segments)-1]
	number := uint32(l.next - open.first)
	l.mu.Lock()
	l.tail.buf = open.key.appendMark(l.tail.buf, number, number)
	l.mu.Unlock()
	if err := l.flush(); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return diskError("sync", open.path, err)
	}
	l.marked = l.next
	return nil
}
