package durable

import (
	"io"
	"path/filepath"
	"time"
)

// Flush hands what was appended to the operating system: the end of the process
// does no harm to it any more. Errors are those of Append.
func (l *Log) Flush() error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.flush()
}

// flush writes what has not been written. When the disk is full it goes on
// where it stopped the next time; after another error the file is not trusted.
func (l *Log) flush() error {
	l.writeErr = nil
	l.mu.Lock()
	pending := l.tail.from(l.written)
	l.mu.Unlock()
	for len(pending) > 0 {
		n, err := l.file.WriteAt(pending, l.written)
		l.written += int64(n)
		pending = pending[n:]
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			l.writeErr = diskError("write", l.segments[len(l.segments)-1].path, err)
			l.mu.Lock()
			l.stats.WriteErrors++
			l.fresh = l.fresh || !isFull(l.writeErr)
			l.mu.Unlock()
			return l.writeErr
		}
	}
	return nil
}

// Rotate syncs, and begins a new segment, unless the last one has no record: then
// DropThrough can take all that is there now. Errors are those of Sync.
func (l *Log) Rotate() error {
	l.writer.Lock()
	defer l.writer.Unlock()
	return l.rotateAll()
}

// rotateAll is Rotate while the caller holds writer.
func (l *Log) rotateAll() error {
	if err := l.usable(); err != nil {
		return err
	}
	for l.next > l.last().first { // twice, if a sync fails and the new segment begins with what was not on disk
		if err := l.rotate(); err != nil {
			return err
		}
	}
	return nil
}

// rotate begins a new segment when the last one is full.
func (l *Log) rotate() error {
	if err := l.commit(); err != nil && !l.fresh {
		return err
	}
	return l.renew()
}

// renew begins a new segment, with everything in it that is not known to be on
// disk. What the former segment's file holds of that does not count any more.
func (l *Log) renew() error {
	l.settle()
	first := l.synced
	follows, former := first, l.last()
	if former != nil {
		follows = former.endAt(first)
	}
	l.mu.Lock()
	l.fresh = true // until it has succeeded: a half-made segment may turn up later, and says that the former ends here
	l.mu.Unlock()
	made, err := l.planSegment(first, follows)
	if err != nil {
		return err
	}
	again := recode(l.tail.bytes(), former, made)
	file, err := l.create(made, again)
	if err != nil {
		return err
	}
	l.mu.Lock()
	if former != nil {
		former.end, former.size = follows, l.tail.at
		l.older += former.size
	}
	l.noteSegmentLocked(former, made, again)
	l.segments = append(l.segments, made)
	l.tail = tail{at: headerSize + int64(len(again)), buf: l.tail.buf[:0]}
	l.synced = l.next
	l.fresh = false
	end := l.tail.at
	l.mu.Unlock()
	if l.file != nil {
		if l.written > former.size {
			l.file.Truncate(former.size) // tidier, but nothing depends on it
		}
		l.file.Close()
	}
	l.file, l.written, l.writeErr, l.marked = file, end, nil, first
	l.dropEmpty()
	return nil
}

// recode makes entries of one segment those of another.
func recode(entries []byte, from, to *segment) (again []byte) {
	for number := uint32(0); len(entries) > 0; {
		h, _ := from.key.parseHead(entries)
		size := headSize + h.length
		if h.kind != kindMark {
			again = to.key.append(again, number, kindRecord, entries[headSize:size])
			number++
		}
		entries = entries[size:]
	}
	return again
}

// planSegment makes up a segment.
func (l *Log) planSegment(first, follows uint64) (*segment, error) {
	l.number++ // no number is used twice, not even after an error
	h := header{number: l.number, first: first, follows: follows, created: l.opts.Now()}
	if _, err := io.ReadFull(l.opts.Random, h.salt[:]); err != nil {
		return nil, diskError("read random numbers for", l.dir, err)
	}
	return newSegment(h, filepath.Join(l.dir, segmentName(h.number)), h.created), nil
}

// create makes the file of a new segment. It has its name when its first entries
// are on disk. So a power cut leaves no half of one; and no segment says that it
// has records, which count in another one no more, before it has.
func (l *Log) create(s *segment, entries []byte) (_ File, err error) {
	begun := s.path + newSuffix
	l.sweep() // room, if there is none
	file, err := l.disk.Create(begun)
	if err != nil {
		l.litter = append(l.litter, begun)
		return nil, l.failed("create", begun, err)
	}
	defer func() {
		if err != nil {
			file.Close()
			l.litter = append(l.litter, begun, s.path)
		}
	}()
	if _, err = file.WriteAt(append(s.header.append(nil), entries...), 0); err != nil {
		return nil, l.failed("write", begun, err)
	}
	if err = file.Sync(); err != nil {
		return nil, l.failed("sync", begun, err)
	}
	if err = l.disk.Rename(begun, s.path); err != nil {
		return nil, l.failed("rename", begun, err)
	}
	if err = l.disk.SyncFolder(l.dir); err != nil {
		return nil, l.failed("sync folder of", s.path, err)
	}
	l.unsynced = false
	return file, nil
}

func newSegment(h header, path string, last time.Time) *segment {
	return &segment{header: h, path: path, key: newKey(h.salt), size: headerSize, last: last}
}

func (l *Log) failed(what, name string, err error) error {
	l.mu.Lock()
	l.stats.WriteErrors++
	l.mu.Unlock()
	return diskError(what, name, err)
}

func (l *Log) last() *segment {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}
